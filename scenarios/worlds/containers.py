"""The containers of one Compose project, as the lab sees and hurts them through the Docker API.

Containers are found by Compose's labels, never by name. `docker kill` switches a container's restart policy off, so a
killed one stays dead until it is started here; one that dies from inside is restarted by the engine at once, unless the
project was started with PAYLAB_RESTART=no, as the lab's own are. A container that is taken off its network and put back
would lose its aliases and address; both are kept and reapplied.
"""

from __future__ import annotations

import queue
import subprocess
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import docker
from docker.errors import APIError, DockerException

from scenarios.worlds.base import WorldError
from scenarios.worlds.compose_project import NUMBER_LABEL, ONEOFF_LABEL, PROJECT_LABEL, SERVICE_LABEL
from settlement.topology import SERVICES, replica_name

if TYPE_CHECKING:
    from docker.models.containers import Container

RestartPolicy = Literal["no", "always", "unless-stopped", "on-failure"]
KILLED_STATUS = 128 + 9
NANO = 1_000_000_000
LATE_EVENT_S_MAX = 30.0  # what ended longer ago was another life
ENGINE_TIMEOUT_S = 180  # a busy engine takes its time, and giving up halfway leaves containers


class NoEngine(WorldError):
    """No Docker engine answers."""


@dataclass(frozen=True)
class ContainerDeath:
    """A container that ended: its name in the lab, its exit status (negative: killed by that signal), when."""

    name: str
    status: int
    at_ms: int


class Usage(NamedTuple):
    """What a container has taken: CPU seconds since it started, bytes of memory now."""

    cpu_s: float
    memory_bytes: int


@dataclass(frozen=True)
class Joined:
    """How a container is joined to a network; its own id, by which it can be found too, is no alias."""

    network: str
    aliases: tuple[str, ...]
    address: str


def engine() -> docker.DockerClient:
    """The Docker engine of the active context. Raises NoEngine."""
    try:
        client = docker.from_env(timeout=ENGINE_TIMEOUT_S)
        client.ping()
    except (DockerException, OSError) as error:
        raise NoEngine(f"no Docker engine answers: {error}; start it, or use the world processes") from error
    return client


@dataclass
class Containers:
    """The running project; names are the lab's: `gateway-0`, `mariadb`."""

    client: docker.DockerClient
    project: str
    _ids: dict[str, str] = field(default_factory=dict, init=False)
    _events: queue.SimpleQueue[ContainerDeath] = field(default_factory=queue.SimpleQueue, init=False)
    _stream: Any = field(default=None, init=False)
    _asked: dict[str, int] = field(default_factory=dict, init=False)
    _severed: dict[str, tuple[Joined, ...]] = field(default_factory=dict, init=False)
    _cpus: dict[str, int] = field(default_factory=dict, init=False)

    def look(self) -> None:
        """Learn the project's containers."""
        found = self.client.containers.list(all=True, filters={"label": self._labels()})
        self._ids = {_name_of(container): str(container.id) for container in found}

    def find(self) -> None:
        """Learn the project's containers, and from here on notice when one dies."""
        self.look()
        filters = {"label": self._labels(), "type": "container", "event": "die"}
        self._stream = self.client.events(decode=True, filters=filters)
        threading.Thread(target=self._listen, name="docker-events", daemon=True).start()

    def names(self) -> list[str]:
        """Every container of the project."""
        return sorted(self._ids)

    def names_of(self, service: str) -> list[str]:
        """Every replica of a service, in order."""
        mine = [name for name in self._ids if name == service or name.rpartition("-")[0] == service]
        return sorted(mine, key=lambda name: int(name.rpartition("-")[2]) if "-" in name else 0)

    def of(self, name: str) -> Container:
        """The container, freshly inspected. Raises WorldError if there is none of that name."""
        if name not in self._ids:
            raise WorldError(f"the project {self.project} has no {name}; it has {', '.join(self.names())}")
        with _told(f"inspect {name}"):
            return self.client.containers.get(self._ids[name])

    def id_of(self, name: str) -> str:
        """The container's short id, for people."""
        return self._ids.get(name, "?")[:12]

    def is_running(self, name: str) -> bool:
        """Whether it runs, paused or not."""
        return self.of(name).status in ("running", "paused")

    def port_of(self, name: str, port: int) -> int | None:
        """The loopback port that the container's `port` is published at; None while there is none."""
        bindings = self.of(name).attrs["NetworkSettings"]["Ports"].get(f"{port}/tcp") or []
        return int(bindings[0]["HostPort"]) if bindings else None

    def deaths(self) -> list[ContainerDeath]:
        """Containers that ended since the last call without having been killed here."""
        found = []
        with suppress(queue.Empty):
            while True:
                death = self._events.get_nowait()
                if self._asked.get(death.name, 0):
                    self._asked[death.name] -= 1
                else:
                    found.append(replace(death, at_ms=min(death.at_ms, self._ended_ms(death))))
        return found

    def kill(self, name: str) -> None:
        """SIGKILL."""
        self._asked[name] = self._asked.get(name, 0) + 1
        try:
            self.of(name).kill("SIGKILL")
        except APIError as error:
            self._asked[name] -= 1
            raise WorldError(f"cannot kill {name}: {error.explanation}") from error

    def start(self, name: str) -> None:
        """Start it again."""
        with _told(f"start {name}"):
            self.of(name).start()

    def pause(self, name: str) -> None:
        """Freeze all its processes."""
        with _told(f"pause {name}"):
            self.of(name).pause()

    def unpause(self, name: str) -> None:
        """Let them go on; nothing happens if it is not paused."""
        container = self.of(name)
        if container.status == "paused":
            with _told(f"unpause {name}"):
                container.unpause()

    def set_restart(self, name: str, policy: RestartPolicy) -> None:
        """Whether the engine starts it again when it dies."""
        document: Any = {"Name": policy, "MaximumRetryCount": 0}
        with _told(f"set the restart policy of {name}"):
            self.of(name).update(restart_policy=document)

    def throttle(self, name: str, cpus: float) -> None:
        """Limit its processor time to so many cores."""
        self._cpus[name] = int(self.of(name).attrs["HostConfig"]["NanoCpus"] or 0)
        self.limit(name, round(cpus * NANO))

    def unthrottle(self, name: str) -> None:
        """Give it back the limit that it had."""
        self.limit(name, self._cpus.pop(name, 0))

    def limit(self, name: str, nano_cpus: int) -> None:
        """Limit its processor time; 0: not at all."""
        # The library has no nano_cpus, and an engine refuses period and quota where `cpus:` was set; the client can.
        cpus = f"{(nano_cpus or self.all_nano_cpus()) / NANO:g}"
        command = ["docker", "update", "--cpus", cpus, self._ids[name]]
        result = subprocess.run(command, capture_output=True, text=True, check=False)
        if result.returncode:
            raise WorldError(f"cannot limit the processor time of {name}: {result.stderr.strip()}")

    def all_nano_cpus(self) -> int:
        """All processors of the engine: next to no limit. It takes 0 for "not given"."""
        return int(self.client.info()["NCPU"]) * NANO

    def sever(self, name: str) -> None:
        """Take it off its networks."""
        container = self.of(name)
        self._severed[name] = self.joined(name)
        for joined in self._severed[name]:
            with _told(f"disconnect {name}"):
                self.client.networks.get(joined.network).disconnect(container)

    def rejoin(self, name: str) -> None:
        """Put it back on its networks with the aliases and the addresses that it had."""
        for joined in self._severed.pop(name, ()):
            self.join(name, joined)

    def joined(self, name: str) -> tuple[Joined, ...]:
        """Its networks; none while it is cut off."""
        container = self.of(name)
        own = str(container.id)
        return tuple(
            Joined(
                network,
                tuple(alias for alias in joined.get("Aliases") or [] if not own.startswith(alias)),
                joined.get("IPAddress") or "",
            )
            for network, joined in container.attrs["NetworkSettings"]["Networks"].items()
        )

    def usual(self, name: str) -> Joined:
        """How Compose joins it to the project's own network."""
        return Joined(f"{self.project}_default", (self.of(name).labels[SERVICE_LABEL],), "")

    def join(self, name: str, joined: Joined) -> None:
        """Put it on a network, at its old address if that is to be had."""
        container = self.of(name)
        with _told(f"connect {name} to {joined.network}"):
            network = self.client.networks.get(joined.network)
            if joined.network in container.attrs["NetworkSettings"]["Networks"]:
                network.disconnect(container)
            try:
                network.connect(container, aliases=list(joined.aliases), ipv4_address=joined.address or None)
            except APIError:
                # Taken meanwhile, or the network was made without a subnet, where addresses cannot be asked for.
                network.connect(container, aliases=list(joined.aliases))

    def logs(self, name: str) -> bytes:
        """Everything it has written."""
        with _told(f"read the log of {name}"):
            text: bytes = self.of(name).logs(stdout=True, stderr=True)
            return text

    def file(self, name: str, path: str) -> bytes:
        """The content of a file in a running container; empty if there is none."""
        container = self.of(name)
        if container.status != "running":
            return b""
        with _told(f"read {path} of {name}"):
            result = container.exec_run(["cat", path], stderr=False)
        return result.output if result.exit_code == 0 and isinstance(result.output, bytes) else b""

    def stop(self, names: list[str], within_s: int) -> None:
        """Stop these in order; what does not end in time is killed."""
        threads = [threading.Thread(target=self._stop, args=(name, within_s)) for name in names]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def usages(self, names: Sequence[str]) -> dict[str, Usage]:
        """CPU seconds used so far and memory in use, of those that run; others than ours go by their containers' names.

        An engine may take a second to answer for one container, and takes no longer for all of them at once.
        """
        with ThreadPoolExecutor(max_workers=max(1, len(names)), thread_name_prefix="container-usage") as asking:
            found = zip(names, asking.map(self._usage, names), strict=True)
            return {name: usage for name, usage in found if usage is not None}

    def _usage(self, name: str) -> Usage | None:
        try:
            stats = self.client.api.stats(self._ids.get(name, name), stream=False, one_shot=True)
            return Usage(stats["cpu_stats"]["cpu_usage"]["total_usage"] / NANO, int(stats["memory_stats"]["usage"]))
        except (DockerException, KeyError, OSError):
            return None

    def close(self) -> None:
        """Let go of the engine; the containers go on."""
        if self._stream is not None:
            with suppress(Exception):  # the stream may have ended by itself in any way
                self._stream.close()

    def _ended_ms(self, death: ContainerDeath) -> int:
        """When it really ended; an event is stamped when the engine gets round to it."""
        with suppress(WorldError, ValueError):
            at = datetime.fromisoformat(self.of(death.name).attrs["State"]["FinishedAt"])
            if death.at_ms / 1000 - at.timestamp() < LATE_EVENT_S_MAX:
                return int(at.timestamp() * 1000)
        return death.at_ms

    def _labels(self) -> list[str]:
        return [f"{PROJECT_LABEL}={self.project}", f"{ONEOFF_LABEL}=False"]

    def _listen(self) -> None:
        with suppress(Exception):  # ends with the stream, however that ends
            for event in self._stream:
                attributes = event["Actor"]["Attributes"]
                name = _replica(attributes[SERVICE_LABEL], attributes.get(NUMBER_LABEL, "1"))
                code = int(attributes.get("exitCode", 0))
                status = 128 - code if code > 128 else code
                self._events.put(ContainerDeath(name, status, int(event["timeNano"]) // 1_000_000))

    def _stop(self, name: str, within_s: int) -> None:
        with suppress(DockerException, OSError):
            self._asked[name] = self._asked.get(name, 0) + 1
            self.of(name).stop(timeout=within_s)


def _name_of(container: Container) -> str:
    return _replica(container.labels[SERVICE_LABEL], container.labels[NUMBER_LABEL])


def _replica(service: str, number: str) -> str:
    """Compose counts from 1; backing services have one container and no number."""
    return replica_name(service, int(number) - 1) if service in SERVICES else service


@contextmanager
def _told(what: str) -> Iterator[None]:
    """Turns an engine's refusal into a WorldError that says what was attempted."""
    try:
        yield
    except (DockerException, OSError) as error:  # the latter: it did not answer in time
        raise WorldError(f"cannot {what}: {getattr(error, 'explanation', None) or error}") from error


def projects(client: docker.DockerClient) -> set[str]:
    """Compose projects that have anything on this engine: containers, networks or volumes."""
    filters: dict[str, str | list[str] | bool] = {"label": PROJECT_LABEL}
    labelled = [container.labels for container in client.containers.list(all=True, filters=filters)]
    labelled += [network.attrs["Labels"] for network in client.networks.list(filters=filters)]
    labelled += [volume.attrs["Labels"] for volume in client.volumes.list(filters=filters)]
    return {labels[PROJECT_LABEL] for labels in labelled}
