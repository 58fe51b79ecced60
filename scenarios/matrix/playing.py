"""Plays the passes of a matrix in a world, and keeps what came of it: one folder for all, in it one for each run."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from scenarios import history as histories
from scenarios.matrix.cells import Cell
from scenarios.matrix.judging import CellOutcome, CellResult, judge
from scenarios.matrix.passes import Pass, pace_of, passes
from scenarios.plan import Plan, plan
from scenarios.runfolder import RunFolder, RunState, create
from scenarios.spreading import spread
from scenarios.worlds import world_named
from scenarios.worlds.base import Progress, SilentProgress, World

ALL_CORES = -1
ROUNDS_MAX = 4
"""How often a cell is played, at most, until somebody comes by."""


@dataclass(frozen=True)
class Matrix:
    """What a whole matrix came to."""

    world: str
    seed: int
    results: list[CellResult]

    @property
    def verdict(self) -> CellOutcome:
        """The gravest of its cells: an unreached one is a gap in the proof."""
        found = {result.outcome for result in self.results}
        graver = (CellOutcome.FAIL, CellOutcome.INVALID, CellOutcome.UNREACHED)
        return next((outcome for outcome in graver if outcome in found), CellOutcome.PASS)

    def count(self, outcome: CellOutcome) -> int:
        """How many cells ended so."""
        return sum(result.outcome is outcome for result in self.results)

    def to_json(self) -> dict[str, Any]:
        """What matrix.json holds; times that were not measured are null."""
        return {
            "world": self.world,
            "seed": self.seed,
            "verdict": self.verdict.value,
            "counts": {outcome.value: self.count(outcome) for outcome in CellOutcome},
            "cells": [_plain(result) for result in self.results],
        }


def _plain(result: CellResult) -> dict[str, Any]:
    cell = result.cell
    return {
        "service": cell.service, "point": cell.point, "returns": cell.comes_back.value,
        "verdict": result.outcome.value, "in_doubt_s": _finite(result.in_doubt_s),
        "recovery_s": _finite(result.recovery_s), "run": result.run, "problems": list(result.problems),
    }  # fmt: skip


def _finite(value: float) -> float | None:
    return round(value, 3) if math.isfinite(value) else None


ProgressOf = Callable[[Plan, World], AbstractContextManager[Progress]]
Done = Callable[[Pass, list[CellResult]], None]


def play(world: str, wanted: Sequence[Pass], seed: int, folder: Path, progress_of: ProgressOf, done: Done) -> Matrix:
    """Play every pass; `done` hears of each as it ends. Raises WorldError, RunFolderError, KeyboardInterrupt.

    Simulated passes share all cores, real ones have the machine for themselves, one after the other. What nobody came
    by is played again with the next seed: who passes which step, and when, is a matter of luck.
    """
    results: dict[Cell, CellResult] = {}
    order = [window.cell for each in wanted for window in each.windows]
    for number in range(seed, seed + ROUNDS_MAX):
        for each, found in (
            _simulated(wanted, number, folder)
            if world == "simulated"
            else _real(world, wanted, number, folder, progress_of)
        ):
            results.update({result.cell: result for result in found})
            done(each, found)
        missing = [cell for cell in order if results[cell].outcome is CellOutcome.UNREACHED]
        if not missing:
            break
        wanted = [
            replace(each, name=f"{each.name}-again-{number - seed + 1}") for each in passes(missing, pace_of(world))
        ]
    return Matrix(world, seed, [results[cell] for cell in order])


Played = Iterator[tuple[Pass, list[CellResult]]]


def _simulated(wanted: Sequence[Pass], seed: int, folder: Path) -> Played:
    yield from spread(partial(simulate, seed=seed, folder=folder), wanted, ALL_CORES)


def simulate(each: Pass, seed: int, folder: Path) -> tuple[Pass, list[CellResult]]:
    """One pass in virtual time, in this process."""
    return each, _played(world_named("simulated"), each, plan(each.scenario, seed), folder, SilentProgress())


def _real(world: str, wanted: Sequence[Pass], seed: int, folder: Path, progress_of: ProgressOf) -> Played:
    for each in wanted:
        played, planned = world_named(world), plan(each.scenario, seed)
        with progress_of(planned, played) as progress:
            yield each, _played(played, each, planned, folder, progress)


def _played(world: World, each: Pass, planned: Plan, parent: Path, progress: Progress) -> list[CellResult]:
    folder = create(parent, each.name)
    _describe(folder, each, planned)
    history = world.play(planned, folder, progress)
    histories.write(history, folder.path)
    results = judge(each, history)
    folder.set_state(RunState.FINISHED)
    return results


def _describe(folder: RunFolder, each: Pass, planned: Plan) -> None:
    folder.scenario.write_text(each.scenario.to_yaml(), encoding="utf-8")
    folder.plan.write_text(planned.to_json(), encoding="utf-8")


def keep(matrix: Matrix, folder: Path) -> Path:
    """Write matrix.json; returns it."""
    path = folder / "matrix.json"
    path.write_text(json.dumps(matrix.to_json(), indent=2, allow_nan=False) + "\n", encoding="utf-8")
    return path
