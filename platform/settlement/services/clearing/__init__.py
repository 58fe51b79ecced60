"""Clearing: what every merchant is owed for a day, less the fee, and its payout in the ledger."""
