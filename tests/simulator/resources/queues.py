"""Queues to compare with their formulas, and the laws that hold in every run whatever is drawn."""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest

from simulator.analysis import Estimate, mean_of
from simulator.resources import Agenda, Pool, RunQueues, SharedCores, Station, Usage

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
    return assert_laws(queue.usage(), queue.busy + queue.waiting)


def shared(seed: int, load: float, drawn: Drawn, cores: int = 1, count: int = 12_000) -> Usage:
    agenda = Agenda()
    host = SharedCores(agenda, "host", cores)
    open_queue(load, host.run, agenda, drawn(np.random.default_rng([seed, 2]), count).tolist(), seed)
    return assert_laws(host.usage(), host.running)


def queued(seed: int, load: float, drawn: Drawn, slice_s: float, count: int = 12_000, **speed: Any) -> Usage:
    """One core with a run queue."""
    agenda = Agenda()
    host = RunQueues(agenda, "host", 1, slice_s, **speed)
    open_queue(load, host.run, agenda, drawn(np.random.default_rng([seed, 2]), count).tolist(), seed)
    return assert_laws(host.usage(), host.running)


def pool(seed: int, load: float, servers: int, patience: float = float("inf"), count: int = 20_000) -> Usage:
    """Connections that are held for exponential times, and customers who wait for one at most `patience`."""
    agenda = Agenda()
    connections = Pool(agenda, "connections", servers, patience)

    def visit(held_s: float, left: Callable[[int], None], number: int) -> None:
        def give_back() -> None:
            connections.give_back()
            left(number)

        connections.take(lambda granted: agenda.after(held_s, give_back) if granted else None)

    open_queue(load, visit, agenda, exponential(np.random.default_rng([seed, 2]), count).tolist(), seed)
    return assert_laws(connections.usage(), connections.held + connections.waiting, patience)


def replicated(metric: Callable[[Usage], float], run: Callable[..., Usage], *arguments: Any, **more: Any) -> Estimate:
    """A metric over independent replications, with its interval."""
    play = partial(run, *arguments, **more)
    return mean_of([metric(play(seed)) for seed in SEEDS], LEVEL)


def assert_laws(usage: Usage, inside: int, patience: float = 0.0) -> Usage:
    """Conservation, Little's law for the queue and the utilisation law, exactly, up to what is still inside.

    `inside`: how many the resource itself says are there now; `patience`: how long each who gave up had waited.
    """
    assert usage.arrived == usage.completed + usage.refused + usage.gave_up + inside
    assert usage.busy_area_s <= usage.servers * usage.duration_s * (1 + 1e-9)
    # X D T differs from U T by the work of those who are in service now, which is at most what they asked for.
    assert usage.demand_s_sum <= usage.busy_area_s + 1e-6
    assert usage.busy_area_s - usage.demand_s_sum <= usage.servers * 50 + 1e-6
    # The integral of the queue is the sum of the waits, but for those that wait still.
    waited_s = usage.wait_s_sum + (usage.gave_up * patience if usage.gave_up else 0.0)
    assert waited_s <= usage.queue_area_s + 1e-6
    assert usage.queue_area_s - waited_s <= inside * (usage.wait_s_max + 50) + 1e-6
    return usage


def assert_answer(estimate: Estimate, truth: float, within: float) -> None:
    """The interval covers the formula's answer, and is narrow enough for that to mean something."""
    assert estimate.relative <= within, f"{estimate} is too wide to say anything about {truth:.4g}"
    assert estimate.covers(truth), f"{estimate} does not cover {truth:.4g}"
    assert estimate.value == pytest.approx(truth, rel=within)
