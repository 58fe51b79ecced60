"""One random stream per cause and entity, so that two variants of a scenario share their luck.

Adding a replica or a fault must not shift anybody else's draws (common random numbers): every stream is derived from
the run's seed and its own name, never from the order of creation.
"""

import zlib
from collections.abc import Callable
from itertools import chain, repeat

import numpy as np

BATCH = 256
"""Draws are taken in batches: one call into numpy costs as much as a hundred values."""

Supply = Callable[[int], "np.ndarray[tuple[int], np.dtype[np.float64]]"]


class Draws:
    """An endless supply of floats from one numpy generator; `draw()` is the next value."""

    __slots__ = ("draw",)

    def __init__(self, supply: Supply) -> None:
        # A chain of batches hands out a value without any Python in between.
        self.draw: Callable[[], float] = chain.from_iterable(supply(BATCH).tolist() for _ in repeat(None)).__next__


class Streams:
    """The run's random streams by (cause, entity)."""

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def generator(self, cause: str, entity: str = "") -> np.random.Generator:
        """A numpy generator of its own for `cause` and `entity`."""
        words = [self.seed, zlib.crc32(cause.encode()), zlib.crc32(entity.encode())]
        return np.random.Generator(np.random.PCG64(np.random.SeedSequence(words)))

    def uniform(self, cause: str, entity: str = "") -> Draws:
        """Floats in [0, 1)."""
        generator = self.generator(cause, entity)
        return Draws(generator.random)

    def positive(self, cause: str, entity: str, mean: float, variation: float) -> Draws:
        """Positive numbers with this mean and coefficient of variation (gamma; always the mean for 0)."""
        if variation <= 0 or mean <= 0:
            return Draws(lambda count: np.full(count, mean))
        generator = self.generator(cause, entity)
        shape = 1.0 / variation**2
        return Draws(lambda count: generator.gamma(shape, mean / shape, count))
