"""What every service is built from: app, database, http client, discovery, events, faults, telemetry, security."""
