"""What is compared: the floor, the platform as `paylab up` starts it, and the platform with parts left out."""

import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from benchmarks.floor.running import running_floor
from benchmarks.saturation import Climb, climb_processes
from scenarios.plan import Plan
from scenarios.worlds.embedded import Platform

PLATFORM, FLOOR = "platform", "floor"
NO_COORDINATOR, TWO_PHASE, RELAXED = "no coordinator", "two_phase", "platform, synchronous NORMAL"
QUIET_S = 2.0

Climber = Callable[[str, Path, Plan], Climb]
"""Starts a system in a new folder, drives it up the steps, stops it; the name is for the figures."""


@dataclass(frozen=True)
class Services:
    """The real services, in a version: what of the protocol is left out (see `variant`), and changed settings."""

    variant: str = ""
    settings: Mapping[str, Any] | None = None

    def __call__(self, name: str, folder: Path, steps: Plan) -> Climb:
        """The steps on these services."""
        program = "benchmarks.variant" if self.variant else "settlement.serve"
        environment = {"PAYLAB_VARIANT": self.variant} if self.variant else {}
        with platform_in(folder, program=program, environment=environment, settings=self.settings) as platform:
            return climb_processes(name, platform.registry, pids_of(platform), folder, steps)


def climb_floor(name: str, folder: Path, steps: Plan) -> Climb:
    """The steps on the bare apps."""
    folder.mkdir(parents=True)
    with running_floor(folder) as floor:
        return climb_processes(name, floor.registry, floor.pids, folder, steps)


SYSTEMS: dict[str, Climber] = {
    FLOOR: climb_floor,
    NO_COORDINATOR: Services("no_coordinator"),
    TWO_PHASE: Services("two_phase"),
    PLATFORM: Services(),
    RELAXED: Services(settings={"database.synchronous": "NORMAL"}),
}


def platform_in(
    folder: Path,
    *,
    program: str = "settlement.serve",
    environment: Mapping[str, str] | None = None,
    settings: Mapping[str, Any] | None = None,
) -> Platform:
    """The real services, not yet started; logs and databases in `folder`, which must be new."""
    logs, databases = folder / "logs", folder / "databases"
    logs.mkdir(parents=True)
    databases.mkdir()
    return Platform(
        logs=logs,
        databases=databases,
        program=(sys.executable, "-m", program),
        extra_environment=environment or {},
        profile_settings=settings or {},
    )


def pids_of(platform: Platform) -> dict[str, int]:
    """Process ids by process name."""
    return {name: child.pid for name, child in platform.supervisor.children.items()}


def start_up(folder: Path) -> tuple[float, int]:
    """Seconds from the start to all services ready, and their resident bytes when nothing goes on."""
    with platform_in(folder) as platform:
        time.sleep(QUIET_S)  # idle memory is what is measured
        resident = sum(psutil.Process(pid).memory_info().rss for pid in pids_of(platform).values())
        return platform.ready_after_s, int(resident)
