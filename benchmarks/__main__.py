"""`python -m benchmarks`: components, start-up and memory, the platform against its floor, and where its time goes.

Prints figures and ratios against their budgets and writes them to runs/bench-<time>/result.json. About five minutes.
Exits with 1 when a budget is missed.
"""

import argparse
import json
import sys
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console

from benchmarks import components, generator, profiles
from benchmarks.saturation import Climb, steps_plan
from benchmarks.systems import climb_floor, climb_platform, start_up
from benchmarks.verdicts import Budget, budgets, climb_table, profile_table, recorder_budget, summary_table

ROUNDS = 3
SEED = 1


def main() -> int:
    """Run what was asked for; 0 if every budget is kept."""
    arguments = _arguments()
    console = Console(width=150)
    folder = Path(arguments.out) / f"bench-{datetime.now(UTC):%Y%m%d-%H%M%S}"
    folder.mkdir(parents=True)
    result: dict[str, Any] = {}
    judged: list[Budget] = []
    if not arguments.without_components:
        figures = components.measure(console)
        result["components"] = {title: [asdict(figure) for figure in rows] for title, rows in figures.items()}
        judged.append(recorder_budget(*figures[generator.TITLE]))
    judged += _platform(console, folder, result)
    console.print(summary_table(judged))
    result["budgets"] = [asdict(budget) | {"kept": budget.kept} for budget in judged]
    (folder / "result.json").write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    console.print(f"figures: {folder / 'result.json'}")
    return 0 if all(budget.kept for budget in judged) else 1


def _platform(console: Console, folder: Path, result: dict[str, Any]) -> list[Budget]:
    ready_s, resident_bytes = start_up(folder / "start-up")
    climbs: list[Climb] = []
    for number in range(1, ROUNDS + 1):
        steps = steps_plan(SEED + number)
        # Turn about, so that a slow spell of the machine falls on both.
        climbs.append(climb_floor(folder / f"floor-{number}", steps))
        climbs.append(climb_platform(folder / f"platform-{number}", steps))
    for climb in climbs:
        console.print(climb_table(climb))
    found = profiles.measure(folder / "profile", SEED)
    console.print(profile_table(found))
    result["climbs"] = [climb.to_json() for climb in climbs]
    result["profiles"] = [asdict(profile) for profile in found]
    return budgets(climbs, ready_s, resident_bytes)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--out", default="runs", help="where the result folder is made (default: runs)")
    parser.add_argument("--without-components", action="store_true", help="only the platform and its floor")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
