"""Which replica vectors are worth a thought, what they cost, and what has to be true for one to be an answer.

A vector is an answer if it meets the objective with `spares` of any one process gone, and if that many spares make the
whole available enough. Spares are at least the failures that were asked for; where k-out-of-n says that the
availability needs more, the process that gains most gets another.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import product

from simulator.capacity import availability, laws
from simulator.capacity.demands import DemandTable
from simulator.capacity.playing import Vector
from simulator.capacity.question import UTILISATION_MAX, Objective, Question
from simulator.capacity.screening import Screen

SPAN = 5
"""So many replicas more than the utilisation law asks for are tried of each process."""

Counts = dict[str, int]


@dataclass(frozen=True)
class Candidate:
    """A vector, and how many replicas of each process it can spare. `worst_s`: screened p99 at its weakest."""

    counts: Mapping[str, int]
    spares: Mapping[str, int]
    worst_s: float

    @property
    def replicas(self) -> int:
        """How many in all."""
        return sum(self.counts.values())

    def degraded(self) -> list[Counts]:
        """What is left of it when all spares of one process are gone, for each process that has some."""
        return [{**self.counts, name: self.counts[name] - spare} for name, spare in self.spares.items() if spare]


@dataclass(frozen=True)
class Field:
    """The candidates of one question under one objective."""

    question: Question
    objective: Objective
    table: DemandTable
    screen: Screen

    @property
    def least(self) -> Counts:
        """The fewest replicas of each process, by the utilisation law, with nothing gone."""
        rate_per_s = self.objective.rate_per_s
        return {
            row.process: laws.replicas_needed(
                rate_per_s, row.demand_s, self.screen.available(row), UTILISATION_MAX
            )
            for row in self.table.rows
        }  # fmt: skip

    def spares(self, counts: Mapping[str, int]) -> Counts | None:
        """How many of each process may be gone at once; None: no number of spares makes it available enough."""
        least, up = self.least, self.question.reliability.up
        room = {name: count - least[name] for name, count in counts.items()}
        spares = dict.fromkeys(counts, self.objective.failures)
        if any(room[name] < spare for name, spare in spares.items()):
            return None
        while self._availability(counts, spares, up) < self.objective.availability:
            more = [name for name in counts if spares[name] < room[name]]
            if not more:
                return None
            weakest = min(more, key=lambda name: availability.of_process(counts[name], counts[name] - spares[name], up))
            spares[weakest] += 1
        return spares

    def cost_per_h(self, replicas: int) -> float:
        """An hour of so many replicas on the path, and of one of each process beside it."""
        each = self.question.prices.of_replica(self.question.replica_cores)
        return (replicas + len(self.table.fixed)) * each

    def by_cost(self) -> Iterator[list[Candidate]]:
        """The candidates, the cheapest first, in groups of equal cost; within a group the fastest first."""
        least = self.least
        names = list(least)
        levels: dict[int, list[tuple[int, ...]]] = {}
        for extra in product(range(SPAN + self.objective.failures + 1), repeat=len(names)):
            levels.setdefault(sum(extra), []).append(extra)
        for level in sorted(levels):
            found = [self._candidate(dict(zip(names, map(sum, zip(least.values(), extra, strict=True)), strict=True)))
                     for extra in levels[level]]  # fmt: skip
            ranked = [candidate for candidate in found if candidate is not None]
            yield sorted(ranked, key=lambda candidate: (candidate.worst_s, tuple(candidate.counts.values())))

    def _candidate(self, counts: Counts) -> Candidate | None:
        if max(counts.values()) > self.question.replicas_max:
            return None
        spares = self.spares(counts)
        if spares is None:
            return None
        plain = Candidate(counts, spares, 0.0)
        vectors = plain.degraded() or [counts]
        worst_s = max(self.screen.p99_s(vector, self.objective.rate_per_s) for vector in vectors)
        return Candidate(counts, spares, worst_s)

    def availability(self, candidate: Candidate) -> float:
        """The share of the time in which enough of everything works."""
        return self._availability(candidate.counts, candidate.spares, self.question.reliability.up)

    @staticmethod
    def _availability(counts: Mapping[str, int], spares: Mapping[str, int], up: float) -> float:
        return availability.of_platform(counts, {name: counts[name] - spare for name, spare in spares.items()}, up)


def as_vector(counts: Mapping[str, int], fixed: tuple[str, ...]) -> Vector:
    """A vector that can be played: one of each process that no payment visits, too."""
    return tuple(sorted({**dict.fromkeys(fixed, 1), **counts}.items()))


def covers(larger: Mapping[str, int], smaller: Mapping[str, int]) -> bool:
    """Whether `larger` has at least as many of everything."""
    return all(larger[name] >= count for name, count in smaller.items())
