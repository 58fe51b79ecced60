"""The processes of the platform: which there are, on which hosts, and how they live and die."""

from collections.abc import Iterator

from settlement.topology import REGISTRY_SERVICE, process_name, processes, replica_name
from simulator.calling import ServiceCaller
from simulator.channel import Channel
from simulator.database import Connections, DatabaseServer
from simulator.directory import Directory
from simulator.doors import Door
from simulator.events import Relay
from simulator.fleet import Fleet
from simulator.gateway import Gateway
from simulator.hosts import Process
from simulator.idling import idle
from simulator.orders import Cart, CartStore, OrderService
from simulator.payments import PaymentService
from simulator.recorder import Databases, Recorder
from simulator.replica import App, Replica
from simulator.resources import Usage
from simulator.risk import Risk
from simulator.service import Platform, Service

START_STEP_S = 0.1
"""Its start-up is work in pieces of this length, so that its CPU is accounted for as time passes."""


class Plant:
    """All processes, by replica (`replicas`) and in the order of their making; `fleet` changes their number."""

    def __init__(
        self,
        platform: Platform,
        databases: Databases,
        directory: Directory,
        recorder: Recorder,
        server: DatabaseServer,
    ) -> None:
        self._platform, self._databases = platform, databases
        self._kernel, self._plan = platform.kernel, platform.plan
        self._directory, self._recorder, self._server = directory, recorder, server
        self._outboxes = {"gateway": databases.gateway.outbox, "order": databases.order.events}
        self._carts = CartStore()
        self.processes: list[Process] = []
        self.replicas: dict[str, Replica] = {}
        self._connections: list[Connections] = []
        self._groups: dict[str, tuple[str, ...]] = {}
        for services in processes(self._plan.topology):
            self._groups.update(dict.fromkeys(services, services))
            for number in range(max(self._plan.replicas.get(service, 1) for service in services)):
                self._make(services, number)
        self._registered = len(self.replicas) / len(self._groups)
        """Replicas by services, as planned; the calibration had one of each."""
        self.fleet = self._fleet()

    def start(self) -> None:
        """Start every process; they serve at once."""
        for process in list(self.processes):
            self.note(process, "started")
            self.boot(process)
        if self.fleet is not None:
            self.fleet.start()

    def stop(self) -> None:
        """The run is over."""
        for process in self.processes:
            self.note(process, "stopped")

    def usages(self) -> Iterator[tuple[str, Usage]]:
        """What every event loop and connection pool did: its kind and its figures."""
        yield from (("process", process.usage()) for process in self.processes)
        yield from (("connections", connections.pool.usage()) for connections in self._connections)

    def _make(self, services: tuple[str, ...], number: int) -> Process:
        plan, name = self._plan, process_name(services, number)
        quota = plan.placement.quota(services)
        host, costs = self._platform.host_of(services), plan.calibration
        process = Process(host, name, quota, costs.commit_wait_s)
        self._platform.network.watch(process)
        if self._server.cpu_s > 0 or any(fault.kind in ("outage", "partition") for fault in plan.faults):
            size, wait_s = int(plan.setting("database.pool_max")), plan.setting_s("database.pool_wait_max_ms")
            connections = Connections(self._kernel, process, self._server, size, wait_s)
            process.database = connections
            self._connections.append(connections)
        self.processes.append(process)
        for service in services:
            replica = Replica(service, replica_name(service, number), process)
            self.replicas[replica.name] = replica
        return process

    # -- life and death ---------------------------------------------------------------------------------------------

    def boot(self, process: Process) -> None:
        """The process serves from now on."""
        process.start()
        for replica in self._of(process):
            replica.caller, replica.door = self._caller(replica), Door(self._plan.setting)
            app = self._service(replica)
            replica.app = app
            outbox = self._outboxes.get(replica.service)
            if outbox is not None:
                Relay(self._platform, replica, outbox, self._databases.trail).start()
            self._directory.register(replica)
            app.start()
        self._directory.now_hears(self._registry_runs())
        chance = self._platform.streams.uniform("idle", f"{process.name} {process.incarnation}").draw
        idle(process, self._idle_cores(process), chance)
        self.note(process, "ready")

    def _idle_cores(self, process: Process) -> float:
        """Of the registry as many as there are replicas: each renews its lease and asks for the others every second."""
        cores = self._plan.calibration.idle_cpu.get(_base_name(process.name), 0.0)
        alone = [replica.service for replica in self._of(process)] == [REGISTRY_SERVICE]
        return cores * self._registered if alone else cores

    def kill(self, process: Process) -> None:
        """SIGKILL."""
        for replica in self._of(process):
            replica.app = None
            self._directory.silent(replica)
        process.kill()
        self._directory.now_hears(self._registry_runs())
        self.note(process, "died")

    def restart(self, process: Process) -> None:
        """It is started again, and ready when its start-up time has passed."""
        self.note(process, "restarted")
        self._starting(process, self._start_s(process))

    def pause(self, process: Process) -> None:
        """SIGSTOP."""
        process.pause()
        self._fall_silent(process)
        self.note(process, "paused")

    def resume(self, process: Process) -> None:
        """SIGCONT."""
        if not process.running:
            return
        self._speak_again(process)
        self.note(process, "resumed")
        process.resume()

    def cut_off(self, process: Process, off: bool) -> None:
        """Off the network, or back on it."""
        process.cut_off = off
        self._platform.links.cut_off(process.name, off)
        if off:
            self._fall_silent(process)
        elif process.running and not process.paused:
            self._speak_again(process)

    def database_away(self, away: bool) -> None:
        """The database server is killed, or back."""
        self._server.down = away

    def broker_away(self, away: bool) -> None:
        """The event broker is killed, or back."""
        self._platform.broker.down = away

    def note(self, process: Process, event: str) -> None:
        """Write down what became of a process."""
        self._recorder.services += [
            (replica.service, replica.name, event, self._kernel.now) for replica in self._of(process)
        ]

    def _fall_silent(self, process: Process) -> None:
        for replica in self._of(process):
            self._directory.silent(replica)

    def _speak_again(self, process: Process) -> None:
        for replica in self._of(process):
            self._directory.register(replica)

    def _registry_runs(self) -> bool:
        return any(
            replica.service == REGISTRY_SERVICE and replica.process.running for replica in self.replicas.values()
        )

    def _start_s(self, process: Process) -> float:
        return max(self._plan.calibration.start_s(each.service) for each in self._of(process))

    def _starting(self, process: Process, left_s: float) -> None:
        """To start is work for a core (imports, nearly all of it), so it takes longer where cores are shared."""
        if left_s <= 0.0:
            self.boot(process)
            return
        step_s = min(START_STEP_S, left_s)
        process.cpu_s += step_s
        host = process.host
        host.cores.run(step_s / host.speed, self._starting, process, left_s - step_s)

    def _of(self, process: Process) -> list[Replica]:
        return [replica for replica in self.replicas.values() if replica.process is process]

    def _caller(self, replica: Replica) -> ServiceCaller:
        chance = self._platform.streams.uniform("backoff", replica.name).draw
        return ServiceCaller(self._kernel, self._directory, self._plan, replica.name, chance)

    def _service(self, replica: Replica) -> App:
        platform, stores = self._platform, self._databases
        match replica.service:
            case "gateway":
                return Gateway(platform, replica, stores.gateway)
            case "order":
                return OrderService(platform, replica, stores.order)
            case "payment":
                return PaymentService(platform, replica, stores.payment)
            case "channel":
                return Channel(platform, replica, stores.channel)
            case "cart":
                return Cart(platform, replica, self._carts)
            case "risk":
                return Risk(platform, replica)
            case _:  # no journey of a run reaches the registry or the user center
                return Service(platform, replica)

    # -- a changing number ------------------------------------------------------------------------------------------

    def _fleet(self) -> Fleet | None:
        plan = self._plan.autoscaling
        if plan is None:
            return None
        services = self._groups[plan.service]
        own = [process for process in self.processes if self._of(process)[0].service in services]
        return Fleet(self._kernel, plan, own, self, self._serves)

    def _serves(self, process: Process) -> bool:
        return all(replica.app is not None for replica in self._of(process))

    def launch(self, number: int) -> Process:
        """A replica more of the service that is scaled."""
        plan = self._plan.autoscaling
        if plan is None:
            raise RuntimeError("nothing is scaled")
        services = self._groups[plan.service]
        known = self.replicas.get(replica_name(plan.service, number))
        process = known.process if known is not None else self._make(services, number)
        self.note(process, "started")
        self._starting(process, self._start_s(process))
        return process

    def withdraw(self, process: Process) -> None:
        """Take it off the registry."""
        for replica in self._of(process):
            self._directory.remove(replica)

    def end(self, process: Process) -> None:
        """It has had its time to finish."""
        for replica in self._of(process):
            replica.app = None
        process.kill()
        self.note(process, "stopped")


def _base_name(process: str) -> str:
    """`gateway` for `gateway-0`; `usercenter+order` for `usercenter-0+order-0`."""
    return "+".join(part.rpartition("-")[0] for part in process.split("+"))
