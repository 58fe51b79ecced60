"""Which variants a sweep plays: every combination of its axes or a sample of them, each with every seed.

A variant differs from the next by its changes alone: the plan of a run takes its luck from the seed, one stream for
each cause, so two variants with one seed meet the same customers at the same moments (common random numbers), and
their differences may be taken seed by seed.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from math import prod
from typing import Any

import numpy
from scipy.stats import qmc

from scenarios.spec import Change
from scenarios.sweep.axes import Axis, UnusableAxis

VARIANTS_MAX = 1_000_000
LATIN, RANDOM = "lhs", "random"
SAMPLINGS = (LATIN, RANDOM)


@dataclass(frozen=True)
class Sampling:
    """`count` points drawn from the axes: `lhs` (Latin hypercube: every axis evenly covered) or `random`."""

    count: int
    kind: str = LATIN
    seed: int = 1


@dataclass(frozen=True)
class Design:
    """What to play: the scenario's `changes` common to all, the axes, further points, the seeds.

    `listed` are points written out, as mappings of keys to values; each is combined with every point of the axes.
    """

    changes: tuple[Change, ...] = ()
    axes: tuple[Axis, ...] = ()
    listed: tuple[tuple[Change, ...], ...] = ()
    seeds: tuple[int, ...] = (1,)
    sampling: Sampling | None = None

    @property
    def keys(self) -> tuple[str, ...]:
        """What is varied, in the order in which points have it."""
        return tuple(change.key for change in (self.listed or ((),))[0]) + tuple(axis.key for axis in self.axes)

    def points(self) -> list[tuple[Change, ...]]:
        """The combinations of values, in the order of the axes, the first one slowest. Raises UnusableAxis."""
        self._refuse()
        drawn = self._sampled() if self.sampling else self._grid()
        return [(*listed, *point) for listed in self.listed or ((),) for point in drawn]

    def _grid(self) -> list[tuple[Change, ...]]:
        return list(product(*([_change(axis, value) for value in axis.values] for axis in self.axes)))

    def _sampled(self) -> list[tuple[Change, ...]]:
        sampling = self.sampling
        if sampling is None or not self.axes:
            return [()]
        random = numpy.random.default_rng(sampling.seed)
        if sampling.kind == LATIN:
            shares = qmc.LatinHypercube(len(self.axes), rng=random).random(sampling.count)
        else:
            shares = random.random((sampling.count, len(self.axes)))
        return [
            tuple(_change(axis, axis.at(share)) for axis, share in zip(self.axes, row, strict=True))
            for row in shares.tolist()
        ]

    def _refuse(self) -> None:
        """Raise UnusableAxis with everything that is wrong between the parts."""
        problems = [*_repeated(self), *(_not_sampled(self.axes) if self.sampling is None else ())]
        if self.sampling is not None and not self.axes:
            problems.append("samples of what? expected at least one axis to draw from")
        if self.sampling is not None and self.sampling.kind not in SAMPLINGS:
            problems.append(f"unknown sampling {self.sampling.kind!r}; expected one of {', '.join(SAMPLINGS)}")
        count = self.sampling.count if self.sampling else prod(max(1, len(axis.values)) for axis in self.axes)
        count *= max(1, len(self.listed)) * len(self.seeds)
        if count > VARIANTS_MAX:
            problems.append(f"{count} variants are too many; expected at most {VARIANTS_MAX}")
        if count < 1:
            problems.append("no variants at all; expected at least one sample and one seed")
        if problems:
            raise UnusableAxis("\n".join(problems))


def _change(axis: Axis, value: Any) -> Change:
    return Change(axis.key, value, axis.file, axis.line)


def _repeated(design: Design) -> list[str]:
    keys = design.keys
    return [f"{key} is varied twice; expected once" for key in dict.fromkeys(keys) if keys.count(key) > 1]


def _not_sampled(axes: Sequence[Axis]) -> list[str]:
    return [
        f"{axis.key}: a span has no end of values; expected a list or from:to:step, or samples to be asked for"
        for axis in axes
        if axis.span is not None
    ]


def values_of(point: Sequence[Change]) -> Mapping[str, Any]:
    """A point as keys and values."""
    return {change.key: change.value for change in point}
