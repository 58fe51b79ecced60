"""The shopping cart: what a user means to buy, until an order takes it over."""
