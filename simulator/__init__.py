"""A SimPy model of the platform that runs its shipped protocol code in virtual time."""
