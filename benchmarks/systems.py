"""The two systems that are compared: the platform as `paylab up` starts it, and the floor."""

import sys
import time
from collections.abc import Mapping
from pathlib import Path

import psutil

from benchmarks.floor.running import running_floor
from benchmarks.saturation import Climb, climb
from scenarios.plan import Plan
from scenarios.worlds.embedded import Platform

PLATFORM, FLOOR = "platform", "floor"
QUIET_S = 2.0


def platform_in(
    folder: Path, *, program: str = "settlement.serve", environment: Mapping[str, str] | None = None
) -> Platform:
    """The real services, not yet started; logs and databases in `folder`, which must be new."""
    logs, databases = folder / "logs", folder / "databases"
    logs.mkdir(parents=True)
    databases.mkdir()
    command = (sys.executable, "-m", program)
    return Platform(logs=logs, databases=databases, program=command, extra_environment=environment or {})


def pids_of(platform: Platform) -> dict[str, int]:
    """Process ids by process name."""
    return {name: child.pid for name, child in platform.supervisor.children.items()}


def climb_platform(folder: Path, steps: Plan) -> Climb:
    """The steps on the real services."""
    with platform_in(folder) as platform:
        return climb(PLATFORM, platform.registry, pids_of(platform), folder, steps)


def climb_floor(folder: Path, steps: Plan) -> Climb:
    """The steps on the bare apps."""
    folder.mkdir(parents=True)
    with running_floor(folder) as floor:
        return climb(FLOOR, floor.registry, floor.pids, folder, steps)


def start_up(folder: Path) -> tuple[float, int]:
    """Seconds from the start to all services ready, and their resident bytes when nothing goes on."""
    with platform_in(folder) as platform:
        time.sleep(QUIET_S)  # idle memory is what is measured
        resident = sum(psutil.Process(pid).memory_info().rss for pid in pids_of(platform).values())
        return platform.ready_after_s, int(resident)
