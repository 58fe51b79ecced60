"""`paylab recover`: puts right what a lab that was killed (SIGKILL, a power cut) left behind.

Processes of a run end with the lab by themselves. Containers do not: a run's own project is removed once its lab is
gone, and a project that a run was attached to becomes what it was before the run, as the run's folder says.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from docker.errors import APIError, NotFound

from scenarios.worlds.attaching import lab_on
from scenarios.worlds.attachment import Attachment, put_back, secrets_of, seen
from scenarios.worlds.base import WorldError
from scenarios.worlds.compose import RUN_PREFIX
from scenarios.worlds.compose_project import PROJECT_LABEL, ComposeProject
from scenarios.worlds.compose_secrets import FOLDER_PREFIX
from scenarios.worlds.containers import Containers, NoEngine, engine, projects
from scenarios.worlds.injector import UNDO_FILE
from scenarios.worlds.owner import is_gone

if TYPE_CHECKING:
    import docker


def recover(run: Path | None, project: str | None) -> Iterator[str]:
    """All of it, telling what was done. Raises WorldError."""
    attachment = None
    if run is not None:
        yield from (f"the run did not undo: {line}" for line in not_undone(run))
        attachment = Attachment.read(run)
    if attachment is not None and project not in (None, attachment.project):
        raise WorldError(f"{run} was attached to the project {attachment.project}, not to {project}")
    if attachment is not None and not is_gone(attachment.lab):
        raise WorldError(f"the lab of {run} still runs (process {attachment.lab.partition('-')[0]})")
    try:
        yield from (f"removed the project {name}" for name in remove_abandoned())
    except NoEngine as error:
        yield f"no containers were looked for: {error}"
    hurt = attachment.project if attachment is not None else project
    if hurt is not None:
        yield from heal(hurt, attachment)


def remove_abandoned() -> list[str]:
    """Remove the projects of runs whose lab is gone, volumes and secrets too; returns their names."""
    client = engine()
    abandoned = sorted(name for name in projects(client) if _is_abandoned(name))
    for name in abandoned:
        _remove(client, name)
    for folder in Path(tempfile.gettempdir()).glob(f"{FOLDER_PREFIX}*"):
        if is_gone(folder.name.removeprefix(FOLDER_PREFIX).rpartition("-")[0]):
            shutil.rmtree(folder, ignore_errors=True)
    return abandoned


def heal(project: str, attachment: Attachment | None = None) -> list[str]:
    """Make a project's containers what they were before a run; returns what was done.

    Without the run's attachment: end every fault that can be told, which limits of processor time and restart policies
    cannot. Raises WorldError if a lab plays there now, or with everything that could not be done.
    """
    containers = Containers(engine(), project)
    containers.look()
    if not containers.names():
        raise WorldError(f"there is no project {project}")
    lab = lab_on(containers.client, project)
    if lab is not None:
        raise WorldError(f"a lab plays on {project} now (process {lab.partition('-')[0]}); end it first")
    before = attachment.containers if attachment is not None else seen(containers)
    done, problems = put_back(containers, before, secrets_of(containers).fault_token)
    if problems:
        raise WorldError("; ".join([*problems, *(f"done: {line}" for line in done)]))
    ComposeProject(project).await_healthy()
    return done


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
    return project.startswith(RUN_PREFIX) and is_gone(project.removeprefix(RUN_PREFIX))


def _remove(client: docker.DockerClient, project: str) -> None:
    of_project: dict[str, str | list[str] | bool] = {"label": f"{PROJECT_LABEL}={project}"}
    lab_on(client, project)  # removes the load of the lab that is gone
    for container in client.containers.list(all=True, filters=of_project):
        for mount in container.attrs["Mounts"]:
            secrets = Path(mount["Source"]).parent
            if secrets.name.startswith(FOLDER_PREFIX):
                shutil.rmtree(secrets, ignore_errors=True)
        with suppress(NotFound):
            container.remove(force=True, v=True)
    try:
        for network in client.networks.list(filters=of_project):
            network.remove()
        for volume in client.volumes.list(filters=of_project):
            volume.remove(force=True)
    except APIError as error:
        raise WorldError(f"cannot remove what is left of {project}: {error.explanation}") from error
