"""A second fake world, to be put beside the first."""

from fake_world import FakeWorld


def create() -> FakeWorld:
    return FakeWorld("other")
