"""Playing a scenario on real services, as the tests here do it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import psutil

from scenarios.checks import NAMED
from scenarios.history import History
from scenarios.plan import plan
from scenarios.runfolder import create
from scenarios.spec import load_scenario
from scenarios.worlds.base import SilentProgress
from scenarios.worlds.processes import ProcessesWorld

SEED = 11


def played(
    folder: Path,
    scenario: str | Path,
    overrides: Sequence[str] = (),
    world: ProcessesWorld | None = None,
) -> History:
    """What happened when the scenario was played in the world `processes`; logs and databases are left in `folder`."""
    made, run_folder = plan(load_scenario(scenario, overrides), SEED), create(folder / "runs", "run")
    run_folder.plan.write_text(made.to_json(), encoding="utf-8")
    return (world or ProcessesWorld()).play(made, run_folder, SilentProgress())


def verdicts(history: History) -> dict[str, str]:
    """What every named check says, as `atomic` and `money_conserved`: pass, fail or unknown."""
    return {name: str(judge(history).verdict) for name, judge in NAMED.items()}


def running_in(folder: Path) -> list[psutil.Process]:
    """Processes whose command line or log belongs to this folder."""
    found = []
    for process in psutil.process_iter(["cmdline", "status"]):
        words = process.info["cmdline"] or []
        if process.info["status"] != psutil.STATUS_ZOMBIE and any(str(folder) in word for word in words):
            found.append(process)
    return found
