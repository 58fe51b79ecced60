"""Replications until the interval is narrow enough, on as many workers as there are, with the same answer.

Whether to stop is decided replication by replication in the order of their seeds, as if they had been made one after
the other; what workers have computed beyond that is thrown away. So neither the number of workers nor who was faster
can change a figure. The rule is the confidence interval method with the look-ahead of Hoad, Robinson and Davies
("Automated selection of the number of replications", JORS 61, 2010): a width that is reached by chance must last.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite

from joblib import Parallel, delayed

from simulator.analysis.estimates import LEVEL, Estimate, mean_of

Run = Callable[[int], Mapping[str, float]]
"""One replication: seed -> metrics by name. To go to workers it must be a module's function (or a partial of one)."""


@dataclass(frozen=True, slots=True)
class Precision:
    """When to stop: `relative` half width of every metric asked for, after `at_least` and at most `at_most` runs.

    `look_ahead`: the width must hold for so many further replications (beyond a hundred: in proportion, as published).
    """

    relative: float = 0.05
    level: float = LEVEL
    at_least: int = 5
    at_most: int = 200
    look_ahead: int = 5

    def ahead(self, count: int) -> int:
        """The look-ahead at `count` replications."""
        return self.look_ahead * max(100, count) // 100


@dataclass(frozen=True)
class Replications:
    """The replications that were used. `reached`: whether every metric asked for is as precise as wanted."""

    rows: tuple[Mapping[str, float], ...]
    reached: bool
    level: float = LEVEL

    def values(self, metric: str) -> list[float]:
        """One metric of all replications, by seed."""
        return [row[metric] for row in self.rows]

    def __getitem__(self, metric: str) -> Estimate:
        """The estimate of one metric. Raises KeyError for one that no run returned."""
        return mean_of(self.values(metric), self.level)

    @property
    def estimates(self) -> dict[str, Estimate]:
        """All metrics."""
        return {metric: self[metric] for metric in self.rows[0]}


def replicate(
    run: Run,
    precision: Precision | None = None,
    metrics: Sequence[str] = (),
    first_seed: int = 1,
    workers: int = 1,
) -> Replications:
    """Run `run(first_seed)`, `run(first_seed + 1)`, ... until `metrics` (default: all that it returns) are precise."""
    precision = precision or Precision()
    rows: list[Mapping[str, float]] = []
    candidate: int | None = None
    for row in _rows(run, precision.at_most, first_seed, workers):
        rows.append(row)
        wanted = tuple(metrics) or tuple(row)
        if not _precise(rows, wanted, precision):
            candidate = None
            continue
        candidate = candidate or len(rows)
        if len(rows) >= candidate + precision.ahead(candidate):
            return Replications(tuple(rows), True, precision.level)
    return Replications(tuple(rows), candidate is not None, precision.level)


def in_order(
    run: Callable[[int], Mapping[str, float]], seeds: Iterable[int], workers: int = 1
) -> Iterator[Mapping[str, float]]:
    """`run(seed)` for every seed, in the order of the seeds, whoever computes them."""
    if workers == 1:
        yield from map(run, seeds)
        return
    yield from Parallel(n_jobs=workers, return_as="list")(delayed(run)(seed) for seed in seeds)


def _rows(run: Run, at_most: int, first_seed: int, workers: int) -> Iterator[Mapping[str, float]]:
    """Lazily and in order; with several workers in blocks of two a worker, so that little is computed in vain."""
    block = 1 if workers == 1 else 2 * abs(workers)
    for start in range(first_seed, first_seed + at_most, block):
        yield from in_order(run, range(start, min(start + block, first_seed + at_most)), workers)


def _precise(rows: Sequence[Mapping[str, float]], metrics: Sequence[str], precision: Precision) -> bool:
    if len(rows) < precision.at_least:
        return False
    for metric in metrics:
        estimate = mean_of([row[metric] for row in rows], precision.level)
        if not isfinite(estimate.relative) or estimate.relative > precision.relative:
            return False
    return True
