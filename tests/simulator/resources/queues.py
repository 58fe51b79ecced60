"""Queues to compare with their formulas, and the laws that hold in every run whatever is drawn."""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest

from simulator.analysis import Estimate, mean_of
from simulator.resources import Agenda, SharedCores, Station, Usage

SEEDS = range(1, 11)
LEVEL = 0.99
Drawn = Callable[[np.random.Generator, int], Any]


def exponential(random: np.random.Generator, count: int) -> Any:
    return random.exponential(1.0, count)


def constant(random: np.random.Generator, count: int) -> Any:
    return np.ones(count)


def spread(random: np.random.Generator, count: int) -> Any:
    """Mean 1, coefficient of variation 2."""
    return random.gamma(0.25, 4.0, count)


def open_queue(load: float, visit: Callable[..., Any], agenda: Agenda, services: list[float], seed: int) -> list[float]:
    """Poisson arrivals with `load` servers' work; the time in the system of each customer, by arrival (nan: lost)."""
    random = np.random.default_rng([seed, 1])
    times = np.cumsum(random.exponential(1 / load, len(services))).tolist()
    stayed = [float("nan")] * len(services)

    def left(number: int) -> None:
        stayed[number] = agenda.now - times[number]

    def arrive(number: int) -> None:
        visit(services[number], left, number)
        if number + 1 < len(services):
            agenda.at(times[number + 1], arrive, number + 1)

    agenda.at(times[0], arrive, 0)
    agenda.run_until(times[-1])
    return stayed


def station(seed: int, load: float, drawn: Drawn, servers: int = 1, room: float = float("inf"), count: int = 25_000):
    """One replication of a queue; its usage, whose laws are checked."""
    agenda = Agenda()
    queue = Station(agenda, "queue", servers, room)
    open_queue(load, queue.visit, agenda, drawn(np.random.default_rng([seed, 2]), count).tolist(), seed)
    return assert_laws(queue.usage())


def shared(seed: int, load: float, drawn: Drawn, cores: int = 1, count: int = 12_000) -> Usage:
    agenda = Agenda()
    host = SharedCores(agenda, "host", cores)
    open_queue(load, host.run, agenda, drawn(np.random.default_rng([seed, 2]), count).tolist(), seed)
    return assert_laws(host.usage())


def replicated(metric: Callable[[Usage], float], run: Callable[..., Usage], *arguments: Any, **more: Any) -> Estimate:
    """A metric over independent replications, with its interval."""
    play = partial(run, *arguments, **more)
    return mean_of([metric(play(seed)) for seed in SEEDS], LEVEL)


def assert_laws(usage: Usage) -> Usage:
    """Conservation, Little's law for the queue and the utilisation law, exactly, up to what is still inside."""
    inside = usage.arrived - usage.completed - usage.refused - usage.gave_up
    assert inside >= 0
    assert usage.busy_area_s <= usage.servers * usage.duration_s * (1 + 1e-9)
    # X D T differs from U T by the work of those who are in service now, which is at most what they asked for.
    assert usage.demand_s_sum <= usage.busy_area_s + 1e-6
    assert usage.busy_area_s - usage.demand_s_sum <= usage.servers * 50 + 1e-6
    # The integral of the queue is the sum of the waits, but for those that wait still.
    assert usage.wait_s_sum <= usage.queue_area_s + 1e-6
    assert usage.queue_area_s - usage.wait_s_sum <= inside * (usage.wait_s_max + 50) + 1e-6
    return usage


def assert_answer(estimate: Estimate, truth: float, within: float) -> None:
    """The interval covers the formula's answer, and is narrow enough for that to mean something."""
    assert estimate.relative <= within, f"{estimate} is too wide to say anything about {truth:.4g}"
    assert estimate.covers(truth), f"{estimate} does not cover {truth:.4g}"
    assert estimate.value == pytest.approx(truth, rel=within)
