"""The world `compose`: the real services in containers, with MariaDB and Redis, under a real load.

A run starts a project of its own on free ports and removes it afterwards, volumes and all; or it attaches to a project
that is up and leaves it as it was found. The load generator runs in a container beside the services, because replicas
tell each other addresses that hold inside the project's network only.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from scenarios.interrupts import interrupts_held
from scenarios.plan import PlatformPlan
from scenarios.worlds import compose_secrets
from scenarios.worlds.attaching import LAB_LABEL, PLAYS_ON_LABEL, attached
from scenarios.worlds.base import WorldError, refuse_unsupported
from scenarios.worlds.compose_project import ComposeProject
from scenarios.worlds.compose_secrets import ComposeSecrets
from scenarios.worlds.composed import SPAN_FILE, ComposedPlatform
from scenarios.worlds.containers import Containers, engine
from scenarios.worlds.injector import FAULT_KINDS
from scenarios.worlds.loader import Loader
from scenarios.worlds.owner import own_mark
from scenarios.worlds.running import Run
from settlement.topology import REGISTRY_SERVICE

if TYPE_CHECKING:
    from scenarios.history import History
    from scenarios.plan import Plan
    from scenarios.runfolder import RunFolder
    from scenarios.worlds.base import Progress

# Followed by the mark of the lab (see `owner`), which tells whether a project that is found still belongs to somebody.
RUN_PREFIX = "paylab-run-"
LOAD_IMAGE = "paylab/load"
CONTAINER_FAULTS = frozenset({"outage", "throttle", "partition"})


@dataclass
class ComposeWorld:
    """Plays plans on containers. `attach_to`: the name of a project that is up, instead of one of the run's own."""

    attach_to: str | None = None
    name: str = "compose"
    fault_kinds: frozenset[str] = FAULT_KINDS | CONTAINER_FAULTS

    def impossible(self, plan: Plan) -> list[str]:
        """Besides faults: a second registry, another protocol than that of a project that is up, shared containers."""
        problems = []
        if plan.platform.replicas.get(REGISTRY_SERVICE, 1) != 1:
            problems.append(f"{REGISTRY_SERVICE} has one replica: everybody finds everybody by it")
        if self.attach_to is not None and plan.platform.protocol != PlatformPlan().protocol:
            problems.append(f"{self.attach_to} speaks the protocol that it was started with")
        if plan.platform.topology == "merged":
            problems.append("every container holds one service; the topology merged is for processes")
        return problems

    def play(self, plan: Plan, folder: RunFolder, progress: Progress) -> History:
        """Start the project, load it, hurt it, let it recover, keep what it recorded, and remove it."""
        refuse_unsupported(self, plan)
        client = engine()
        with self._project(plan, folder, progress) as (project, secrets):
            containers = Containers(client, project.name)
            platform = ComposedPlatform(containers, secrets.fault_token, secrets.lab_password, folder.logs)
            try:
                progress.stage("waiting for every container to be ready")
                platform.find()
                progress.stage(f"platform ready after {platform.ready_after_s:.1f} s; making accounts")
                with load_container(project, folder, platform.registry) as loader:
                    platform.sample_generator(loader.container)
                    run = Run(plan, platform, loader, folder, progress)
                    run.play()
                progress.stage("reading the databases")
                platform.keep(folder, stopping=self.attach_to is None)
            finally:
                platform.close()
        return run.history(self.name)

    def _project(
        self, plan: Plan, folder: RunFolder, progress: Progress
    ) -> AbstractContextManager[tuple[ComposeProject, ComposeSecrets]]:
        if self.attach_to is not None:
            return attached(self.attach_to, plan, folder, progress)
        return own_project(run_environment(plan), plan.platform.replicas, progress.stage)


def create() -> ComposeWorld:
    """The world as `world_named` wants it."""
    return ComposeWorld()


def run_environment(plan: Plan) -> Mapping[str, str]:
    """What a run's project is started with: its settings, and no restarts but those that the lab asks for.

    The lab asks everybody itself whether they are ready; a health check is a process each time, in every container.
    """
    return {
        "PAYLAB_CONFIG": json.dumps(plan.platform.all_settings),
        "PAYLAB_RESTART": "no",
        "PAYLAB_HEALTH_INTERVAL": "60s",
        "PAYLAB_FAULT_TOKEN_FILE": "/run/secrets/fault_token",
        "PAYLAB_TRACE_FILE": SPAN_FILE,
        # What somebody has set for a platform of their own is not meant for this one.
        **dict.fromkeys(("PAYLAB_PROFILE", "PAYLAB_VERSION", "PAYLAB_WEIGHT"), ""),
    }


@contextmanager
def own_project(
    environment: Mapping[str, str], replicas: Mapping[str, int], say: Callable[[str], None]
) -> Iterator[tuple[ComposeProject, ComposeSecrets]]:
    """A project of this process' own on free ports, with the image of the load; removed afterwards, volumes and all.

    Its containers run, but are not ready yet.
    """
    mark = own_mark()
    with TemporaryDirectory(prefix=f"{compose_secrets.FOLDER_PREFIX}{mark}-") as folder:
        made = compose_secrets.ensure(Path(folder))
        project = ComposeProject(f"{RUN_PREFIX}{mark}", Path(folder), ports="free", environment=environment)
        say("building the images")
        replace(project, profiles=("load",)).build()
        try:
            say("starting the containers")
            project.up(scale=replicas)
            yield project, made
        finally:
            with interrupts_held():
                say("removing the containers")
                project.down(volumes=True)


@contextmanager
def load_container(project: ComposeProject, folder: RunFolder, registry: str) -> Iterator[Loader]:
    """The load generator in the project's network; it finds the run's folder at the same path as the lab does."""
    where = folder.path.resolve()
    name = f"paylab-load-{own_mark()}"
    command = ["docker", "run", "--rm", "--interactive", "--init", "--read-only", "--name", name]
    command += ["--label", f"{LAB_LABEL}={own_mark()}", "--label", f"{PLAYS_ON_LABEL}={project.name}"]
    command += ["--network", f"{project.name}_default", "--volume", f"{where}:{where}"]
    command += ["--user", f"{os.getuid()}:{os.getgid()}"]
    command += ["--tmpfs", "/tmp", "--env", "HOME=/tmp", "--entrypoint", "python"]  # noqa: S108 - inside the container
    program = (*command, LOAD_IMAGE, "-m", "loadtests.run")
    plan, out = where / folder.plan.name, where / folder.load.name
    try:
        with Loader(plan, registry, out, folder.logs, program=program, container=name) as made:
            yield made
    finally:
        # Only a client that was killed leaves its container behind.
        with suppress(WorldError):
            project.run(["docker", "rm", "--force", name], {}, project.directory)
