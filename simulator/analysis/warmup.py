"""Where the warm-up ends: MSER-5 on the average of the replications.

An empty system is not a typical one, and a mean over its first minutes is biased. MSER (White, "An Effective Truncation
Heuristic for Bias Reduction in Simulation Output", Simulation 69, 1997) cuts where the standard error of what remains
is smallest: cutting more removes bias as long as it also removes variance. MSER-5 does so on means of five (White,
Cobb, Spratt, 2000). Averaging replications first takes away the noise that hides the trend (Welch, 1983).
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

BATCH = 5


def mser(series: Sequence[float] | NDArray[np.float64], batch: int = BATCH) -> int | None:
    """How many observations to cut from the front of one series; None: no cut helps, the series is too short.

    A minimum in the second half is no answer but a sign that the run never settled (Hoad, Robinson, Davies, 2010).
    Raises ValueError for fewer than ten batches.
    """
    array = np.asarray(series, dtype=float)
    count = len(array) // batch
    if count < 10:
        raise ValueError(f"{len(array)} observations are too few for MSER-{batch}: at least {10 * batch}")
    means = array[: count * batch].reshape(count, batch).mean(axis=1)
    cut = int(np.argmin(_marginal_errors(means)))
    return cut * batch if cut < count // 2 else None


def warm_up(replications: NDArray[np.float64] | Sequence[Sequence[float]], batch: int = BATCH) -> int | None:
    """How many observations to cut from every replication: MSER on their average, cut to the shortest of them."""
    shortest = min(len(series) for series in replications)
    return mser(np.mean([np.asarray(series[:shortest], dtype=float) for series in replications], axis=0), batch)


def _marginal_errors(means: NDArray[np.float64]) -> NDArray[np.float64]:
    """For every cut d: the variance of the mean of what is left, sum((x - mean)^2) / (n - d)^2.

    The last few cuts leave so little that a chance agreement would win; they are not considered.
    """
    backwards = means[::-1]
    left = np.arange(1, len(means) + 1)
    squares = np.cumsum(backwards**2) - np.cumsum(backwards) ** 2 / left
    errors: NDArray[np.float64] = (np.maximum(squares, 0.0) / left**2)[::-1]
    return errors[: len(means) - 5]
