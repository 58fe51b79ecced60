"""The composition root: builds the platform that the input describes, plays it, and returns the history tables.

    tables = simulate(SimulationInput(seed=7, duration_s=45, ...))

The platform is the shipped protocol code in virtual time; the input is all there is: equal inputs, equal tables.
"""

from collections.abc import Callable, Iterable
from dataclasses import fields, is_dataclass
from typing import Any

import pandas as pd

from simulator.books import Books
from simulator.calibration import CLIENT, LAB
from simulator.calling import ClientCaller
from simulator.channel import ChannelStore
from simulator.clients import Clients
from simulator.coordinator_node import TransactionStore
from simulator.database import DatabaseServer
from simulator.directory import Directory
from simulator.events import Trail
from simulator.faults import CrashPoints, LinkFaults
from simulator.hosts import Process
from simulator.idling import idle
from simulator.inputs import SimulationInput
from simulator.kernel import Kernel, uncollected
from simulator.network import Network
from simulator.orders import OrderStore, Stock
from simulator.payments import PaymentStore
from simulator.placement import Hosts
from simulator.plant import Plant
from simulator.purchases import Shoppers
from simulator.randomness import Streams
from simulator.recorder import COLUMNS, Databases, History, Recorder, history_of, tables
from simulator.replica import Replica
from simulator.resources import Usage
from simulator.service import Broker, Platform
from simulator.timeline import FaultRecord, Timeline

SAMPLE_INTERVAL_S = 1.0
SETTLE_S_MAX = 20.0
SETTLE_POLL_S = 0.25
Watch = Callable[[float], None]


def simulate(plan: SimulationInput, watch: Watch | None = None) -> dict[str, pd.DataFrame]:
    """Play `plan`; the history tables by name. `watch` is told the virtual time once a virtual second."""
    with uncollected():
        simulation = Simulation(plan)
        history = simulation.run(watch)
        simulation.forget()
    return history


class Simulation:
    """One run."""

    def __init__(self, plan: SimulationInput) -> None:
        self.plan = plan
        self.kernel = Kernel()
        self.recorder = Recorder()
        self.databases = _databases(plan)
        streams = Streams(plan.seed)
        self._links, self.crash_points = LinkFaults(streams), CrashPoints()
        directory = Directory(self.kernel, plan)
        protocol = str(plan.setting("gateway.protocol"))
        self.network = network = Network(self.kernel, plan.calibration, streams, self._links, protocol)
        costs = plan.calibration
        self.hosts = Hosts(plan.placement, self.kernel, costs, streams)
        self._server = DatabaseServer(self.hosts.for_database(), plan.calibration.database_cpu_s)
        self._platform = Platform(
            self.kernel, network, self.crash_points, plan, self._links, self.hosts.of, Broker(), streams
        )
        self.plant = Plant(self._platform, self.databases, directory, self.recorder, self._server)
        self.replicas = self.plant.replicas
        self._generator = Process(self.hosts.of(()), CLIENT)
        self._watchers = [self._generator]
        if plan.placement.cores is None:  # whoever watches a machine uses it too
            self._watchers.append(Process(self.hosts.all[0], LAB))
        self.source = source = Replica(CLIENT, CLIENT, self._generator)
        source.caller = ClientCaller(self.kernel, directory, plan, CLIENT)
        self.clients = Clients(self.kernel, network, source, plan, self.recorder)
        self.shoppers = Shoppers(self.kernel, network, source, plan, self.recorder, self.clients.interrupted)
        self.timeline = Timeline(self.kernel, self._links, self.crash_points, self.replicas, self.plant)

    def run(self, watch: Watch | None = None, names: Iterable[str] = COLUMNS) -> dict[str, pd.DataFrame]:
        """Play it to the end; the history tables of these names."""
        with uncollected():
            self.begin()
            self._sample({}, watch)
            self.kernel.run_until(self.plan.duration_s)
            self._settle()
            return tables(self.end(names))

    def begin(self) -> None:
        """Start every process, and put load and faults on the agenda."""
        self.plant.start()
        for process in self._watchers:
            chance = self._platform.streams.uniform("idle", process.name).draw
            idle(process, self.plan.calibration.idle_cpu.get(process.name, 0.0), chance)
        self.timeline.schedule(self.plan.faults, self.plan.load_s)
        self.clients.start()
        self.shoppers.start()

    def end(self, names: Iterable[str] = COLUMNS) -> History:
        """Stop here: the columns of the history tables of these names."""
        self.timeline.finish()
        self.clients.finish()
        self.plant.stop()
        self.recorder.stations = [_station_row(kind, usage) for kind, usage in self.usages()]
        faults = [_fault_row(record) for record in self.timeline.records]
        return history_of(self.recorder, self.databases, faults, self._generator_row(), names)

    def forget(self) -> None:
        """Let go of all that was written. In cycles it would last until the collector had looked through all of it."""
        self.kernel.heap.clear()
        _empty(self.recorder)
        _empty(self.databases)

    def usages(self) -> list[tuple[str, Usage]]:
        """What every host, event loop and pool of connections has done so far: its kind and its figures."""
        hosts = [("host", host.cores.usage()) for host in self.hosts.all]
        return [*hosts, *self.plant.usages(), *(("process", process.usage()) for process in self._watchers)]

    def _settle(self) -> None:
        """As the real worlds do: until no transaction is unfinished and audit knows all, at most SETTLE_S_MAX more."""
        until_s = self.plan.duration_s + SETTLE_S_MAX
        while (self.databases.gateway.unfinished or self.databases.untold) and self.kernel.now < until_s:
            self.kernel.run_until(self.kernel.now + SETTLE_POLL_S)

    # -- measuring --------------------------------------------------------------------------------------------------

    def _sample(self, before_s: dict[str, float], watch: Watch | None) -> None:
        def sample() -> None:
            for process in (*self.plant.processes, *self._watchers):
                spent_s = process.cpu_s - before_s.get(process.name, 0.0)
                rss_bytes = self.plan.calibration.rss_bytes if process.running else 0
                self.recorder.resources.append(
                    (self.kernel.now, process.name, round(spent_s / SAMPLE_INTERVAL_S, 9), rss_bytes)
                )
            if watch is not None:
                watch(self.kernel.now)
            processes = (*self.plant.processes, *self._watchers)
            self._sample({process.name: process.cpu_s for process in processes}, watch)

        self.kernel.after(SAMPLE_INTERVAL_S, sample)

    def _generator_row(self) -> dict[str, Any]:
        pool, lags_s = self.clients.pool, sorted(self.clients.pool.lags_s)
        return {
            "planned": self.clients.planned,
            "started": pool.started,
            "dropped": pool.dropped,
            "lag_p99_s": lags_s[min(len(lags_s) - 1, int(0.99 * len(lags_s)))] if lags_s else 0.0,
            "cpu_s_per_s": self._generator.cpu_s / self.plan.load_s if self.plan.load_s else 0.0,
            "workers_lost": 0,
        }


def _databases(plan: SimulationInput) -> Databases:
    units = int(plan.setting("order.stock_per_goods"))
    goods = range(1, int(plan.setting("order.goods_count")) + 1)
    order = OrderStore(stock={goods_id: Stock(units, units) for goods_id in goods})
    books = Books(int(plan.setting("payment.opening_balance_minor")))
    return Databases(TransactionStore(), order, PaymentStore(books), ChannelStore(), Trail())


def _fault_row(record: FaultRecord) -> dict[str, Any]:
    return {
        "id": record.fault.id,
        "kind": record.fault.kind,
        "target": record.target,
        "planned_s": record.fault.at_s,
        "started_s": record.started_s,
        "ended_s": record.ended_s,
        "hits": record.hits,
        "detail": record.detail,
    }


def _station_row(kind: str, usage: Usage) -> dict[str, Any]:
    return {
        "name": usage.name,
        "kind": kind,
        "capacity": float(usage.servers),
        "utilisation": usage.utilisation,
        "queue_mean": usage.queue_mean,
        "queue_max": usage.queue_max,
        "wait_mean_s": usage.wait_mean_s,
        "wait_max_s": usage.wait_s_max,
        "demand_mean_s": usage.demand_mean_s,
        "arrivals": usage.arrived,
        "completions": usage.completed,
    }


def _empty(store: Any) -> None:
    """Empty all tables of a store, and the ledger's book. (What is compiled has no `vars`.)"""
    for each in fields(store):
        part = getattr(store, each.name)
        if is_dataclass(part):
            _empty(part)
        elif hasattr(part, "clear"):
            part.clear()
        elif hasattr(part, "__dict__"):
            vars(part).clear()
