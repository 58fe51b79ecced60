"""One random stream per cause and entity, so that two variants of a scenario share their luck.

Adding a replica or a fault must not shift anybody else's draws (common random numbers): every stream is derived from
the run's seed and its own name, never from the order of creation.
"""

import zlib
from collections.abc import Callable

import numpy as np

BATCH = 256
"""Draws are taken in batches: one call into numpy costs as much as a hundred values."""


class Draws:
    """An endless supply of floats from one numpy generator."""

    __slots__ = ("_next", "_supply", "_values")

    def __init__(self, supply: Callable[[int], "np.ndarray[tuple[int], np.dtype[np.float64]]"]) -> None:
        self._supply = supply
        self._values: list[float] = []
        self._next = 0

    def draw(self) -> float:
        """The next value."""
        if self._next == len(self._values):
            self._values = self._supply(BATCH).tolist()
            self._next = 0
        self._next += 1
        return self._values[self._next - 1]


class Streams:
    """The run's random streams by (cause, entity)."""

    def __init__(self, seed: int) -> None:
        self._seed = seed

    def generator(self, cause: str, entity: str = "") -> np.random.Generator:
        """A numpy generator of its own for `cause` and `entity`."""
        words = [self._seed, zlib.crc32(cause.encode()), zlib.crc32(entity.encode())]
        return np.random.Generator(np.random.PCG64(np.random.SeedSequence(words)))

    def uniform(self, cause: str, entity: str = "") -> Draws:
        """Floats in [0, 1)."""
        generator = self.generator(cause, entity)
        return Draws(generator.random)

    def unit_mean(self, cause: str, entity: str, variation: float) -> Draws:
        """Positive factors with mean 1 and coefficient of variation `variation` (gamma; constantly 1 for 0)."""
        if variation <= 0:
            return Draws(np.ones)
        generator = self.generator(cause, entity)
        shape = 1.0 / variation**2
        return Draws(lambda count: generator.gamma(shape, 1.0 / shape, count))
