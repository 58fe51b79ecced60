"""Locust users, journeys and the recorder of what clients were told."""
