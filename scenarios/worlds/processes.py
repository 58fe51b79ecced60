"""The world `processes`: the real services, one process a replica, under a real load, on this machine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from scenarios.worlds.base import refuse_unsupported
from scenarios.worlds.embedded import Platform
from scenarios.worlds.injector import FAULT_KINDS
from scenarios.worlds.loader import Loader
from scenarios.worlds.running import Run
from scenarios.worlds.shared_processes import collisions
from settlement.topology import REGISTRY_SERVICE

if TYPE_CHECKING:
    from scenarios.history import History
    from scenarios.plan import Plan
    from scenarios.runfolder import RunFolder
    from scenarios.worlds.base import Progress

__all__ = ["Platform", "ProcessesWorld", "create"]


@dataclass
class ProcessesWorld:
    """Plays plans on real services. `extra_environment` reaches every service (tests put wrong code on PYTHONPATH)."""

    extra_environment: Mapping[str, str] = field(default_factory=dict)
    name: str = "processes"
    fault_kinds: frozenset[str] = FAULT_KINDS

    def impossible(self, plan: Plan) -> list[str]:
        """Besides faults: a second registry, two faults at once of one process."""
        problems = []
        if plan.platform.replicas.get(REGISTRY_SERVICE, 1) != 1:
            problems.append(f"{REGISTRY_SERVICE} has one replica: everybody finds everybody by it")
        return problems + collisions(plan)

    def play(self, plan: Plan, folder: RunFolder, progress: Progress) -> History:
        """Start the platform, load it, hurt it, let it recover, stop it, and return what happened."""
        refuse_unsupported(self, plan)
        progress.stage("starting the platform")
        platform = Platform(
            logs=folder.logs,
            databases=folder.databases,
            topology=plan.platform.topology,
            replicas=plan.platform.replicas,
            profile_settings=plan.platform.all_settings,
            inject_faults=True,
            spans=folder.spans,
            extra_environment=self.extra_environment,
        )
        with platform:
            progress.stage(f"platform ready after {platform.ready_after_s:.1f} s; making accounts")
            with Loader(folder.plan, platform.registry, folder.load, folder.logs) as loader:
                run = Run(plan, platform, loader, folder, progress)
                run.play()
            progress.stage("stopping the platform")
        progress.stage("reading the databases")
        return run.history(self.name)


def create() -> ProcessesWorld:
    """The world as `world_named` wants it."""
    return ProcessesWorld()
