"""Scenarios: what to run, in which world, and how to judge it."""
