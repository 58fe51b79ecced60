"""A sweep from its design to its results: validated whole, played anywhere, kept as it comes, and gone on with.

Neither the number of workers nor the backend nor an interruption can change a result: a row depends on its variant
alone, and rows are put in order by number in the end.
"""

import json
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from scenarios.calibration_file import calibration_of
from scenarios.spec import Source
from scenarios.spec.document import Document
from scenarios.spec.overrides import Change
from scenarios.spreading import LOKY, cluster, spread
from scenarios.sweep.design import Design, values_of
from scenarios.sweep.fingerprint import code_fingerprint
from scenarios.sweep.folder import SweepFolder, SweepFolderError
from scenarios.sweep.playing import Row, play
from scenarios.sweep.results import Results, table_of
from scenarios.sweep.variants import Variant, variants_of
from simulator.calibration import Calibration, from_document

KEEP_EVERY_S = 1.0
"""Rows are written this often: no more than that is played twice after a SIGKILL."""


@dataclass(frozen=True)
class Workers:
    """Who plays: `count` processes here, or those of a dask `scheduler` (without an address: a cluster of its own)."""

    count: int = 1
    backend: str = LOKY
    scheduler: str | None = None


@dataclass(frozen=True)
class Progress:
    """How far it came: of `planned` variants `kept` were there already, `played` came since; `bad` did not pass."""

    planned: int
    kept: int
    played: int
    bad: int
    elapsed_s: float

    @property
    def per_s(self) -> float:
        """Variants a second, this time."""
        return self.played / self.elapsed_s if self.elapsed_s else 0.0


Watch = Callable[[Progress], None]


@dataclass(frozen=True)
class Sweep:
    """Variants that are known to be good, in a folder that knows them too."""

    folder: SweepFolder
    keys: tuple[str, ...]
    points: tuple[dict[str, Any], ...]
    seeds: tuple[int, ...]
    variants: tuple[Variant, ...]
    calibration: Calibration | None = None

    def run(self, workers: Workers, watch: Watch | None = None) -> Results:
        """Play what is not finished, and give all of it.

        Raises KeyboardInterrupt after what came in so far was kept, and NoCluster, SweepFolderError.
        """
        finished = self.folder.finished()
        if finished is not None:
            return Results(finished, self.keys)
        with self.folder.alone():
            rows = self.folder.rows()
            there = {row["variant"] for row in rows}
            missing = [variant for variant in self.variants if variant.number not in there]
            rows += self._played(missing, rows, workers, watch)
            table = table_of(rows, self.points, len(self.seeds), self.keys)
            self.folder.finish(table)
        return Results(table, self.keys)

    def _played(self, missing: list[Variant], kept: list[Row], workers: Workers, watch: Watch | None) -> list[Row]:
        rows: list[Row] = []
        if not missing:
            return rows
        bad = sum(row["verdict"] != "pass" for row in kept)
        began_s = time.perf_counter()
        with cluster(workers.backend, workers.count, workers.scheduler) as where:
            each = play if self.calibration is None else partial(play, calibration=self.calibration)
            played = spread(each, missing, min(workers.count, len(missing)), **where)
            with closing(played):
                for row in _keeping(played, self.folder):
                    rows.append(row)
                    bad += row["verdict"] != "pass"
                    if watch is not None:
                        elapsed_s = time.perf_counter() - began_s
                        watch(Progress(len(self.variants), len(kept), len(rows), bad, elapsed_s))
        return rows


def _keeping(played: Iterable[Row], folder: SweepFolder) -> Iterator[Row]:
    """Pass rows on, and write them down every KEEP_EVERY_S and whenever it ends, however it ends."""
    waiting: list[Row] = []
    kept_s = time.perf_counter()
    try:
        for row in played:
            waiting.append(row)
            if time.perf_counter() - kept_s >= KEEP_EVERY_S:
                folder.add(waiting)
                waiting, kept_s = [], time.perf_counter()
            yield row
    finally:
        folder.add(waiting)


def prepare(source: Source, design: Design, parent: Path, calibration: Path | None = None) -> Sweep:
    """Validate everything, and only then make the folder.

    Raises InvalidScenario and UnusableAxis with every problem, NoCalibration, RunFolderError.
    """
    costs = None if calibration is None else calibration_of(calibration)
    points = design.points()
    variants = variants_of(source, design.changes, points, design.seeds)
    name = variants[0].scenario.name
    definition = {
        "scenario": name,
        "path": str(source.path),
        "document": source.document.data,
        "changes": [[change.key, change.value] for change in design.changes],
        "points": [values_of(point) for point in points],
        "seeds": list(design.seeds),
        "calibration": None if calibration is None else json.loads(calibration.read_text(encoding="utf-8")),
        "code": code_fingerprint(),
    }
    folder = SweepFolder.create(parent, f"sweep-{datetime.now(UTC):%Y%m%d-%H%M%S}-{name}", definition)
    return _sweep(folder, points, design.seeds, variants, costs)


def resume(path: Path) -> Sweep:
    """The sweep of a folder, to go on with. Raises SweepFolderError, also if the code has changed since."""
    folder = SweepFolder(path)
    known = folder.read_definition()
    if known["code"] != code_fingerprint() and folder.finished() is None:
        raise SweepFolderError(
            f"{path}: the lab's code or a library of its has changed since this sweep began, so new rows would not be "
            "comparable with those that are there; start it again"
        )
    source = Source(Path(known["path"]), Document(known["document"]))
    changes = [Change(key, value) for key, value in known["changes"]]
    points = [tuple(Change(key, value) for key, value in point.items()) for point in known["points"]]
    seeds = tuple(known["seeds"])
    if folder.finished() is not None:
        return _sweep(folder, points, seeds, [], None)
    costs = None if known["calibration"] is None else from_document(known["calibration"])
    return _sweep(folder, points, seeds, variants_of(source, changes, points, seeds), costs)


def _sweep(
    folder: SweepFolder,
    points: list[tuple[Change, ...]],
    seeds: tuple[int, ...],
    variants: list[Variant],
    costs: Calibration | None,
) -> Sweep:
    values = tuple(dict(values_of(point)) for point in points)
    return Sweep(folder, tuple(values[0]), values, seeds, tuple(variants), costs)
