"""One queue, M/M/c, in every simulator that could have been chosen: the same customers' worth of work, idiomatically.

Every candidate draws its own exponential times, serves first come first served, and tells how long each customer
stayed; that is what a model's author needs from it, so that is what is paid for.
"""

import random
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass
from itertools import islice
from typing import Any

import ciw
import numpy as np
import salabim
import simpy
from numpy.typing import NDArray

from simulator.formulas import mmc_wait
from simulator.resources import Agenda, Station
from simulator.screening import waits

Floats = NDArray[np.float64]
SERVICE_S = 1.0


@dataclass(frozen=True)
class Queue:
    """M/M/`servers` at `utilisation`; services take SERVICE_S on average."""

    servers: int
    utilisation: float

    @property
    def name(self) -> str:
        """As the textbooks write it."""
        return f"M/M/{self.servers} at {self.utilisation:.0%}"

    @property
    def rate_per_s(self) -> float:
        """Arrivals a second."""
        return self.utilisation * self.servers / SERVICE_S

    @property
    def stay_s(self) -> float:
        """The mean time in the system, by Erlang's formula."""
        return SERVICE_S * (1.0 + mmc_wait(self.utilisation * self.servers, self.servers))


@dataclass(frozen=True)
class Round:
    """One run: its CPU seconds, and how long each customer stayed, in the order of their coming or going."""

    cpu_s: float
    stayed_s: Floats


Candidate = Callable[[Queue, int, int], Round]
"""(queue, customers, seed) -> what came of it. Only the simulation is timed, not the making of it."""


def agenda(queue: Queue, customers: int, seed: int) -> Round:
    """Ours: callbacks on an agenda, and a station that keeps its statistics besides."""
    draw = random.Random(seed).expovariate
    clock, stayed_s, left_to_come = Agenda(), list[float](), iter(range(customers))
    station = Station(clock, "queue", queue.servers)

    def left(arrived_s: float) -> None:
        stayed_s.append(clock.now - arrived_s)

    def arrive(_number: int) -> None:
        station.visit(draw(1 / SERVICE_S), left, clock.now)
        for number in islice(left_to_come, 1):
            clock.after(draw(queue.rate_per_s), arrive, number)

    clock.after(0.0, arrive, next(left_to_come))
    return _timed(lambda: clock.run_until(float("inf")), lambda: stayed_s)


def simpy_resource(queue: Queue, customers: int, seed: int) -> Round:
    """SimPy as its documentation teaches it: a process a customer, a Resource."""
    draw = random.Random(seed).expovariate
    environment, stayed_s = simpy.Environment(), list[float]()
    servers = simpy.Resource(environment, queue.servers)

    def customer() -> Generator[Any, Any, None]:
        arrived_s = environment.now
        with servers.request() as request:
            yield request
            yield environment.timeout(draw(1 / SERVICE_S))
        stayed_s.append(environment.now - arrived_s)

    def source() -> Generator[Any, Any, None]:
        for _ in range(customers):
            environment.process(customer())
            yield environment.timeout(draw(queue.rate_per_s))

    environment.process(source())
    return _timed(environment.run, lambda: stayed_s)


def ciw_network(queue: Queue, customers: int, seed: int) -> Round:
    """Ciw: a network of one node."""
    network = ciw.create_network(
        arrival_distributions=[ciw.dists.Exponential(queue.rate_per_s)],
        service_distributions=[ciw.dists.Exponential(1 / SERVICE_S)],
        number_of_servers=[queue.servers],
    )
    ciw.seed(seed)
    simulation = ciw.Simulation(network)

    def stayed_s() -> list[float]:
        records = sorted(simulation.get_all_records(), key=lambda record: record.arrival_date)
        return [record.exit_date - record.arrival_date for record in records]

    return _timed(lambda: simulation.simulate_until_max_customers(customers, method="Complete"), stayed_s)


def salabim_components(queue: Queue, customers: int, seed: int) -> Round:
    """Salabim: a component a customer, a resource."""
    salabim.yieldless(False)
    draw = random.Random(seed).expovariate
    environment, stayed_s = salabim.Environment(random_seed=seed), list[float]()
    servers = salabim.Resource("servers", capacity=queue.servers, env=environment)

    class Customer(salabim.Component):  # type: ignore[misc] # salabim is untyped
        def process(self) -> Generator[Any, Any, None]:
            arrived_s = environment.now()
            yield self.request(servers)
            yield self.hold(draw(1 / SERVICE_S))
            self.release()
            stayed_s.append(environment.now() - arrived_s)

    class Source(salabim.Component):  # type: ignore[misc] # salabim is untyped
        def process(self) -> Generator[Any, Any, None]:
            for _ in range(customers):
                Customer(env=environment)
                yield self.hold(draw(queue.rate_per_s))

    Source(env=environment)
    return _timed(environment.run, lambda: stayed_s)


def recursion(queue: Queue, customers: int, seed: int) -> Round:
    """What screening uses: the compiled recursion, of times that were drawn before."""
    drawn = np.random.default_rng(seed)
    gaps_s = drawn.exponential(1 / queue.rate_per_s, customers)
    services_s = drawn.exponential(SERVICE_S, customers)
    waits(gaps_s[:10], services_s[:10], queue.servers)  # compiled before the clock runs
    started_s = time.process_time()
    waited_s = waits(gaps_s, services_s, queue.servers)
    return Round(time.process_time() - started_s, waited_s + services_s)


def largest_difference_s(queue: Queue, customers: int, seed: int) -> float:
    """The most that any customer's stay differs between the agenda and the recursion, given the same times."""
    drawn = np.random.default_rng(seed)
    gaps_s = drawn.exponential(1 / queue.rate_per_s, customers)
    services_s = drawn.exponential(SERVICE_S, customers)
    arrivals_s = np.cumsum(gaps_s)
    clock, stayed_s = Agenda(), np.full(customers, np.nan)
    station = Station(clock, "queue", queue.servers)

    def left(number: int) -> None:
        stayed_s[number] = clock.now - arrivals_s[number]

    def visit(service_s: float, number: int) -> None:
        station.visit(service_s, left, number)

    for number, (at_s, service_s) in enumerate(zip(arrivals_s.tolist(), services_s.tolist(), strict=True)):
        clock.at(at_s, visit, service_s, number)
    clock.run_until(float("inf"))
    return float(np.abs(stayed_s - waits(gaps_s, services_s, queue.servers) - services_s).max())


def _timed(run: Callable[[], object], stayed_s: Callable[[], list[float]]) -> Round:
    started_s = time.process_time()
    run()
    return Round(time.process_time() - started_s, np.asarray(stayed_s()))
