"""Registry of replicas with leases, and versioned settings with watch."""
