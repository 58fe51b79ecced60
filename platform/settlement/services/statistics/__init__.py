"""The statistics service: how many orders and payments there were, and over how much, for merchants and operators."""
