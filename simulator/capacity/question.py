"""What a capacity planner is asked: a rate, a percentile, an availability, prices; and what it takes for granted.

Rates are payments a second, money is in any one currency, times are seconds unless a name says hours.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import isfinite
from typing import Any

from settlement.topology import DEFAULT_TOPOLOGY
from simulator.inputs import SimulationInput

Build = Callable[[float, float, int], SimulationInput]
"""(payments per second, seconds, seed) -> the traffic, on one replica of everything. To go to workers it must be a
module's function or a partial of one. The same seed at another rate is the same luck, stretched."""

Spread = Callable[[Callable[[Any], Any], Sequence[Any]], Iterable[Any]]
"""(function, items) -> `function(item)` of every item, in the order of the items; by whom is the caller's business."""

UTILISATION_MAX = 0.85
"""No process is planned to be busier: above it a run of affordable length does not show how long the queue gets."""


class BadQuestion(ValueError):
    """What was asked makes no sense; `problems` lists every reason."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


@dataclass(frozen=True)
class Objective:
    """`p99_s`: of successful payments from the client's intent, checkout included. `availability`: share that succeed.

    `failures`: the objective holds while so many replicas of any one process are gone.
    """

    rate_per_s: float
    p99_s: float
    availability: float
    failures: int = 1


@dataclass(frozen=True)
class Prices:
    """What an hour costs: of a core, and of a replica besides its cores (memory, address, licence)."""

    core_hour: float = 0.04
    replica_hour: float = 0.01

    def of_replica(self, cores: float) -> float:
        """An hour of a replica with so many cores."""
        return cores * self.core_hour + self.replica_hour


@dataclass(frozen=True)
class Reliability:
    """A replica fails every `mtbf_h` hours on average, and is back after `mttr_h`; replicas fail independently."""

    mtbf_h: float = 720.0
    mttr_h: float = 5 / 60

    @property
    def up(self) -> float:
        """The share of its time that one replica works."""
        return self.mtbf_h / (self.mtbf_h + self.mttr_h)


@dataclass(frozen=True)
class Effort:
    """How much is simulated. `payments`: measured in one replication; `warm_up_s` and `settle_s` come before and after.

    A vector's p99 is estimated from `replications_min` to `replications_max` runs: until the interval lies on one side
    of the objective, and is far from it or no wider than `precision` of the estimate. `headroom_steps`: rates that are
    tried on the way to the headroom; each halves what is not known.
    """

    payments: int = 1000
    warm_up_s: float = 1.0
    settle_s: float = 1.0
    replications_min: int = 4
    replications_max: int = 12
    precision: float = 0.1
    pilot_payments: int = 1200
    customers: int = 60_000
    vectors_max: int = 40
    headroom_steps: int = 4

    def measured_s(self, rate_per_s: float) -> float:
        """Seconds that are measured; at least two, so that a second's burst is not all that is seen."""
        return max(2.0, self.payments / rate_per_s)


@dataclass(frozen=True)
class Question:
    """Everything the answer depends on. `replica_cores`: each replica's quota; `replicas_max`: of one process."""

    objective: Objective
    build: Build
    prices: Prices = Prices()
    reliability: Reliability = Reliability()
    effort: Effort = Effort()
    topology: str = DEFAULT_TOPOLOGY
    replica_cores: float = 1.0
    replicas_max: int = 64
    seed: int = 1
    spread: Spread = map
    mix: Mapping[str, float] = field(default_factory=lambda: {"pay": 1.0})

    def __post_init__(self) -> None:
        """Raises BadQuestion with everything that is wrong."""
        objective, prices, reliability = self.objective, self.prices, self.reliability
        above_zero = {
            "rate": objective.rate_per_s, "p99": objective.p99_s, "replica cores": self.replica_cores,
            "MTBF": reliability.mtbf_h, "payments": self.effort.payments,
        }  # fmt: skip
        problems = [f"{name}: {value:g} is not above 0" for name, value in above_zero.items() if not _positive(value)]
        if not 0 < objective.availability < 1:
            problems.append(f"availability: {objective.availability:g} is not between 0 and 1")
        if objective.failures < 0:
            problems.append(f"failures: {objective.failures} is below 0")
        not_negative = {"core hour": prices.core_hour, "replica hour": prices.replica_hour, "MTTR": reliability.mttr_h}
        problems += [f"{name}: {value:g} is below 0" for name, value in not_negative.items() if not value >= 0]
        if self.replicas_max < 1:
            problems.append(f"replicas at most: {self.replicas_max} is below 1")
        if problems:
            raise BadQuestion(problems)


def _positive(value: float) -> bool:
    return isfinite(value) and value > 0
