"""The crash-point matrix: every step of the protocol x every role x every way to come back, each with a verdict."""
