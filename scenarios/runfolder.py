"""The folder of one run: where everything that happened is kept, and what state the run is in."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

from scenarios.errors import LabError


class RunState(StrEnum):
    """What `status.json` says. A folder that says `running` while nothing runs belonged to a lab that was killed."""

    RUNNING = "running"
    FINISHED = "finished"
    INTERRUPTED = "interrupted"
    ERROR = "error"


class RunFolderError(LabError):
    """The folder cannot be made, read or written; the message names it and says why."""


@dataclass(frozen=True)
class RunFolder:
    """One run's folder. `logs` and `databases` exist once it was created; a world may add what it likes."""

    path: Path

    @property
    def logs(self) -> Path:
        """Logs of the services and of the load generator."""
        return self.path / "logs"

    @property
    def spans(self) -> Path:
        """The spans that the services recorded, one file a process."""
        return self.path / "spans"

    @property
    def databases(self) -> Path:
        """The services' databases (`<service>.sqlite`), kept for `paylab audit`."""
        return self.path / "databases"

    @property
    def load(self) -> Path:
        """What the load generator wrote."""
        return self.path / "load"

    @property
    def plan(self) -> Path:
        """The plan that the world plays."""
        return self.path / "plan.json"

    @property
    def verdict(self) -> Path:
        """The judgement."""
        return self.path / "verdict.json"

    @property
    def report(self) -> Path:
        """The report for people."""
        return self.path / "report.html"

    @property
    def scenario(self) -> Path:
        """The scenario as it was run, overrides included."""
        return self.path / "scenario.yaml"

    def set_state(self, state: RunState, **details: Any) -> None:
        """Write `status.json` so that a reader sees the old or the new one, never half of it."""
        text = json.dumps({"state": state.value, **details}, indent=2) + "\n"
        path, scratch = self.path / "status.json", self.path / "status.json.new"
        try:
            scratch.write_text(text, encoding="utf-8")
            scratch.replace(path)
        except OSError:
            # A full disk has no room for a second file, but the state alone fits where the old one stands.
            scratch.unlink(missing_ok=True)
            with path.open("r+", encoding="utf-8") as file:
                file.write(json.dumps({"state": state.value}) + "\n")
                file.truncate()

    def status(self) -> Mapping[str, Any]:
        """What `status.json` says. Raises RunFolderError if this is no run folder."""
        try:
            status = json.loads((self.path / "status.json").read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise RunFolderError(f"{self.path}: is no run folder: {_reason(error)}") from error
        if not isinstance(status, dict):
            raise RunFolderError(f"{self.path}/status.json: is not an object")
        return status


def run_name(started_at: datetime, scenario: str, world: str, seed: int) -> str:
    """`20260131-235959-baseline-processes-7`; `started_at` in UTC."""
    return f"{started_at:%Y%m%d-%H%M%S}-{scenario}-{world}-{seed}"


def create(parent: Path, name: str) -> RunFolder:
    """A new folder under `parent`; a second run within the same second gets `-2`. Raises RunFolderError."""
    try:
        parent.mkdir(parents=True, exist_ok=True)
        folder = RunFolder(new_folder(parent, name))
        folder.logs.mkdir()
        folder.databases.mkdir()
        folder.set_state(RunState.RUNNING)
    except OSError as error:
        raise RunFolderError(
            f"cannot write the run folder under {parent}: {_reason(error)}; choose another by --out"
        ) from error
    return folder


def new_folder(parent: Path, name: str) -> Path:
    """A folder that did not exist: `name` under `parent`, or `name-2` and so on. Raises OSError."""
    for attempt in range(1, 1000):
        path = parent / (name if attempt == 1 else f"{name}-{attempt}")
        try:
            path.mkdir()
        except FileExistsError:
            continue
        return path
    raise FileExistsError(17, "a thousand runs of that name exist", str(parent / name))


def existing(path: Path) -> RunFolder:
    """The run folder at `path`. Raises RunFolderError if it is none."""
    folder = RunFolder(path)
    folder.status()
    return folder


def _reason(error: Exception) -> str:
    return (error.strerror or str(error)) if isinstance(error, OSError) else str(error)
