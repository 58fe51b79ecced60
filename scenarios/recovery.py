"""`paylab recover`: puts right what a lab that was killed (SIGKILL, a power cut) left behind.

Processes of a run end with the lab by themselves. Containers do not: a run's own project is removed once its lab is
gone, and a project that a run was attached to is healed, as far as faults of the lab can have hurt it.
"""

from __future__ import annotations

import json
import shutil
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from scenarios.worlds.base import WorldError
from scenarios.worlds.compose import RUN_PREFIX
from scenarios.worlds.compose_project import PROJECT_LABEL
from scenarios.worlds.compose_secrets import FOLDER_PREFIX
from scenarios.worlds.containers import Containers, engine, projects
from scenarios.worlds.injector import UNDO_FILE
from scenarios.worlds.wire import Unreachable, call
from settlement.topology import SERVICES

if TYPE_CHECKING:
    import docker


def remove_abandoned() -> list[str]:
    """Remove the projects of runs whose lab is gone, volumes and secrets too; returns their names."""
    client = engine()
    abandoned = [name for name in projects(client) if _is_abandoned(name)]
    for name in abandoned:
        _remove(client, name)
    return abandoned


def heal(project: str, fault_token: str) -> list[str]:
    """End every fault that the containers of a project can still suffer from; returns what was done."""
    containers = Containers(engine(), project)
    containers.find()
    try:
        return [line for name in containers.names() for line in _healed(containers, name, fault_token)]
    finally:
        containers.close()


def not_undone(run: Path) -> list[str]:
    """What the undo log of a run says has been done and not undone. Raises WorldError if the run has none."""
    try:
        lines = (run / UNDO_FILE).read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise WorldError(f"{run} has no {UNDO_FILE}: it made no faults") from error
    left: dict[str, str] = {}
    for line in lines:
        with suppress(ValueError):  # a last line that the kill cut off was followed by no fault
            entry = json.loads(line)
            if entry["event"] == "intended":
                left[entry["fault"]] = entry["undo"]
            else:
                left.pop(entry["fault"], None)
    return [f"{fault}: {undo}" for fault, undo in left.items()]


def _is_abandoned(project: str) -> bool:
    pid = project.removeprefix(RUN_PREFIX)
    return project.startswith(RUN_PREFIX) and pid.isdecimal() and not psutil.pid_exists(int(pid))


def _remove(client: docker.DockerClient, project: str) -> None:
    of_project: dict[str, str | list[str] | bool] = {"label": f"{PROJECT_LABEL}={project}"}
    for container in client.containers.list(all=True, filters=of_project):
        for mount in container.attrs["Mounts"]:
            secrets = Path(mount["Source"]).parent
            if secrets.name.startswith(FOLDER_PREFIX):
                shutil.rmtree(secrets, ignore_errors=True)
        container.remove(force=True, v=True)
    for network in client.networks.list(filters=of_project):
        network.remove()
    for volume in client.volumes.list(filters=of_project):
        volume.remove(force=True)


def _healed(containers: Containers, name: str, fault_token: str) -> list[str]:
    done = []
    container = containers.of(name)
    if container.status == "paused":
        containers.unpause(name)
        done.append(f"{name} goes on")
    elif container.status != "running":
        containers.start(name)
        done.append(f"{name} was started")
    if containers.rejoin_default(name):
        done.append(f"{name} is on its network again")
    service = name.rpartition("-")[0]
    port = containers.port_of(name, SERVICES[service].port) if service in SERVICES else None
    if port is not None:
        headers = {"Paylab-Fault-Token": fault_token}
        with suppress(Unreachable):  # one that was just started has no faults
            faults = call("GET", f"http://127.0.0.1:{port}/faults", headers=headers)
            if faults.status == 200 and faults.body["faults"]:
                call("DELETE", f"http://127.0.0.1:{port}/faults", headers=headers)
                done.append(f"{name} has no faults any more")
    return done
