"""The audit service: an append-only, hash-chained trail of everything that happened on the platform."""
