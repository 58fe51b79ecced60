"""Stand-in for the banks and wallets outside the platform, with a ledger of its own."""
