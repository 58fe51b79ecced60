"""A platform in containers, as a run uses it: who is ready where, faults, deaths, what everything uses.

Replicas call themselves after their containers; the lab counts them as Compose does (`gateway-0` is container number 1)
and remembers who is who. They are reached by their published loopback ports, which change when a container is started
again.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scenarios.history import GENERATOR
from scenarios.worlds.audit_copy import AuditServer
from scenarios.worlds.base import WorldError
from scenarios.worlds.containers import ContainerDeath, Containers
from scenarios.worlds.real import Death, ServiceEvent, now_ms
from scenarios.worlds.wire import Reply, Unreachable, call, fetched_text
from settlement.topology import REGISTRY_SERVICE, SERVICES

if TYPE_CHECKING:
    from scenarios.runfolder import RunFolder

READY_DEADLINE_S = 300.0  # fourteen interpreters start at once, perhaps on two busy cores
READY_POLL_S = 0.1
USAGE_INTERVAL_S = 1.0
STOP_S = 10
DATABASE, DATABASE_PORT = "mariadb", 3306
AUDITOR = "lab"
# In the container's memory: its disk is read-only.
SPAN_FILE = "/var/lib/paylab/spans.jsonl"


@dataclass
class Life:
    """One container's present life: not ready until it has an address."""

    service: str
    started_s: float = field(default_factory=time.monotonic)
    address: str | None = None
    dead: bool = False


class ComposedPlatform:
    """A project that is up. `find` first; `close` leaves the project as it is."""

    def __init__(self, containers: Containers, fault_token: str, auditor_password: str, logs: Path) -> None:
        self._containers = containers
        self._fault_token = fault_token
        self._auditor_password = auditor_password
        self._logs = logs
        self._lives: dict[str, Life] = {}
        self._real: dict[str, str] = {}
        self._next_look_s = 0.0
        self._begun_s = time.monotonic()
        self._usage = UsageSampler(containers)
        self.events: list[ServiceEvent] = []
        self.ready_after_s = 0.0
        # Inside the project's network, where the load generator runs, the registry has a name.
        self.registry = f"http://{REGISTRY_SERVICE}:{SERVICES[REGISTRY_SERVICE].port}"

    def find(self) -> None:
        """Learn who is there and wait until everybody is ready. Raises WorldError."""
        self._containers.find()
        for service in SERVICES:
            for name in self._containers.names_of(service):
                self._lives[name] = Life(service)
                self._note(name, "started")
        while any(life.address is None for life in self._lives.values()):
            for death in self.deaths():
                raise WorldError(f"{death.describe()} while starting", death.log)
            self.refresh()
            time.sleep(READY_POLL_S)
        self.ready_after_s = time.monotonic() - self._begun_s
        for name in filter(self._containers.is_running, self._containers.names()):
            self._usage.watch(name, name)
        self._usage.start()

    def names_of(self, service: str) -> list[str]:
        """Every replica of a service, dead or alive, in order."""
        return self._containers.names_of(service)

    def is_dead(self, name: str) -> bool:
        """Whether its container does not run now."""
        return not self._containers.is_running(name)

    def whereabouts(self, name: str) -> str:
        """Its container, for people."""
        return f"container {self._containers.id_of(name)}"

    def address(self, replica: str) -> str | None:
        """Where the replica's present life listens; None while it is dead, cut off or not ready again."""
        life = self._lives.get(replica)
        return life.address if life else None

    def real_name(self, replica: str) -> str:
        """The lab's name of a replica that calls itself `replica`."""
        return self._real.get(replica, replica)

    def kill(self, name: str) -> int:
        """SIGKILL; returns the time of death in epoch ms."""
        at_ms = now_ms()
        self._containers.kill(name)
        self._bury(name, at_ms)
        return at_ms

    def restart(self, name: str) -> None:
        """Start a dead container again; `refresh` notices when it is ready."""
        self._containers.start(name)
        if name in self._lives:
            self._lives[name] = Life(self._lives[name].service)
        self._note(name, "restarted")

    def impair(self, name: str, kind: str, parameters: Mapping[str, Any]) -> None:
        """Begin a pause, a throttle or a partition."""
        if kind == "pause":
            self._containers.pause(name)
        elif kind == "throttle":
            self._containers.throttle(name, float(parameters["cpus"]))
        else:
            self._containers.sever(name)
            self._lives[name].address = None
            self._lives[name].dead = True  # as far as anybody can tell

    def relieve(self, name: str, kind: str) -> None:
        """End what `impair` began."""
        if kind == "pause":
            self._containers.unpause(name)
        elif kind == "throttle":
            self._containers.unthrottle(name)
        else:
            self._containers.rejoin(name)
            self._lives[name] = Life(self._lives[name].service)

    def deaths(self) -> list[Death]:
        """Containers that died by themselves since the last call."""
        return [self._death(found) for found in self._containers.deaths()]

    def refresh(self) -> None:
        """Learn who is ready, and where. Raises WorldError for one that never is."""
        now_s = time.monotonic()
        waiting = {name: life for name, life in self._lives.items() if life.address is None and not life.dead}
        if not waiting or now_s < self._next_look_s:
            return
        self._next_look_s = now_s + READY_POLL_S
        for name, life in waiting.items():
            if now_s - life.started_s > READY_DEADLINE_S:
                raise WorldError(f"{name} is not ready after {READY_DEADLINE_S:g} s", self._logs / f"{name}.log")
            self._look(name, life)

    def set_faults(self, replica: str, address: str, faults: list[dict[str, Any]] | None) -> Reply:
        """One call of a replica's fault endpoint: replace its list, or read it (None). Raises Unreachable."""
        headers = {"Paylab-Fault-Token": self._fault_token}
        method, body = ("GET", None) if faults is None else ("PUT", {"faults": faults})
        reply = call(method, f"{address}/faults", body=body, headers=headers, timeout_s=2.0)
        if self.real_name(reply.replica) != replica:
            raise Unreachable(f"{address} is {reply.replica} now, not {replica}")
        return reply

    def sample(self, at_s: float) -> None:
        """Tell the sampler the run's time; it works on a thread of its own."""
        self._usage.at_s = at_s

    def sample_generator(self, container: str) -> None:
        """The load generator lives in this container."""
        self._usage.watch(container, GENERATOR)

    def resources(self) -> list[dict[str, Any]]:
        """The rows of the `resources` table."""
        return self._usage.rows

    def unresolved(self) -> dict[str, int]:
        """How many transactions each service still has to finish; the database itself if it cannot be asked."""
        try:
            return self._auditor().unresolved()
        except WorldError:
            return {DATABASE: 1}

    def keep(self, folder: RunFolder, *, stopping: bool) -> None:
        """Keep metrics, spans, logs and audit views of everybody in the run's folder; with `stopping`, stop them."""
        self._usage.stop()
        self._keep_metrics(folder.path / "metrics")
        self._keep_spans(folder.spans)
        if stopping:
            self._containers.stop(list(self._lives), STOP_S)
            for name in self._lives:
                self._note(name, "stopped")
        for name in self._containers.names():
            (self._logs / f"{name}.log").write_bytes(self._containers.logs(name))
        self._auditor().copy(list(SERVICES), folder.databases)

    def close(self) -> None:
        """Let go of the engine."""
        self._usage.stop()
        self._containers.close()

    def _keep_metrics(self, folder: Path) -> None:
        folder.mkdir(exist_ok=True)
        for name, life in self._lives.items():
            if life.address is not None:
                text = fetched_text(f"{life.address}/metrics")
                if text is not None:
                    (folder / f"{name}.prom").write_text(text, encoding="utf-8")

    def _keep_spans(self, folder: Path) -> None:
        """Of the present lives only: what a dead container had in memory is gone with it."""
        folder.mkdir(exist_ok=True)
        for name in self._lives:
            (folder / f"{name}.jsonl").write_bytes(self._containers.file(name, SPAN_FILE))

    def _auditor(self) -> AuditServer:
        port = self._containers.port_of(DATABASE, DATABASE_PORT)
        if port is None:
            raise WorldError(f"{DATABASE} publishes no port; is it running?")
        return AuditServer(port, AUDITOR, self._auditor_password)

    def _look(self, name: str, life: Life) -> None:
        port = self._containers.port_of(name, SERVICES[life.service].port)
        if port is None:
            return
        address = f"http://127.0.0.1:{port}"
        try:
            reply = call("GET", f"{address}/health/ready")
        except Unreachable:
            return
        if reply.status == 200:
            life.address = address
            self._real[reply.replica] = name
            self._note(name, "ready")

    def _death(self, found: ContainerDeath) -> Death:
        self._bury(found.name, found.at_ms)
        log = self._logs / f"{found.name}.log"
        log.write_bytes(self._containers.logs(found.name))
        return Death(found.name, (found.name,), found.status, found.at_ms, log)

    def _bury(self, name: str, at_ms: int) -> None:
        if name in self._lives:
            self._lives[name].address = None
            self._lives[name].dead = True
        self._note(name, "died", at_ms)

    def _note(self, name: str, event: str, at_ms: int | None = None) -> None:
        service = self._lives[name].service if name in self._lives else name
        self.events.append(ServiceEvent(service, name, event, now_ms() if at_ms is None else at_ms))


class UsageSampler:
    """CPU and memory of every container about once a second, asked for on a thread because an engine takes its time."""

    def __init__(self, containers: Containers) -> None:
        self.rows: list[dict[str, Any]] = []
        self.at_s: float | None = None
        self._containers = containers
        self._process_of: dict[str, str] = {}
        self._seen: dict[str, tuple[float, float]] = {}
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None

    def watch(self, container: str, process: str) -> None:
        """Ask for this container too, and call it by this name."""
        self._process_of = {**self._process_of, container: process}

    def start(self) -> None:
        """Begin; rows are kept once `at_s` was told."""
        self._thread = threading.Thread(target=self._run, name="container-usage", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End, and wait for it."""
        self._stopped.set()
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        while not self._stopped.wait(USAGE_INTERVAL_S):
            process_of = self._process_of
            for container, usage in self._containers.usages(list(process_of)).items():
                self._note(process_of[container], *usage)

    def _note(self, name: str, cpu_s: float, rss_bytes: int) -> None:
        now_s = time.monotonic()
        before_s, before_cpu_s = self._seen.get(name, (now_s, cpu_s))
        self._seen[name] = (now_s, cpu_s)
        if self.at_s is not None and now_s > before_s and cpu_s >= before_cpu_s:  # less: it was started again
            rate = (cpu_s - before_cpu_s) / (now_s - before_s)
            self.rows.append({"at_s": self.at_s, "process": name, "cpu_s_per_s": rate, "rss_bytes": rss_bytes})
