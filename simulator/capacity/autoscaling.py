"""Autoscaler tuning: targets and stabilisation windows over a changing load; cost against payments that are too slow.

Each process of the demand table is a queue of its own whose replicas the autoscaler changes every 15 s; a new one
serves after `startup_s`, one that is taken away serves nobody any more. Waits come from the recursion, so an hour of
load takes a second. A payment is too slow if what it takes without load, plus the mean waits of its second at all the
visits that its client waits for, exceeds the objective.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil

import numpy as np
from numba import njit
from numpy.typing import NDArray

from settlement.policies.autoscaler import Autoscaler, Scaling
from simulator.capacity.demands import Demand, DemandTable

Floats = NDArray[np.float64]
PERIOD_S = 15.0
"""Between two decisions, as Kubernetes' controller has it."""

REPLICAS_MAX = 64
"""Of one process."""


@dataclass(frozen=True)
class Profile:
    """The load over time: (payments per second, seconds) one after the other."""

    stages: tuple[tuple[float, float], ...]

    @classmethod
    def wave(cls, peak_per_s: float, rise_s: float = 120.0, top_s: float = 600.0, steps: int = 8) -> "Profile":
        """From a quarter of the peak up to it, a while there, and back again."""
        rates = [peak_per_s * (0.25 + 0.75 * step / steps) for step in range(steps)]
        up = [(rate_per_s, rise_s / steps) for rate_per_s in rates]
        return cls(((peak_per_s / 4, rise_s), *up, (peak_per_s, top_s), *up[::-1], (peak_per_s / 4, top_s)))

    @property
    def duration_s(self) -> float:
        """How long all of it takes."""
        return sum(for_s for _, for_s in self.stages)

    @property
    def payments(self) -> float:
        """How many payments are expected."""
        return sum(rate_per_s * for_s for rate_per_s, for_s in self.stages)

    def arrivals(self, visits: float, random: np.random.Generator) -> Floats:
        """Moments of Poisson visits, so many a payment."""
        moments, start_s = [], 0.0
        for rate_per_s, for_s in self.stages:
            count = random.poisson(rate_per_s * visits * for_s)
            moments.append(start_s + np.sort(random.uniform(0, for_s, count)))
            start_s += for_s
        return np.concatenate(moments)

    def rate_per_s(self, seconds: NDArray[np.int64]) -> Floats:
        """The rate in each of these seconds."""
        ends_s = np.cumsum([for_s for _, for_s in self.stages])
        rates = np.array([rate_per_s for rate_per_s, _ in self.stages])
        return rates[np.minimum(np.searchsorted(ends_s, seconds, side="right"), len(rates) - 1)]


@dataclass(frozen=True)
class Scaled:
    """One tuning over the profile. `replicas`: of all processes together, each period. `slow`: share of payments."""

    tuning: Scaling
    slow: float
    replica_hours: float
    replicas: tuple[int, ...]
    changes: int
    worst_s: float

    @property
    def replicas_most(self) -> int:
        """Replicas at the highest."""
        return max(self.replicas)


@njit(cache=True)  # type: ignore[untyped-decorator, unused-ignore]
def _serve(moments_s: Floats, services_s: Floats, free_at_s: Floats, replicas: int, busy_s: Floats, period_s: float,
           ) -> Floats:  # fmt: skip
    """Waits of these visits; `free_at_s` and `busy_s` (work by the period in which it is done) are carried on."""
    waited_s = np.empty(len(moments_s))
    for n in range(len(moments_s)):
        first = 0
        for server in range(1, replicas):
            if free_at_s[server] < free_at_s[first]:
                first = server
        start_s = max(moments_s[n], free_at_s[first])
        waited_s[n] = start_s - moments_s[n]
        free_at_s[first] = start_s + services_s[n]
        busy_s[min(int(start_s / period_s), len(busy_s) - 1)] += services_s[n]
    return waited_s


def scaled(profile: Profile, table: DemandTable, tuning: Scaling, p99_s: float, startup_s: float, seed: int,
           speed: float = 1.0) -> Scaled:  # fmt: skip
    """Play the profile with one tuning. The same seed is the same luck for every tuning."""
    seconds = np.arange(ceil(profile.duration_s))
    waited_s = np.zeros(len(seconds))
    totals = np.zeros(ceil(profile.duration_s / PERIOD_S), dtype=np.int64)
    changes = 0
    for number, row in enumerate(table.rows):
        by_second_s, replicas = _process(profile, row, tuning, startup_s, np.random.default_rng([seed, number]), speed)
        waited_s += row.awaited * by_second_s
        totals += replicas
        changes += int(np.count_nonzero(np.diff(replicas)))
    rates = profile.rate_per_s(seconds)
    unloaded_s = np.sort(table.unloaded_s)
    # Of a second's payments, those are too slow whose unloaded latency leaves less room than that second's waits.
    room = np.searchsorted(unloaded_s, p99_s - waited_s, side="right") / len(unloaded_s)
    slow = float(np.average(1 - room, weights=rates))
    hours = float(totals.sum() * PERIOD_S / 3600)
    return Scaled(tuning, slow, hours, tuple(int(total) for total in totals), changes, float(waited_s.max()))


def _process(
    profile: Profile, row: Demand, tuning: Scaling, startup_s: float, random: np.random.Generator, speed: float
) -> tuple[Floats, NDArray[np.int64]]:
    """Mean waits of one process by second, and its replicas by period."""
    moments_s = profile.arrivals(row.visits, random)
    available = max(1e-9, speed - row.idle_cores)
    mean_s, shape = row.per_visit_s / available, 1 / max(row.variation, 1e-3) ** 2
    services_s = random.gamma(shape, mean_s / shape, len(moments_s))
    periods = ceil(profile.duration_s / PERIOD_S)
    replicas = _first(profile, row, tuning, available)
    free_at_s, busy_s = np.zeros(tuning.replicas_max), np.zeros(periods + 1)
    scaler, history, waits_s = Autoscaler(tuning), np.empty(periods, dtype=np.int64), []
    edges = np.searchsorted(moments_s, np.arange(periods + 1) * PERIOD_S)
    for period in range(periods):
        history[period] = replicas
        inside = slice(edges[period], edges[period + 1])
        waits_s.append(_serve(moments_s[inside], services_s[inside], free_at_s, replicas, busy_s, PERIOD_S))
        utilisation = min(1.0, busy_s[period] / (replicas * PERIOD_S) * available / speed + row.idle_cores / speed)
        now_s = (period + 1) * PERIOD_S
        wanted = scaler.recommend(replicas, utilisation, now_s)
        free_at_s[replicas:wanted] = now_s + startup_s
        replicas = wanted
    return _by_second(moments_s, np.concatenate(waits_s), ceil(profile.duration_s)), history


def _first(profile: Profile, row: Demand, tuning: Scaling, available: float) -> int:
    """What the target asks for at the rate with which the profile begins: it has been so for long."""
    wanted = ceil(profile.stages[0][0] * row.demand_s / available / tuning.target)
    return max(tuning.replicas_min, min(tuning.replicas_max, wanted))


def _by_second(moments_s: Floats, waits_s: Floats, seconds: int) -> Floats:
    places = np.minimum(moments_s.astype(np.int64), seconds - 1)
    counts = np.bincount(places, minlength=seconds)
    means: Floats = np.bincount(places, waits_s, minlength=seconds) / np.maximum(1, counts)
    return means


def best(found: Sequence[Scaled], slow_max: float = 0.01) -> Scaled | None:
    """The cheapest tuning under which no more than `slow_max` of the payments were too slow; None: there is none."""
    good = [each for each in found if each.slow <= slow_max]
    return min(good, key=lambda each: (each.replica_hours, each.slow), default=None)
