"""Goods, stock and orders; takes part in every payment and refund by holding the order and its stock."""
