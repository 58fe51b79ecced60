"""Real runs that were played before, as a world: a new calibration or model is judged without playing them again."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from scenarios import history as histories
from scenarios.calibrate import speed
from scenarios.errors import BadInput
from scenarios.history import History
from scenarios.plan import Plan
from scenarios.runfolder import RunFolder
from scenarios.worlds.base import Progress
from simulator.speed import SpeedRecord


class NotStored(BadInput):
    """The folder has no run of that plan; the message names what is missing or different."""


@dataclass
class StoredWorld:
    """The runs in the folder of an earlier twin."""

    folder: Path
    name: str = "processes"
    fault_kinds: frozenset[str] = frozenset()

    def impossible(self, plan: Plan) -> list[str]:
        """Nothing: it has been done."""
        return []

    def play(self, plan: Plan, folder: RunFolder, progress: Progress) -> History:
        """The history of exactly this plan. Raises NotStored, HistoryError."""
        path = self.folder / run_name(plan)
        if not path.is_dir():
            raise NotStored(f"{self.folder} has no run {path.name}; it has {', '.join(stored(self.folder)) or 'none'}")
        found = histories.read(path)
        if found.plan != plan:
            raise NotStored(f"{path} played another plan: the scenario, or what it was changed by, was different then")
        return found

    def others_cores(self, plan: Plan) -> float:
        """What strangers used of the machine in the run of this plan."""
        return float(RunFolder(self.folder / run_name(plan)).status().get("others_cores", 0.0))

    def speed(self, plan: Plan) -> SpeedRecord | None:
        """How fast the cores were during it; None: not known. Raises NotStored if it was recorded otherwise."""
        folder = self.folder / run_name(plan)
        try:
            return speed.kept(folder)
        except (KeyError, ValueError, TypeError) as error:
            raise NotStored(f"{folder / speed.FILE}: {error}") from error


def run_name(plan: Plan) -> str:
    """The folder of one run within a twin's."""
    return f"{plan.scenario}-{plan.seed}"


def stored(folder: Path) -> list[str]:
    """The runs there are, in order of name."""
    return sorted(path.parent.name for path in folder.glob("*/history.json"))
