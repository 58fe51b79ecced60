"""The payment-settlement platform: protocol, policies, ledger, chassis and services."""
