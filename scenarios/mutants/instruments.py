"""The instruments that reach the shipped protocol through the simulator and the explorer, each with fixed bounds.

The bounds are the same for every mutant and for the shipped code. Each instrument begins with what is cheap and stops
at the first thing that is wrong.
"""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Final

from scenarios.checks import NAMED, CheckResult, Outcome
from scenarios.fuzz.draw import draw
from scenarios.fuzz.play import judge, judge_one, play
from scenarios.fuzz.shrink import shrink
from scenarios.fuzz.story import story as fuzz_story
from scenarios.matrix.cells import cells
from scenarios.matrix.judging import CellOutcome
from scenarios.matrix.passes import PACES, passes
from scenarios.matrix.playing import simulate
from scenarios.mutants.attack import Attack, Instrument
from scenarios.plan import plan
from scenarios.runfolder import RunFolder
from scenarios.spec import load_scenario
from scenarios.worlds.base import SilentProgress
from scenarios.worlds.simulated import create
from simulator.explorer import story
from simulator.explorer.engine import Judged, explore
from simulator.explorer.parts import Bounds
from simulator.explorer.protocol import ProtocolModel

_CALM: Final = Bounds(crashes=0, losses=0, duplicates=0, pauses=0)
BOUNDS: Final = (
    _CALM,
    replace(_CALM, duplicates=1),
    replace(_CALM, losses=1),
    replace(_CALM, pauses=1),
    replace(_CALM, crashes=1),
)
"""Two participants, two gateway replicas, and no fault or one of a kind: 12,829 states of the shipped protocol."""

SCENARIOS: Final = (
    "double-coordinator", "zombie-coordinator", "channel-lost-reply", "participant-crash", "coordinator-crash",
)  # fmt: skip
JUDGES: Final = ("atomic", "money_conserved", "client_truth")
FUZZ_RUNS: Final = 100
FUZZ_BATCH: Final = 5
MATRIX_RETURNS: Final = "quick"


def explorer(_seed: int, _traced: bool) -> Attack:
    """Every state of one transaction: nothing goes wrong, then one copy, one loss, one pause, one crash."""
    states, without_story = 0, ""
    for bounds in BOUNDS:
        model = ProtocolModel(bounds)
        found = explore(model)
        states += found.states
        for violation in found.violations:
            finding = f"{violation.property.name}: {violation.text}"
            if violation.path:
                return Attack(
                    "explorer", finding, states, "states", trace=_explored(model, violation),
                    steps=len(violation.path) - 1,
                )  # fmt: skip
            # What never happens has no story. Perhaps what comes of it does, within larger bounds.
            without_story = without_story or finding
    return Attack("explorer", without_story, states, "states")


def _explored(model: ProtocolModel, violation: Judged[int]) -> tuple[str, ...]:
    return tuple(story.text(story.tell(model, violation.path, violation.loop)))


def checks(seed: int, _traced: bool) -> Attack:
    """The catalogue's scenarios in the simulated world, judged by the checks of every run."""
    for number, name in enumerate(SCENARIOS, 1):
        finding = _played(name, seed)
        if finding:
            again = f"paylab run {name} --world simulated --seed {seed}"
            return Attack("checks", finding, number, "runs", trace=(again,))
    return Attack("checks", "", len(SCENARIOS), "runs")


def _played(name: str, seed: int) -> str:
    """What is wrong with a run of this scenario; '' if nothing is."""
    try:
        folder = RunFolder(Path())  # the simulated world writes nothing
        history = create().play(plan(load_scenario(name), seed), folder, SilentProgress())
    except Exception as error:  # noqa: BLE001 - whatever the platform's code raises is a finding about it
        return f"{name}: {_broke(error)}"
    failed = [result for result in (NAMED[judge](history) for judge in JUDGES) if result.verdict is not Outcome.PASS]
    return f"{name}: {failed[0].name}: {_parts(failed[0])}" if failed else ""


def _parts(result: CheckResult) -> str:
    return ", ".join(part.name for part in result.parts if part.violations) or result.explanation


def _broke(error: Exception) -> str:
    return f"the code broke: {type(error).__name__}: {error}"


def fuzz(seed: int, traced: bool) -> Attack:
    """Random runs of the whole simulated platform; the one that fails is made small if a trace is wanted."""
    for first in range(seed, seed + FUZZ_RUNS, FUZZ_BATCH):
        judged = judge([play(draw(each)) for each in range(first, first + FUZZ_BATCH)])
        failed = next((each for each in judged if each.findings), None)
        if failed is None:
            continue
        failing, runs = failed.played.plan.seed, failed.played.plan.seed - seed + 1
        attack = Attack("fuzz", failed.findings[0].name, runs, "runs", trace=(f"paylab fuzz --replay {failing}",))
        if not traced:
            return attack
        small = shrink(judge_one(draw(failing)))
        steps = len(small.plan.faults) + len(small.plan.attempts) + 1  # who pays in the calm, to see if it works
        return replace(
            attack, trace=tuple(fuzz_story(small.judged).splitlines()), steps=steps, steps_of="requests and faults"
        )
    return Attack("fuzz", "", FUZZ_RUNS, "runs")


def matrix(seed: int, _traced: bool) -> Attack:
    """Every crash point and role, restarted at once, in the simulated world."""
    tried = 0
    wanted = passes(cells(returns=MATRIX_RETURNS), PACES["simulated"])
    for each in sorted(wanted, key=lambda one: one.scenario.duration_s):
        with tempfile.TemporaryDirectory(prefix="paylab-mutants-") as folder:
            try:
                _, results = simulate(each, seed, Path(folder))
            except Exception as error:  # noqa: BLE001 - whatever the platform's code raises is a finding about it
                return Attack("matrix", f"{each.name}: {_broke(error)}", tried + len(each.windows), "cells")
        failed = [result for result in results if result.outcome is CellOutcome.FAIL]
        if failed:
            cell = failed[0].cell
            trace = (f"paylab matrix --service {cell.service} --point {cell.point} --returns {cell.comes_back}",)
            finding = f"{cell.point}: {failed[0].problems[0].split(',')[0]}"
            return Attack("matrix", finding, tried + results.index(failed[0]) + 1, "cells", trace=trace)
        tried += len(results)
    return Attack("matrix", "", tried, "cells")


INSTRUMENTS: Final[dict[str, Instrument]] = {"explorer": explorer, "checks": checks, "fuzz": fuzz, "matrix": matrix}
"""Cheapest first. The fifth, `services`, runs the services' own code and comes with the mutants."""
