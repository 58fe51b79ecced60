"""One trial: a replica vector, a rate and a seed, played by the model; what the client saw, as plain figures.

The clients are many and elsewhere, so their own CPU costs nothing here; the channel stands for banks outside the
platform, and is given as many replicas as it takes not to matter.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from math import ceil, inf

import numpy as np
import pandas as pd

from settlement.topology import BACKOFFICE, BACKOFFICE_PROCESS, process_name, processes
from simulator.capacity.question import Build, Effort
from simulator.inputs import Fault
from simulator.kernel import uncollected
from simulator.model import Simulation
from simulator.placement import Placement

OUTSIDE = "channel"
OUTSIDE_RATE_PER_REPLICA = 40.0
"""Payments a second that one replica of the channel is given: it is then less than a quarter busy."""

Vector = tuple[tuple[str, int], ...]
"""Replicas by process, in the topology's order; a process is named as by `groups_of`."""


@dataclass(frozen=True)
class Kill:
    """`count` replicas of a process die at `at_s` and do not come back; measured is what begins `quiet_s` later."""

    process: str
    count: int
    at_s: float
    quiet_s: float


@dataclass(frozen=True)
class Trial:
    """What is played. `slower` stretches everything that a process does (1.1: 10 % more demand)."""

    vector: Vector
    rate_per_s: float
    measured_s: float
    kill: Kill | None = None
    slower: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True)
class Played:
    """Figures of one trial. `cpu_s`: of all replicas of each process, over the whole run."""

    metrics: Mapping[str, float]
    latencies_s: np.ndarray[tuple[int], np.dtype[np.float64]]
    visits: Counter[tuple[str, str, str]]
    cpu_s: Mapping[str, float]
    payments: int
    duration_s: float


@dataclass(frozen=True)
class Stage:
    """What does not change between the trials of one question."""

    build: Build
    topology: str
    cores: float
    effort: Effort
    groups: dict[str, tuple[str, ...]] = field(default_factory=dict)


def stage_of(build: Build, topology: str, cores: float, effort: Effort) -> Stage:
    """The stage on which a question's trials are played."""
    return Stage(build, topology, cores, effort, groups_of(topology))


def groups_of(topology: str) -> dict[str, tuple[str, ...]]:
    """The services of each process by its name: `gateway`, `usercenter+order`, `backoffice`."""
    return {_name(group): group for group in processes(topology)}


def _name(group: tuple[str, ...]) -> str:
    return BACKOFFICE_PROCESS if len(group) > 1 and set(group) <= set(BACKOFFICE) else "+".join(group)


def play(stage: Stage, trial: Trial, seed: int) -> Played:
    """Play one trial."""
    warm_up_s = trial.kill.at_s + trial.kill.quiet_s if trial.kill else stage.effort.warm_up_s
    load_s = warm_up_s + trial.measured_s
    plan = stage.build(trial.rate_per_s, load_s, seed)
    counts = {service: count for name, count in trial.vector for service in stage.groups[name]}
    counts[OUTSIDE] = max(2, ceil(trial.rate_per_s / OUTSIDE_RATE_PER_REPLICA))
    slower = {stage.groups[name][0]: factor for name, factor in trial.slower}
    plan = replace(
        plan,
        duration_s=load_s + stage.effort.settle_s,
        calibration=plan.calibration.with_free_clients(),
        placement=Placement(stage.cores, slower),
        replicas=counts,
        faults=tuple(_faults(stage, trial.kill)),
    )
    with uncollected():
        simulation = Simulation(plan)
        tables = simulation.run(names=("payments", "resources"))
        visits = simulation.network.visits
        simulation.forget()
    pays = tables["payments"]
    pays = pays[pays["kind"] == "pay"]
    measured = pays[(pays["intended_s"] >= warm_up_s) & (pays["intended_s"] < load_s)]
    ok = measured["outcome"] == "ok"
    latencies_s = (measured["ended_s"] - measured["intended_s"])[ok].to_numpy(dtype=float)
    return Played(
        metrics=_metrics(measured, latencies_s, pays, load_s, trial),
        latencies_s=latencies_s,
        visits=visits,
        cpu_s=_cpu_s(tables["resources"], stage),
        payments=len(pays),
        duration_s=load_s,
    )


def metrics_of(stage: Stage, job: tuple[Trial, int]) -> dict[str, float]:
    """One replication of a trial with a seed, for workers: the figures alone."""
    return dict(play(stage, *job).metrics)


def _metrics(
    measured: pd.DataFrame,
    latencies_s: np.ndarray[tuple[int], np.dtype[np.float64]],
    pays: pd.DataFrame,
    load_s: float,
    trial: Trial,
) -> dict[str, float]:
    asked = len(measured)
    ended = int((measured["ended_s"] <= load_s).sum())
    return {
        # A run in which nothing succeeded has no percentile: it is worse than any.
        "p99_s": float(np.quantile(latencies_s, 0.99, method="inverted_cdf")) if len(latencies_s) else inf,
        "p50_s": float(np.quantile(latencies_s, 0.5, method="inverted_cdf")) if len(latencies_s) else inf,
        "mean_s": float(latencies_s.mean()) if len(latencies_s) else inf,
        "success": len(latencies_s) / asked if asked else 1.0,
        "settled_per_s": len(latencies_s) / trial.measured_s,
        "in_flight": _in_flight(pays, load_s - trial.measured_s, load_s),
        "left_over": (asked - ended) / max(1, asked),
        "lost": float((pays["outcome"] != "ok").sum()),
    }


def _in_flight(pays: pd.DataFrame, start_s: float, end_s: float) -> float:
    """The mean number of payments under way in [start_s, end_s)."""
    ended_s, intended_s = pays["ended_s"].to_numpy(dtype=float), pays["intended_s"].to_numpy(dtype=float)
    inside_s = np.minimum(ended_s, end_s) - np.maximum(intended_s, start_s)
    return float(np.clip(inside_s, 0.0, None).sum() / (end_s - start_s))


def _cpu_s(resources: pd.DataFrame, stage: Stage) -> dict[str, float]:
    """Seconds of CPU by process, its replicas together. (Samples are a second apart.)"""
    spent = resources.groupby("process")["cpu_s_per_s"].sum()
    first = {name: process_name(group, 0).removesuffix("-0") for name, group in stage.groups.items()}
    return {
        name: float(sum(value for process, value in spent.items() if str(process).rsplit("-", 1)[0] == stem))
        for name, stem in first.items()
    }


def _faults(stage: Stage, kill: Kill | None) -> list[Fault]:
    if kill is None:
        return []
    service = stage.groups[kill.process][0]
    return [
        Fault(f"k{number}", "kill", kill.at_s, kill.at_s, {"service": service, "replica": number})
        for number in range(kill.count)
    ]
