"""The demand table: how often a payment visits each process, and what it costs there.

One simulated run of the mix at a gentle rate (the pilot) counts the visits and the CPU. By the utilisation law
D_s = (CPU of s) / (payments): that includes calls, commits, events and whatever a payment causes afterwards. What a
process uses with nothing to do (measured in a run without arrivals) belongs to no payment and is kept apart.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from simulator.calibration import Calibration
from simulator.capacity.playing import OUTSIDE, Played, Stage, Trial, play

PILOT_PER_S = 10.0
IDLE_S = 20.0
BACKGROUND_SPREAD = 0.1
"""Cores are not always equally fast: what a process does with nothing to do varies by this share between runs."""
AFTERWARDS = ("POST /participant/decision", "POST /events")
"""Routes that are called when the client has its answer already: they load a process and delay nobody directly."""

Visits = Counter[tuple[str, str, str]]


@dataclass(frozen=True)
class Demand:
    """One process. Times are seconds of one core. `awaited`: visits a payment that the client waits for.

    `demand_s` = visits x `per_visit_s`: `endpoints_s` in the endpoints themselves, `calls_s` in calling others, and the
    rest in commits, events and background work. `variation` is that of a visit, over all its routes. `idle_cores`: of
    one replica, whatever the load. `callers`: processes that call it and choose among its replicas, each for itself.
    """

    process: str
    visits: float
    awaited: float
    demand_s: float
    endpoints_s: float
    calls_s: float
    variation: float
    idle_cores: float
    callers: tuple[str, ...]

    @property
    def per_visit_s(self) -> float:
        """CPU of one visit."""
        return self.demand_s / self.visits if self.visits else 0.0

    @property
    def commits_s(self) -> float:
        """What is neither endpoint nor call: commits, events, background."""
        return max(0.0, self.demand_s - self.endpoints_s - self.calls_s)


@dataclass(frozen=True)
class DemandTable:
    """All processes with demand, the greatest first, and the pilot that was measured.

    `unloaded_s`: latencies of payments that hardly waited anywhere. `delay_s`: the part of their mean in which no
    process worked for them: hops, the channel, waits for the disk. `fixed`: processes that no payment visits.
    """

    rows: tuple[Demand, ...]
    fixed: tuple[str, ...]
    unloaded_s: NDArray[np.float64]
    delay_s: float
    pilot_per_s: float
    pilot_payments: int
    pilot_in_flight: float
    pilot_settled_per_s: float

    def __getitem__(self, process: str) -> Demand:
        """The row of one process. Raises KeyError."""
        return next(row for row in self.rows if row.process == process)

    @property
    def demands_s(self) -> dict[str, float]:
        """D_s by process."""
        return {row.process: row.demand_s for row in self.rows}

    @property
    def unloaded_p99_s(self) -> float:
        """The p99 that no number of replicas can shorten."""
        return float(np.quantile(self.unloaded_s, 0.99))

    @property
    def little_error(self) -> float:
        """How far the pilot is from Little's law, N = X R, as a share: a check of the measurement itself."""
        expected = self.pilot_settled_per_s * float(self.unloaded_s.mean())
        return self.pilot_in_flight / expected - 1 if expected else 0.0


def measure(stage: Stage, seed: int) -> DemandTable:
    """Play the pilot and the idle run, and make the table of them."""
    vector = tuple((name, 2) for name, group in stage.groups.items() if OUTSIDE not in group)
    pilot = play(stage, Trial(vector, PILOT_PER_S, stage.effort.pilot_payments / PILOT_PER_S), seed)
    idle = play(stage, Trial(vector, 1e-6, IDLE_S), seed)
    idle_cores = {name: cpu_s / idle.duration_s / 2 for name, cpu_s in idle.cpu_s.items()}
    calibration = stage.build(1.0, 1.0, seed).calibration
    return table_of(stage.groups, calibration, pilot, idle_cores, dict(vector), stage.cores)


def table_of(
    groups: Mapping[str, tuple[str, ...]],
    calibration: Calibration,
    pilot: Played,
    idle_cores: Mapping[str, float],
    replicas: Mapping[str, int],
    cores: float,
) -> DemandTable:
    """The table of a pilot, its CPU figures given. CPU of a slow core (a quota) is brought back to whole cores."""
    speed = min(1.0, cores)
    rows, fixed = [], []
    for name, group in groups.items():
        if OUTSIDE in group:
            continue
        background_s = idle_cores[name] * replicas[name] * pilot.duration_s
        beyond_s = max(0.0, pilot.cpu_s[name] - background_s)
        demand_s = beyond_s * speed / pilot.payments
        visits = Counter({key: count for key, count in pilot.visits.items() if key[1] in group})
        if beyond_s <= BACKGROUND_SPREAD * background_s and not visits:
            fixed.append(name)
            continue
        rows.append(_row(name, groups, visits, pilot, calibration, demand_s, idle_cores[name] * speed))
    rows.sort(key=lambda row: -row.demand_s)
    worked_s = sum(row.per_visit_s * row.awaited for row in rows)
    metrics = pilot.metrics
    return DemandTable(
        tuple(rows),
        tuple(fixed),
        pilot.latencies_s,
        max(0.0, float(pilot.latencies_s.mean()) - worked_s / speed),
        PILOT_PER_S,
        pilot.payments,
        metrics["in_flight"],
        metrics["settled_per_s"],
    )


def _row(
    name: str,
    groups: Mapping[str, tuple[str, ...]],
    visits: Visits,
    pilot: Played,
    calibration: Calibration,
    demand_s: float,
    idle_cores: float,
) -> Demand:
    group, payments = groups[name], pilot.payments
    calls = sum(count for (caller, _, _), count in pilot.visits.items() if caller in group)
    callers = {caller for caller, _, _ in visits}
    return Demand(
        process=name,
        visits=sum(visits.values()) / payments,
        awaited=sum(count for (_, _, route), count in visits.items() if route not in AFTERWARDS) / payments,
        demand_s=demand_s,
        endpoints_s=sum(
            count * calibration.demand(service, route).cpu_s for (_, service, route), count in visits.items()
        )
        / payments,
        calls_s=calls * calibration.call_cpu_s / payments,
        variation=variation(visits, calibration),
        idle_cores=idle_cores,
        callers=tuple(sorted(_group_of(caller, groups) for caller in callers)),
    )


def variation(visits: Visits, calibration: Calibration) -> float:
    """The coefficient of variation of a visit's work: between routes, and around each route's mean."""
    weights = np.array(list(visits.values()), dtype=float)
    if not weights.sum():
        return 0.0
    found = [calibration.demand(service, route) for _, service, route in visits]
    means_s = np.array([demand.cpu_s for demand in found])
    squares = means_s**2 * (1 + np.array([demand.variation for demand in found]) ** 2)
    mean_s = float(np.average(means_s, weights=weights))
    return float(max(0.0, np.average(squares, weights=weights) / mean_s**2 - 1) ** 0.5) if mean_s else 0.0


def _group_of(service: str, groups: Mapping[str, tuple[str, ...]]) -> str:
    return next((name for name, group in groups.items() if service in group), service)
