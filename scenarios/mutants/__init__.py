"""The mutant scoreboard: planted bugs, and which instrument kills each of them how fast.

The bugs themselves are in `tests/mutants`, which only a checkout has: what is shipped contains no way to break it.
"""
