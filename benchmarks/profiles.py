"""Where the platform's CPU time goes, by library: every service under cProfile at a modest rate.

cProfile makes calls dearer, so shares count here, not seconds; the rate is low enough that nothing queues. It measures
CPU time, and begins when the platform is up and the clients have their accounts.
"""

import os
import pstats
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from benchmarks.profiled import BEGIN
from benchmarks.saturation import climb_processes, steps_plan
from benchmarks.systems import pids_of, platform_in

RATE = ["load.stages=[{rate: 15, for: 8s}]"]
PARTS_SHOWN = 6

Function = tuple[str, int, str]  # file, line, name
Costs = tuple[int, int, float, float, object]  # calls, calls not recursive, own seconds, seconds, callers


@dataclass(frozen=True)
class Profile:
    """One service: its share of all services' CPU time, and the share of each library in it, largest first."""

    service: str
    share: float
    libraries: dict[str, float]


def measure(folder: Path, seed: int) -> list[Profile]:
    """Profiles of all services under the same payments, the busiest first."""
    profiles = folder / "profiles"
    platform = platform_in(folder, program="benchmarks.profiled", environment={"PAYLAB_PROFILES": str(profiles)})
    profiles.mkdir()
    with platform:
        pids = pids_of(platform)

        def begin() -> None:
            for pid in pids.values():
                os.kill(pid, BEGIN)

        climb_processes("profiled", platform.registry, pids, folder, steps_plan(seed, RATE), begin)
    seconds = {path.stem: _by_library(path) for path in sorted(profiles.glob("*.prof"))}
    whole_s = sum(sum(libraries.values()) for libraries in seconds.values()) or 1.0
    found = [
        Profile(service, sum(libraries.values()) / whole_s, _shares(libraries))
        for service, libraries in seconds.items()
    ]
    return sorted(found, key=lambda profile: -profile.share)


def _shares(seconds: dict[str, float]) -> dict[str, float]:
    whole_s = sum(seconds.values()) or 1.0
    return {
        name: spent_s / whole_s for name, spent_s in sorted(seconds.items(), key=lambda item: -item[1])[:PARTS_SHOWN]
    }


def _by_library(path: Path) -> dict[str, float]:
    """Own seconds of every function, added up by the package it belongs to."""
    stats = cast("dict[Function, Costs]", vars(pstats.Stats(str(path)))["stats"])
    seconds: dict[str, float] = defaultdict(float)
    for (file, _, function), (_, _, own_s, _, _) in stats.items():
        seconds[_library(file, function)] += own_s
    return seconds


def _library(file: str, function: str) -> str:
    parts = Path(file).parts
    if "site-packages" in parts:
        return parts[parts.index("site-packages") + 1].removesuffix(".py")
    if "settlement" in parts:
        return "/".join(parts[parts.index("settlement") : parts.index("settlement") + 2]).removesuffix(".py")
    if "sqlite3" in function:
        return "sqlite3"
    # What uvloop does itself is seen by cProfile as the call that runs the loop.
    if file == "~" or function == "run":
        return "loop, sockets, built in"
    return "standard library"
