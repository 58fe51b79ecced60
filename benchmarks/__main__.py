"""`python -m benchmarks`: the simulator beside its peers, libraries, start-up, the platform against its floor and
without its promises, and composed.

Prints figures and ratios against their budgets and writes them to runs/bench-<time>/result.json. About twenty minutes;
parts of it by `--only`. Exits with 1 when a budget is missed.
"""

import argparse
import json
import os
import sys
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

from rich.console import Console

from benchmarks import components, generator, ladder, profiles, simulator_speed
from benchmarks.composed import climb_compose
from benchmarks.saturation import Climb, steps_plan
from benchmarks.systems import FLOOR, PLATFORM, SYSTEMS, start_up
from benchmarks.verdicts import (
    Budget,
    climb_table,
    knee_budgets,
    ladder_budgets,
    ladder_table,
    profile_table,
    recorder_budget,
    simulator_budgets,
    start_budgets,
    summary_table,
)
from scenarios.worlds.compose_project import engine_problem

ROUNDS, COMPOSE_ROUNDS = 3, 2
SEED = 1
# Sixteen containers, MariaDB's and Redis' among them, share the cores that eight processes have otherwise.
COMPOSE_STEP_S = 5  # an engine is asked for CPU time about once a second
COMPOSE_RATES = (10, 15, 20, 25, 30, 35, 40, 45, 50, 55, 60, 70, 80, 90, 100, 120)
PARTS = ("simulator", "components", "platform", "ladder", "compose")
# Parts that climb take turns in the same rounds, and share what both of them climb.
CLIMBED = {"platform": (FLOOR, PLATFORM), "ladder": tuple(ladder.RUNGS)}


def main() -> int:
    """Run what was asked for; 0 if every budget is kept."""
    parts, out = _arguments()
    console = Console(width=200)
    folder = out / f"bench-{datetime.now(UTC):%Y%m%d-%H%M%S}"
    folder.mkdir(parents=True)
    result: dict[str, Any] = {"load_average": os.getloadavg()}
    console.print(f"load average before: {', '.join(f'{load:.1f}' for load in os.getloadavg())}")
    judged: list[Budget] = []
    if "simulator" in parts:
        found = simulator_speed.measure(console)
        result["simulator"] = found.to_json()
        judged += simulator_budgets(found)
    if "components" in parts:
        judged += _components(console, result)
    if "platform" in parts:
        judged += _starts(folder)
    judged += _climbs(parts, console, folder, result)
    if "platform" in parts:
        _profile(console, folder, result)
    if "compose" in parts:
        _compose(console, folder, result)
    console.print(summary_table(judged))
    result["budgets"] = [asdict(budget) | {"kept": budget.kept} for budget in judged]
    (folder / "result.json").write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    console.print(f"figures: {folder / 'result.json'}")
    return 0 if all(budget.kept for budget in judged) else 1


def _components(console: Console, result: dict[str, Any]) -> list[Budget]:
    figures = components.measure(console)
    result["components"] = {title: [asdict(figure) for figure in rows] for title, rows in figures.items()}
    return [recorder_budget(*figures[generator.TITLE])]


def _starts(folder: Path) -> list[Budget]:
    ready_s, resident_bytes = zip(*(start_up(folder / f"start-up-{number}") for number in range(ROUNDS)), strict=True)
    return start_budgets(median(ready_s), int(median(resident_bytes)))


def _climbs(parts: tuple[str, ...], console: Console, folder: Path, result: dict[str, Any]) -> list[Budget]:
    wanted = {system for part in parts for system in CLIMBED.get(part, ())}
    climbs = _rounds([system for system in SYSTEMS if system in wanted], console, folder)
    result["climbs"] = [climb.to_json() for climb in climbs]
    judged = knee_budgets(climbs) if "platform" in parts else []
    if "ladder" in parts:
        rungs = ladder.rungs(climbs)
        console.print(ladder_table(rungs))
        result["ladder"] = [asdict(rung) for rung in rungs]
        judged += ladder_budgets(rungs)
    return judged


def _rounds(systems: list[str], console: Console, folder: Path) -> list[Climb]:
    climbs = []
    for number in range(ROUNDS if systems else 0):
        steps = steps_plan(SEED + number)
        # Turn about, and every other round backwards, so that a slow spell of the machine falls on all.
        for system in systems if number % 2 == 0 else reversed(systems):
            climb = SYSTEMS[system](system, folder / f"{system.replace(' ', '-')}-{number + 1}", steps)
            console.print(climb_table(climb))
            climbs.append(climb)
    return climbs


def _profile(console: Console, folder: Path, result: dict[str, Any]) -> None:
    found = profiles.measure(folder / "profile", SEED)
    console.print(profile_table(found))
    result["profiles"] = [asdict(profile) for profile in found]


def _compose(console: Console, folder: Path, result: dict[str, Any]) -> None:
    if problem := engine_problem():
        console.print(f"compose: not measured: {problem}")
        result["compose_skipped"] = problem
        return
    slower = [f"load.stages.{number}.rate={rate}" for number, rate in enumerate(COMPOSE_RATES)]
    slower += [f"load.stages.{number}.for={COMPOSE_STEP_S}s" for number in range(len(COMPOSE_RATES))]
    plans = [steps_plan(SEED + number, slower) for number in range(COMPOSE_ROUNDS)]
    climbs = climb_compose(folder / "compose", plans, lambda text: console.print(f"compose: {text}"))
    for climb in climbs:
        console.print(climb_table(climb))
    result["compose"] = [climb.to_json() for climb in climbs]


def _arguments() -> tuple[tuple[str, ...], Path]:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "--out", type=Path, default=Path("runs"), help="where the result folder is made (default: runs)"
    )
    parser.add_argument("--only", action="append", choices=PARTS, help="only this part; may repeat")
    parser.add_argument("--without-components", action="store_true", help="all but the libraries")
    given = parser.parse_args()
    parts = tuple(given.only or PARTS)
    return tuple(part for part in parts if not (given.without_components and part == "components")), given.out


if __name__ == "__main__":
    sys.exit(main())
