"""The payment service: takes part in transactions with channels and with a double-entry ledger of its own."""
