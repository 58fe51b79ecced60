"""The platform on this machine: one process a replica, everything on loopback, nothing to install.

The registry's port is reserved before anything starts and stays reserved while the platform lives, so that nobody can
be given it while the registry is down. All processes start at once: who is up before the registry asks it again.
"""

from __future__ import annotations

import json
import os
import secrets
import socket
import sqlite3
import sys
import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from scenarios.interrupts import interrupts_held
from scenarios.worlds.base import Addresses, WorldError
from scenarios.worlds.collector import ResourceSampler, unresolved
from scenarios.worlds.real import Death, ServiceEvent, now_ms
from scenarios.worlds.supervisor import Child, ChildSpec, Replica, Supervisor, last_lines
from scenarios.worlds.wire import Reply, Unreachable, call
from settlement import topology as topologies

READY_DEADLINE_S = 60.0
STOP_DEADLINE_S = 8.0
READY_POLL_S = 0.05
LOOPBACK = "127.0.0.1"
PORT_BUSY_STATUS = 3


@dataclass(frozen=True)
class PlatformSecrets:
    """Fresh for every platform, passed by environment, never written anywhere. No fault token: no fault endpoints."""

    service: str = field(default_factory=lambda: secrets.token_hex(32), repr=False)
    jwt: str = field(default_factory=lambda: secrets.token_hex(32), repr=False)
    notify: str = field(default_factory=lambda: secrets.token_hex(32), repr=False)
    operator: str = field(default_factory=lambda: secrets.token_hex(16), repr=False)
    fault: str = field(default_factory=lambda: secrets.token_hex(16), repr=False)

    def environment(self, *, with_faults: bool) -> dict[str, str]:
        """As `settlement.serve` reads them."""
        told = {
            "PAYLAB_SERVICE_SECRET": self.service,
            "PAYLAB_JWT_SECRET": self.jwt,
            "PAYLAB_NOTIFY_SECRET": self.notify,
            "PAYLAB_OPERATOR_TOKEN": self.operator,
        }
        return told | ({"PAYLAB_FAULT_TOKEN": self.fault} if with_faults else {})


@dataclass
class Platform:
    """The running platform, as a context manager: ready inside the `with`, gone after it, whatever happens.

    `port` is the registry's (0: any free one). `profile_settings` are the first version of the config center's values.
    `spans` is the folder of the services' span files; None: nothing is recorded.
    With `inject_faults` the services get a token for their fault endpoints; without it these do not exist.
    Raises WorldError that names the service and shows the end of its log.
    """

    logs: Path
    databases: Path
    topology: str = topologies.DEFAULT_TOPOLOGY
    replicas: Mapping[str, int] = field(default_factory=dict)
    profile_settings: Mapping[str, Any] = field(default_factory=dict)
    port: int = 0
    inject_faults: bool = False
    spans: Path | None = None
    extra_environment: Mapping[str, str] = field(default_factory=dict)
    program: tuple[str, ...] = (sys.executable, "-m", "settlement.serve")
    secrets: PlatformSecrets = field(default_factory=PlatformSecrets)
    supervisor: Supervisor = field(default_factory=Supervisor)
    ready_after_s: float = field(default=0.0, init=False)
    _addresses: dict[str, str] = field(default_factory=dict, init=False)
    _next_look_s: float = field(default=0.0, init=False)
    _sampler: ResourceSampler = field(default_factory=ResourceSampler, init=False)
    _reservation: socket.socket | None = field(default=None, init=False)

    def __enter__(self) -> Self:
        """Start everything and wait until all of it is ready."""
        begun = time.monotonic()
        for folder in (self.logs, self.databases):
            folder.mkdir(parents=True, exist_ok=True)
        self._reservation = reserve(self.port)
        self.port = self._reservation.getsockname()[1]
        try:
            for spec in self._specs():
                self.supervisor.start(spec)
            self._await_ready()
        except BaseException:
            self._leave_nothing()
            raise
        self.ready_after_s = time.monotonic() - begun
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop everything in reverse order, by force where asking does not help."""
        self._leave_nothing()

    @property
    def addresses(self) -> Addresses:
        """Where the registry and the replicas that are ready now listen."""
        return Addresses(self.registry, dict(self._addresses))

    @property
    def registry(self) -> str:
        """The address that everybody finds everybody by."""
        return f"http://{LOOPBACK}:{self.port}"

    @property
    def operator_token(self) -> str:
        """For the operator endpoints (header `Paylab-Operator-Token`)."""
        return self.secrets.operator

    def names_of(self, service: str) -> list[str]:
        """Every replica of a service, dead or alive, in order."""
        every = (replica for child in self.supervisor.children.values() for replica in child.spec.replicas)
        return sorted(replica.name for replica in every if replica.service == service)

    def child_of(self, replica: str) -> Child:
        """The process that this replica lives in. Raises WorldError for an unknown one."""
        for child in self.supervisor.children.values():
            if any(each.name == replica for each in child.spec.replicas):
                return child
        raise WorldError(f"the platform has no replica {replica}")

    def address(self, replica: str) -> str | None:
        """Where the replica's present life listens; None while it is dead or not ready again."""
        return self._addresses.get(replica)

    def kill(self, replica: str) -> int:
        """SIGKILL the replica's process; returns the time of death in epoch ms."""
        child = self.child_of(replica)
        self._forget(child)
        return self.supervisor.kill(child.spec.name)

    def restart(self, replica: str) -> None:
        """Start a dead replica's process again; `refresh` notices when it is ready."""
        self.supervisor.restart(self.child_of(replica).spec.name)

    def impair(self, name: str, kind: str, parameters: Mapping[str, Any]) -> None:
        """SIGSTOP: a pause is all that a process can suffer and live."""
        self.supervisor.pause(self.child_of(name).spec.name)

    def relieve(self, name: str, kind: str) -> None:
        """SIGCONT."""
        self.supervisor.resume(self.child_of(name).spec.name)

    def is_dead(self, name: str) -> bool:
        """Whether the replica's process does not run now."""
        return self.child_of(name).state == "dead"

    def whereabouts(self, name: str) -> str:
        """The replica's process, for people."""
        return f"process {self.child_of(name).pid}"

    @property
    def events(self) -> list[ServiceEvent]:
        """What the replicas went through so far."""
        return self.supervisor.events

    def sample(self, at_s: float) -> None:
        """Note what every process uses, twice a second."""
        alive = (child for child in self.supervisor.children.values() if child.state != "dead")
        self._sampler.step(at_s, [(child.spec.name, child.pid) for child in alive])

    def resources(self) -> list[dict[str, Any]]:
        """The rows of the `resources` table."""
        return self._sampler.rows

    def unresolved(self) -> dict[str, int]:
        """How many transactions each service still has to finish."""
        return unresolved(self.databases)

    def real_name(self, replica: str) -> str:
        """Processes are called what the lab called them."""
        return replica

    def deaths(self) -> list[Death]:
        """Processes that died by themselves since the last call; their replicas have no address any more."""
        found = self.supervisor.deaths()
        for death in found:
            self._forget(self.supervisor.children[death.name])
        return found

    def refresh(self) -> None:
        """Look for replicas that are alive and not known to be ready, and learn their addresses.

        Cheap when there is none. Raises WorldError for one that takes longer than READY_DEADLINE_S.
        """
        children = self.supervisor.children.values()
        waiting = [child for child in children if child.state == "running" and self._missing(child)]
        now_s = time.monotonic()
        if not waiting or now_s < self._next_look_s:
            return
        self._next_look_s = now_s + READY_POLL_S
        for child in waiting:
            if now_s - child.started_s > READY_DEADLINE_S:
                raise self._failed(child, f"is not ready after {READY_DEADLINE_S:g} s")
        registered = self._registered()
        for child in waiting:
            for replica in self._missing(child):
                address = registered.get(replica.name)
                if address and is_ready(address, replica.name):
                    self._addresses[replica.name] = address
            if not self._missing(child):
                self.supervisor.mark_ready(child.spec.name, now_ms())

    def set_faults(self, replica: str, address: str, faults: list[dict[str, Any]] | None) -> Reply:
        """One call of a replica's fault endpoint: replace its list, or read it (None). Raises Unreachable."""
        headers = {"Paylab-Fault-Token": self.secrets.fault}
        method, body = ("GET", None) if faults is None else ("PUT", {"faults": faults})
        reply = call(method, f"{address}/faults", body=body, headers=headers, timeout_s=2.0)
        if reply.replica != replica:
            raise Unreachable(f"{address} is {reply.replica} now, not {replica}")
        return reply

    def _missing(self, child: Child) -> list[Replica]:
        return [replica for replica in child.spec.replicas if replica.name not in self._addresses]

    def _forget(self, child: Child) -> None:
        for replica in child.spec.replicas:
            self._addresses.pop(replica.name, None)

    def _registered(self) -> dict[str, str]:
        found = dict.fromkeys(self.names_of(topologies.REGISTRY_SERVICE), self.registry)
        try:
            services = call("GET", f"{self.registry}/registry").body["services"]
        except (Unreachable, KeyError, TypeError):
            return found  # not up yet: asked again soon, with a deadline
        return found | {each["replica"]: each["address"] for replicas in services.values() for each in replicas}

    def _specs(self) -> list[ChildSpec]:
        groups = topologies.processes(self.topology)
        count = {service: self.replicas.get(service, 1) for group in groups for service in group}
        return [
            self._spec(tuple(service for service in group if count[service] > number), number)
            for group in groups
            for number in range(max(count[service] for service in group))
        ]

    def _spec(self, services: tuple[str, ...], number: int) -> ChildSpec:
        replicas = tuple(Replica(service, topologies.replica_name(service, number)) for service in services)
        name = topologies.process_name(services, number)
        command = [*self.program, "--registry", self.registry, "--data", str(self.databases)]
        for replica in replicas:
            port = self.port if replica.service == topologies.REGISTRY_SERVICE else 0
            command += ["--service", replica.service, "--replica", replica.name, "--port", str(port)]
        environment = {**os.environ, **self.secrets.environment(with_faults=self.inject_faults)}
        if topologies.REGISTRY_SERVICE in services:
            environment["PAYLAB_CONFIG"] = json.dumps(dict(self.profile_settings))
        if self.spans is not None:
            environment["PAYLAB_TRACE_FILE"] = str(self.spans / f"{name}.jsonl")
        return ChildSpec(
            name, replicas, tuple(command), {**environment, **self.extra_environment}, self.logs / f"{name}.log"
        )

    def _await_ready(self) -> None:
        while any(self._missing(child) for child in self.supervisor.children.values()):
            for death in self.supervisor.deaths():
                raise self._failed(self.supervisor.children[death.name], _why_it_ended(death))
            self.refresh()
            time.sleep(READY_POLL_S)

    def _failed(self, child: Child, what: str) -> WorldError:
        log = child.spec.log
        return WorldError(f"{child.spec.name} {what}; the end of its log:\n{last_lines(log)}", log)

    def _leave_nothing(self) -> None:
        """Orderly first: the registry goes last, since the others say goodbye to it. Then by force. Then the files.

        An interrupt waits until this is done, which its deadlines bound: a hurried stop would leave databases open.
        """
        with interrupts_held(), ExitStack() as at_last:  # callbacks run from the last to the first, whatever fails
            at_last.callback(checkpoint, self.databases)
            if self._reservation is not None:
                at_last.callback(self._reservation.close)
            at_last.callback(self.supervisor.kill_all)
            self._stop_in_order()

    def _stop_in_order(self) -> None:
        last = {self.child_of(name).spec.name for name in self.names_of(topologies.REGISTRY_SERVICE)}
        others = [name for name in reversed(self.supervisor.children) if name not in last]
        self.supervisor.stop(others, STOP_DEADLINE_S)
        self.supervisor.stop(last, STOP_DEADLINE_S)


def _why_it_ended(death: Death) -> str:
    if death.status == PORT_BUSY_STATUS:
        return "found its port busy"
    return f"ended with status {death.status} while starting"


def reserve(port: int) -> socket.socket:
    """Hold a loopback port (0: any free one) for a child that will bind it with SO_REUSEADDR; nobody else gets it.

    Raises WorldError if somebody listens there.
    """
    held = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        held.bind((LOOPBACK, port))
    except OSError as error:
        held.close()
        problem = f"port {port} on {LOOPBACK} is not free ({error.strerror}); choose another by --port"
        raise WorldError(problem) from error
    return held


def is_ready(address: str, replica: str) -> bool:
    """Whether the replica itself answers there and says that it can work."""
    try:
        reply = call("GET", f"{address}/health/ready", timeout_s=0.5)
    except Unreachable:
        return False
    return reply.status == 200 and reply.replica == replica


def checkpoint(databases: Path) -> None:
    """Fold what a killed process left in the write-ahead logs into the database files."""
    for path in sorted(databases.glob("*.sqlite")):
        connection = sqlite3.connect(path, timeout=5.0)
        try:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        finally:
            connection.close()
