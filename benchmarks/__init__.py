"""Measurements that decide and defend: components, the platform against its floor, start-up and memory."""
