"""The root of every failure that the lab expects and reports to its user by a message, without a traceback."""


class LabError(Exception):
    """Something that kept the lab from giving a verdict; the text says what, and what to do or read."""


class BadInput(LabError):
    """What the user asked for cannot be; the message says why."""
