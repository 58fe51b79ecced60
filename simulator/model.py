"""The composition root: builds the platform that the input describes, plays it, and returns the history tables.

    tables = simulate(SimulationInput(seed=7, duration_s=45, ...))

The platform is the shipped protocol code in virtual time; the input is all there is: equal inputs, equal tables.
"""

from collections.abc import Callable
from typing import Any

import pandas as pd

from settlement.topology import process_name, processes, replica_name
from simulator.books import Books
from simulator.channel import Channel, ChannelStore
from simulator.clients import CLIENT, Clients
from simulator.coordinator_node import TransactionStore
from simulator.directory import Directory
from simulator.faults import CrashPoints, LinkFaults
from simulator.gateway import Gateway
from simulator.hosts import App, Process, Replica
from simulator.inputs import SimulationInput
from simulator.kernel import Kernel, uncollected
from simulator.network import Network
from simulator.orders import Cart, OrderService, OrderStore, Stock
from simulator.payments import PaymentService, PaymentStore
from simulator.placement import hosts_of
from simulator.purchases import Shoppers
from simulator.randomness import Streams
from simulator.recorder import Databases, Recorder, all_rows, tables
from simulator.service import Platform, Service
from simulator.timeline import FaultRecord, LifeCycle, Timeline

SAMPLE_INTERVAL_S = 1.0
SETTLE_S_MAX = 20.0
SETTLE_POLL_S = 0.25
Watch = Callable[[float], None]


def simulate(plan: SimulationInput, watch: Watch | None = None) -> dict[str, pd.DataFrame]:
    """Play `plan`; the history tables by name. `watch` is told the virtual time once a virtual second."""
    return Simulation(plan).run(watch)


class Simulation:
    """One run."""

    def __init__(self, plan: SimulationInput) -> None:
        self.plan = plan
        self.kernel = Kernel()
        self.recorder = Recorder()
        self.databases = _databases(plan)
        self.replicas: dict[str, Replica] = {}
        streams = Streams(plan.seed)
        self._links, self.crash_points = LinkFaults(streams), CrashPoints()
        self._directory = Directory(self.kernel, plan.setting_s("registry.lease_ms"))
        self.network = network = Network(self.kernel, plan.calibration, streams, self._links, self._directory)
        self._platform = Platform(self.kernel, network, self.crash_points, plan)
        self._host_of = hosts_of(plan.placement, self.kernel, plan.calibration.cores)
        self._processes: list[Process] = []
        self._carts: dict[int, dict[int, int]] = {}
        self._build(network)
        generator = Process(self._host_of(()), CLIENT)
        self._processes.append(generator)
        source = Replica(CLIENT, CLIENT, generator)
        self.clients = Clients(self.kernel, network, source, plan, self.recorder)
        self.shoppers = Shoppers(self.kernel, network, source, plan, self.recorder, self.clients.interrupted)
        life = LifeCycle(self._kill, self._restart, self._pause, self._resume)
        self.timeline = Timeline(self.kernel, self._links, self.crash_points, self.replicas, life)

    def run(self, watch: Watch | None = None) -> dict[str, pd.DataFrame]:
        """Play it to the end."""
        with uncollected():
            self.begin()
            self._sample({process.name: 0.0 for process in self._processes}, watch)
            self.kernel.run_until(self.plan.duration_s)
            self._settle()
            return tables(self.end())

    def begin(self) -> None:
        """Start every process, and put load and faults on the agenda."""
        for process in self._processes[:-1]:
            self._note(process, "started")
            self._boot(process)
        self.timeline.schedule(self.plan.faults, self.plan.load_s)
        self.clients.start()
        self.shoppers.start()

    def end(self) -> dict[str, list[Any]]:
        """Stop here: the rows of all history tables."""
        self.timeline.finish()
        self.clients.finish()
        for process in self._processes[:-1]:
            self._note(process, "stopped")
        faults = [_fault_row(record) for record in self.timeline.records]
        return all_rows(self.recorder, self.databases, faults, self._generator_row())

    def _settle(self) -> None:
        """As the real worlds do: go on until no transaction is unfinished, at most SETTLE_S_MAX more."""
        until_s = self.plan.duration_s + SETTLE_S_MAX
        while self.databases.gateway.unfinished and self.kernel.now_s < until_s:
            self.kernel.run_until(self.kernel.now_s + SETTLE_POLL_S)

    # -- building ---------------------------------------------------------------------------------------------------

    def _build(self, network: Network) -> None:
        for services in processes(self.plan.topology):
            count = max(self.plan.replicas.get(service, 1) for service in services)
            for number in range(count):
                process = Process(self._host_of(services), process_name(services, number))
                network.watch(process)
                self._processes.append(process)
                for service in services:
                    replica = Replica(service, replica_name(service, number), process)
                    self.replicas[replica.name] = replica

    def _boot(self, process: Process) -> None:
        process.start()
        for replica in self._replicas_of(process):
            app = self._service(replica)
            replica.app = app
            self._directory.register(replica)
            app.start()
        self._note(process, "ready")

    def _service(self, replica: Replica) -> App:
        match replica.service:
            case "gateway":
                return Gateway(self._platform, replica, self.databases.gateway)
            case "order":
                return OrderService(self._platform, replica, self.databases.order)
            case "payment":
                return PaymentService(self._platform, replica, self.databases.payment)
            case "channel":
                return Channel(self._platform, replica, self.databases.channel)
            case "cart":
                return Cart(self._platform, replica, self._carts)
            case _:  # no journey of a run reaches the registry or the user center
                return Service(self._platform, replica)

    def _replicas_of(self, process: Process) -> list[Replica]:
        return [replica for replica in self.replicas.values() if replica.process is process]

    # -- life and death ---------------------------------------------------------------------------------------------

    def _kill(self, process: Process) -> None:
        for replica in self._replicas_of(process):
            replica.app = None
            self._directory.silent(replica)
        process.kill()
        self._note(process, "died")

    def _restart(self, process: Process) -> None:
        self._note(process, "restarted")
        startup_s = max(self.plan.calibration.start_s(each.service) for each in self._replicas_of(process))
        self.kernel.after(startup_s, lambda: self._boot(process))

    def _pause(self, process: Process) -> None:
        process.pause()
        for replica in self._replicas_of(process):
            self._directory.silent(replica)
        self._note(process, "paused")

    def _resume(self, process: Process) -> None:
        if not process.running:
            return
        for replica in self._replicas_of(process):
            self._directory.register(replica)
        self._note(process, "resumed")
        process.resume()

    def _note(self, process: Process, event: str) -> None:
        self.recorder.services += [
            {"service": replica.service, "replica": replica.name, "event": event, "at_s": self.kernel.now_s}
            for replica in self._replicas_of(process)
        ]

    # -- measuring --------------------------------------------------------------------------------------------------

    def _sample(self, before_s: dict[str, float], watch: Watch | None) -> None:
        def sample() -> None:
            for process in self._processes:
                spent_s = process.cpu_s - before_s[process.name]
                self.recorder.resources.append(
                    {
                        "at_s": self.kernel.now_s,
                        "process": process.name,
                        "cpu_s_per_s": round(spent_s / SAMPLE_INTERVAL_S, 9),
                        "rss_bytes": self.plan.calibration.rss_bytes if process.running else 0,
                    }
                )
            if watch is not None:
                watch(self.kernel.now_s)
            self._sample({process.name: process.cpu_s for process in self._processes}, watch)

        self.kernel.after(SAMPLE_INTERVAL_S, sample)

    def _generator_row(self) -> dict[str, Any]:
        pool, lags_s = self.clients.pool, sorted(self.clients.pool.lags_s)
        return {
            "planned": self.clients.planned,
            "started": pool.started,
            "dropped": pool.dropped,
            "lag_p99_s": lags_s[min(len(lags_s) - 1, int(0.99 * len(lags_s)))] if lags_s else 0.0,
            "cpu_s_per_s": self._processes[-1].cpu_s / self.plan.load_s if self.plan.load_s else 0.0,
            "workers_lost": 0,
        }


def _databases(plan: SimulationInput) -> Databases:
    units = int(plan.setting("order.stock_per_goods"))
    goods = range(1, int(plan.setting("order.goods_count")) + 1)
    order = OrderStore(stock={goods_id: Stock(units, units) for goods_id in goods})
    books = Books(int(plan.setting("payment.opening_balance_minor")))
    return Databases(TransactionStore(), order, PaymentStore(books), ChannelStore())


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
