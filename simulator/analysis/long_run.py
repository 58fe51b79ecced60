"""One long run instead of many: observations are added until the interval of batch means is narrow enough.

The other way besides replications: the warm-up is paid for once, and the price is correlation. Batch means answer it
only if batches are long enough to be nearly independent, so their own correlation is tested before they are believed
(Law and Carson, "A Sequential Procedure for Determining the Length of a Steady-State Simulation", Operations Research
27, 1979). The run is doubled until both hold.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice
from math import sqrt

import numpy as np
from numpy.typing import NDArray

from simulator.analysis.estimates import BATCHES, LEVEL, Estimate, batch_means
from simulator.analysis.warmup import mser

FIRST, AT_MOST = 2_000, 5_000_000
CORRELATED = 1.645
"""Of the batch means' lag-1 correlation times the root of their number: above it they are not independent (one-sided,
5 %)."""


@dataclass(frozen=True)
class LongRun:
    """The estimate, the observations taken, how many of these were cut as warm-up, and whether it is as wanted."""

    estimate: Estimate
    observations: int
    cut: int
    reached: bool


def long_run(
    observations: Iterable[float],
    relative: float = 0.05,
    level: float = LEVEL,
    first: int = FIRST,
    at_most: int = AT_MOST,
    batches: int = BATCHES,
) -> LongRun:
    """Take from `observations` (one steady-state run) until the half width is at most `relative` of the mean.

    The warm-up is cut by MSER-5. `reached` is false where the run ended, or `at_most` were taken, before that; the
    interval may then be too narrow as well as too wide. Raises ValueError for fewer than two observations a batch.
    """
    source, taken = iter(observations), np.empty(0)
    wanted = max(first, 10 * batches)
    while True:
        more = np.fromiter(islice(source, wanted - len(taken)), dtype=float)
        taken = np.concatenate([taken, more])
        cut = mser(taken)
        kept = taken[cut or 0 :]
        estimate = batch_means(kept, batches, level)
        settled = cut is not None and not _correlated(kept, batches)
        if settled and estimate.relative <= relative:
            return LongRun(estimate, len(taken), cut or 0, True)
        if len(taken) < wanted or wanted >= at_most:
            return LongRun(estimate, len(taken), cut or 0, False)
        wanted = min(2 * wanted, at_most)


def _correlated(series: NDArray[np.float64], batches: int) -> bool:
    size = len(series) // batches
    means = series[len(series) - batches * size :].reshape(batches, size).mean(axis=1)
    if not means.std():
        return False
    return float(np.corrcoef(means[:-1], means[1:])[0, 1]) * sqrt(batches) > CORRELATED
