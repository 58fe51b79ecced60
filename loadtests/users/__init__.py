"""Simulated clients: what they do (`journeys`, `accounts`), and when (`open`, `closed`)."""
