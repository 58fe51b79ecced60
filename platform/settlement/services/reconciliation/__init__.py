"""Reconciliation: what the channels say happened to money, held against what we say."""
