"""Variants compared with common random numbers: every seed is played by all, and only the differences are judged.

What the arrivals and the service times did to one they did to the others as well, so the difference of two variants
varies far less than either. With k variants the level of each interval is raised (Bonferroni), so that all of them hold
together with the confidence asked for.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from simulator.analysis.estimates import LEVEL, Estimate, correlation, mean_of, paired
from simulator.analysis.replications import Run, in_order


@dataclass(frozen=True)
class Comparison:
    """The metrics of all variants by seed; `base` is what the others are compared with."""

    base: str
    rows: Mapping[str, tuple[Mapping[str, float], ...]]
    level: float = LEVEL

    def estimate(self, variant: str, metric: str) -> Estimate:
        """A metric of one variant."""
        return mean_of(self._values(variant, metric), self.level)

    def difference(self, variant: str, metric: str) -> Estimate:
        """By how much `variant` is above the base, seed by seed; jointly valid for all variants."""
        joint = 1 - (1 - self.level) / max(1, len(self.rows) - 1)
        return paired(self._values(variant, metric), self._values(self.base, metric), joint)

    def shared_luck(self, variant: str, metric: str) -> float:
        """The correlation with the base: near 1, the common random numbers did their work."""
        return correlation(self._values(variant, metric), self._values(self.base, metric))

    def _values(self, variant: str, metric: str) -> list[float]:
        return [row[metric] for row in self.rows[variant]]


def compare(
    variants: Mapping[str, Run], seeds: range = range(1, 11), base: str = "", workers: int = 1, level: float = LEVEL
) -> Comparison:
    """Play every variant with every seed; the base is the first variant unless named.

    Raises ValueError for an unknown base or no variants.
    """
    base = base or next(iter(variants), "")
    if base not in variants:
        raise ValueError(f"no variant is called {base!r}; there are: {', '.join(variants) or 'none'}")
    rows = {name: tuple(in_order(run, seeds, workers)) for name, run in variants.items()}
    return Comparison(base, rows, level)
