"""Risk: whether a payment is let through, and the rules that operators set for it."""
