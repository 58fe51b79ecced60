"""The message service: tells users what became of their orders, payments and refunds."""
