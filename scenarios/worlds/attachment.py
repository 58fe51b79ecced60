"""A project that somebody else started and a run plays on: what it was like before, and how it becomes so again.

What it was like is on the disk, in the run's folder, before anything is touched. So the run's end, an interrupt and
`paylab recover` after a kill all put back the same: processor time, restart policy, networks with their aliases,
who runs, and no faults. (An address is kept where nobody else has it meanwhile, as the engine does it.)
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scenarios.worlds import compose_secrets
from scenarios.worlds.base import WorldError
from scenarios.worlds.containers import Containers, Joined, RestartPolicy
from scenarios.worlds.supervisor import wait_until
from scenarios.worlds.wire import Unreachable, call
from settlement.topology import SERVICES

if TYPE_CHECKING:
    from docker.models.containers import Container

    from scenarios.worlds.wire import Reply

FILE = "attached.json"
SECRETS = "/run/secrets"
ANSWER_DEADLINE_S = 180.0
CALL_TIMEOUT_S = 5.0
CLOSED_STATUS = 404


@dataclass(frozen=True)
class Before:
    """What a fault can change of one container, as it was. `nano_cpus` 0: no limit."""

    name: str
    id: str
    nano_cpus: int
    restart: RestartPolicy
    networks: tuple[Joined, ...]


@dataclass(frozen=True)
class Attachment:
    """A project, the mark of the lab that plays on it (see `owner`), and its containers as they were."""

    project: str
    lab: str
    containers: tuple[Before, ...]

    def write(self, folder: Path) -> None:
        """Keep it in the run's folder."""
        (folder / FILE).write_text(json.dumps(asdict(self), indent=1) + "\n", encoding="utf-8")

    @classmethod
    def read(cls, folder: Path) -> Attachment | None:
        """What the run in this folder was attached to; None if it was to nothing."""
        try:
            document = json.loads((folder / FILE).read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            raise WorldError(f"{folder / FILE} cannot be read: {error}") from error
        return cls(document["project"], document["lab"], tuple(_before(each) for each in document["containers"]))


def seen(containers: Containers) -> tuple[Before, ...]:
    """Every container as it is now; one that is on no network, as it would be on the project's own."""
    return tuple(_seen(containers, name) for name in containers.names())


def put_back(containers: Containers, before: Sequence[Before], fault_token: str) -> tuple[list[str], list[str]]:
    """Make every container what it was. Returns what was done, and what could not be done."""
    done: list[str] = []
    problems: list[str] = []
    # Everybody runs and is reachable before anybody is asked for faults: replicas need each other to answer.
    for step in (_run_again, _limit_again, _join_again, partial(_forget_faults, fault_token=fault_token)):
        for each in before:
            try:
                done += step(containers, each)
            except WorldError as error:
                problems.append(str(error))
    return done, problems


def secrets_of(containers: Containers) -> compose_secrets.ComposeSecrets:
    """The secrets that the project was started with, found by what its containers mount. Raises WorldError."""
    mounts = (mount for name in containers.names() for mount in containers.of(name).attrs["Mounts"])
    folder = next((Path(mount["Source"]).parent for mount in mounts if mount["Destination"] == SECRETS), None)
    if folder is None:
        raise WorldError(f"no container of {containers.project} has secrets; was it started by docker-compose.yml?")
    try:
        return compose_secrets.known(folder)
    except (OSError, ValueError) as error:
        raise WorldError(f"the secrets of {containers.project} cannot be read: {error}") from error


def faults_of(containers: Containers, name: str, fault_token: str, method: str = "GET") -> Reply | None:
    """One call of a replica's fault endpoint; None for what has none. Raises Unreachable."""
    service = name.rpartition("-")[0]
    port = containers.port_of(name, SERVICES[service].port) if service in SERVICES else None
    if port is None:
        return None
    headers = {"Paylab-Fault-Token": fault_token}
    reply = call(method, f"http://127.0.0.1:{port}/faults", headers=headers, timeout_s=CALL_TIMEOUT_S)
    return None if reply.status == CLOSED_STATUS else reply


def _seen(containers: Containers, name: str) -> Before:
    container = containers.of(name)
    host = container.attrs["HostConfig"]
    networks = containers.joined(name) or (containers.usual(name),)
    return Before(name, str(container.id), int(host["NanoCpus"] or 0), host["RestartPolicy"]["Name"] or "no", networks)


def _before(document: dict[str, Any]) -> Before:
    networks = tuple(Joined(each["network"], tuple(each["aliases"]), each["address"]) for each in document["networks"])
    return Before(document["name"], document["id"], document["nano_cpus"], document["restart"], networks)


def _same(containers: Containers, before: Before) -> Container:
    container = containers.of(before.name)
    if str(container.id) != before.id:
        raise WorldError(f"{before.name} is another container than before the run; it is left as it is")
    return container


def _run_again(containers: Containers, before: Before) -> list[str]:
    container, done = _same(containers, before), []
    if (container.attrs["HostConfig"]["RestartPolicy"]["Name"] or "no") != before.restart:
        containers.set_restart(before.name, before.restart)
        done.append(f"{before.name} restarts as before ({before.restart})")
    if container.status == "paused":
        containers.unpause(before.name)
        done.append(f"{before.name} goes on")
    elif container.status != "running":
        containers.start(before.name)
        done.append(f"{before.name} was started")
    return done


def _limit_again(containers: Containers, before: Before) -> list[str]:
    container = _same(containers, before)
    if int(container.attrs["HostConfig"]["NanoCpus"] or 0) in (
        before.nano_cpus or containers.all_nano_cpus(),
        before.nano_cpus,
    ):
        return []
    containers.limit(before.name, before.nano_cpus)
    return [f"{before.name} has its processor time again"]


def _join_again(containers: Containers, before: Before) -> list[str]:
    _same(containers, before)
    now = {joined.network: set(joined.aliases) for joined in containers.joined(before.name)}
    lost = [joined for joined in before.networks if now.get(joined.network) != set(joined.aliases)]
    for joined in lost:
        containers.join(before.name, joined)
    return [f"{before.name} is on its network {joined.network} again" for joined in lost]


def _forget_faults(containers: Containers, before: Before, fault_token: str) -> list[str]:
    answers: list[Reply | None] = []

    def asked() -> bool:
        try:
            answers.append(faults_of(containers, before.name, fault_token))
        except Unreachable:  # it starts, or hears of its network only now
            return False
        return True

    if not wait_until(asked, ANSWER_DEADLINE_S, interval_s=0.2):
        raise WorldError(f"{before.name} does not say which faults it has")
    reply = answers[-1]
    if reply is None or reply.status != 200 or not reply.body["faults"]:
        return []
    try:
        faults_of(containers, before.name, fault_token, "DELETE")
    except Unreachable as error:
        raise WorldError(f"{before.name} may still have faults: {error}") from error
    return [f"{before.name} has no faults any more"]
