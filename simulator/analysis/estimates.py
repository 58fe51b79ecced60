"""Estimates with intervals: of a mean, of a quantile, of a difference between variants that shared their luck."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf, isinf, nan, sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

Values = Sequence[float] | NDArray[np.float64]
LEVEL = 0.95
BATCHES = 20
"""Schmeiser ("Batch Size Effects in the Analysis of Simulation Output", 1982): 10 to 30 batches, more gain little."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """A value and the interval that covers the truth with confidence `level`; `count`: independent observations."""

    value: float
    low: float
    high: float
    count: int
    level: float = LEVEL

    @property
    def half_width(self) -> float:
        """Half the interval."""
        return (self.high - self.low) / 2

    @property
    def relative(self) -> float:
        """The half width as a share of the value; infinite around zero."""
        if self.half_width == 0:
            return 0.0
        return abs(self.half_width / self.value) if self.value else inf

    def covers(self, truth: float) -> bool:
        """Whether the interval contains `truth`."""
        return self.low <= truth <= self.high

    @property
    def differs_from_zero(self) -> bool:
        """Whether zero is outside: for a difference, whether there is one."""
        return not self.covers(0.0)

    def __str__(self) -> str:
        return f"{self.value:.4g} [{self.low:.4g}, {self.high:.4g}]"


def mean_of(values: Values, level: float = LEVEL) -> Estimate:
    """The mean of independent observations, by Student's t. A single one has an infinite interval.

    With an infinite observation (a percentile of nothing) the mean is infinite and its interval unknown (nan).
    Raises ValueError for no observations.
    """
    array = _array(values)
    mean = float(array.mean())
    if len(array) == 1:
        return Estimate(mean, -inf, inf, 1, level)
    if isinf(mean):
        return Estimate(mean, nan, nan, len(array), level)
    half = float(stats.t.ppf((1 + level) / 2, len(array) - 1)) * float(array.std(ddof=1)) / sqrt(len(array))
    return Estimate(mean, mean - half, mean + half, len(array), level)


def batch_means(series: Values, batches: int = BATCHES, level: float = LEVEL) -> Estimate:
    """The mean of one long, correlated series (its warm-up removed), from the means of consecutive batches.

    Raises ValueError if there are fewer than two observations a batch.
    """
    array = _array(series)
    size = len(array) // batches
    if batches < 2 or size < 2:
        raise ValueError(f"{len(array)} observations are too few for {batches} batches")
    return mean_of(array[len(array) - batches * size :].reshape(batches, size).mean(axis=1), level)


def quantile_of(values: Values, share: float, level: float = LEVEL) -> Estimate:
    """A quantile of *independent* observations with its distribution-free interval (order statistics).

    An end of the interval is infinite if there are too few observations for it. Quantiles of correlated observations
    (the latencies of one run): take the quantile of each replication, and `mean_of` those.
    """
    array = _array(values)
    value = float(np.quantile(array, share))
    found: Any = stats.quantile_test(array, q=value, p=share).confidence_interval(level)
    low, high = float(found.low), float(found.high)
    return Estimate(value, -inf if np.isnan(low) else low, inf if np.isnan(high) else high, len(array), level)


def paired(ours: Values, theirs: Values, level: float = LEVEL) -> Estimate:
    """The mean of `ours - theirs`, pair by pair: what the pairs have in common (their seed) cancels out.

    Raises ValueError for lists of different length.
    """
    left, right = _array(ours), _array(theirs)
    if left.shape != right.shape:
        raise ValueError(f"{len(left)} values cannot be paired with {len(right)}")
    return mean_of(left - right, level)


def correlation(ours: Values, theirs: Values) -> float:
    """How much two variants share their luck: 1 perfectly, 0 not at all; nan where one of them never varies."""
    left, right = _array(ours), _array(theirs)
    if len(left) < 2 or not left.std() or not right.std():
        return nan
    return float(np.corrcoef(left, right)[0, 1])


def _array(values: Values) -> NDArray[np.float64]:
    array = np.asarray(values, dtype=float)
    if array.ndim != 1 or not len(array):
        raise ValueError("an estimate needs a list of at least one observation")
    return array
