"""The Universal Scalability Law: throughput over load, with contention and coherency.

    X(N) = gamma N / (1 + alpha (N - 1) + beta N (N - 1))

gamma is what one gives alone; alpha is the share that cannot be shared (contention: throughput levels off at
gamma / alpha), beta what everybody has to settle with everybody (coherency: throughput falls again beyond
N* = sqrt((1 - alpha) / beta)). Gunther, "Guerrilla Capacity Planning", 2007, chapter 4.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf, sqrt

import numpy as np
from scipy import optimize, stats

from simulator.analysis.estimates import LEVEL, Estimate


@dataclass(frozen=True, slots=True)
class Scalability:
    """A fitted law; intervals are those of least squares (infinite where the figures say nothing about one)."""

    alpha: Estimate
    beta: Estimate
    gamma: Estimate

    def throughput(self, load: float) -> float:
        """X(N), in the unit of the throughputs that were fitted."""
        shared = 1 + self.alpha.value * (load - 1) + self.beta.value * load * (load - 1)
        return self.gamma.value * load / shared

    @property
    def peak_load(self) -> float:
        """N*, beyond which more load gives less; infinite without coherency."""
        return sqrt((1 - self.alpha.value) / self.beta.value) if self.beta.value > 0 else inf

    @property
    def asymptote(self) -> float:
        """What contention alone would allow at most; infinite without it."""
        return self.gamma.value / self.alpha.value if self.alpha.value > 0 else inf


def fit_scalability(loads: Sequence[float], throughputs: Sequence[float], level: float = LEVEL) -> Scalability:
    """Least squares with alpha in [0, 1], beta and gamma not negative.

    Raises ValueError for fewer than four points: three parameters fit three points exactly and say nothing.
    """
    load, measured = np.asarray(loads, dtype=float), np.asarray(throughputs, dtype=float)
    if load.shape != measured.shape or len(load) < 4:
        raise ValueError(f"{len(load)} loads and {len(measured)} throughputs; expected as many, and at least four")
    start = (0.01, 1e-4, float(np.max(measured / load)))
    found, covariance = optimize.curve_fit(_law, load, measured, start, bounds=([0, 0, 0], [1, np.inf, np.inf]))
    half = float(stats.t.ppf((1 + level) / 2, len(load) - 3)) * np.sqrt(np.diag(covariance))
    alpha, beta, gamma = (
        Estimate(float(value), float(value - width), float(value + width), len(load), level)
        for value, width in zip(found, half, strict=True)
    )
    return Scalability(alpha, beta, gamma)


def _law(load: "np.ndarray[tuple[int], np.dtype[np.float64]]", alpha: float, beta: float, gamma: float,
         ) -> "np.ndarray[tuple[int], np.dtype[np.float64]]":  # fmt: skip
    return gamma * load / (1 + alpha * (load - 1) + beta * load * (load - 1))
