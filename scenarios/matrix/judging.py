"""What became of each cell of a pass that was played. Pure: it reads the history."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from scenarios.checks import atomicity, check, in_doubt
from scenarios.checks.result import CheckResult, Outcome, Row, rows_of
from scenarios.checks.transactions import coordinated, end_s
from scenarios.history import History
from scenarios.matrix.cells import Cell
from scenarios.matrix.passes import ATOMIC, Pass, Window

NAN = math.nan


class CellOutcome(StrEnum):
    """The judgement of a cell."""

    PASS = "pass"  # noqa: S105 - the word, not a password
    FAIL = "fail"
    UNREACHED = "unreached"
    """Nothing died there, so the cell says nothing; the matrix is not complete."""
    INVALID = "invalid"
    """The load was not what was planned."""


@dataclass(frozen=True)
class CellResult:
    """One cell. Times are seconds; NaN if nothing was hit.

    `in_doubt_s`: the longest that a participant was in doubt of those who were while the replica was dead.
    `recovery_s`: from the crash until the last transaction that was under way then was closed. `problems`: what broke.
    """

    cell: Cell
    outcome: CellOutcome
    run: str
    in_doubt_s: float = NAN
    recovery_s: float = NAN
    problems: tuple[str, ...] = ()


def judge(played: Pass, history: History) -> list[CellResult]:
    """A result for each window of the pass."""
    verdict = check(history, ATOMIC)
    invalid = [each.explanation for each in verdict.checks if each.verdict is Outcome.INVALID]
    known = coordinated(history)
    begun_s = dict(zip(known["gid"], known["begun_s"], strict=True))
    broken = [
        (_window_of(row, played, begun_s), _text(name, row))
        for name, row in _violations(played, history, verdict.checks)
    ]
    return [
        _result(window, history, played.name, [text for at, text in broken if at in (None, window)], invalid)
        for window in played.windows
    ]


def _result(window: Window, history: History, run: str, problems: list[str], invalid: list[str]) -> CellResult:
    (crash,) = rows_of(history["faults"][history["faults"]["id"] == window.fault])
    if invalid:
        return CellResult(window.cell, CellOutcome.INVALID, run, problems=tuple(invalid))
    if crash["hits"] < 1:
        return CellResult(window.cell, CellOutcome.UNREACHED, run, problems=(crash["detail"],))
    hit_s, back_s = crash["started_s"], crash["ended_s"] or end_s(history)
    return CellResult(
        cell=window.cell,
        outcome=CellOutcome.FAIL if problems else CellOutcome.PASS,
        run=run,
        in_doubt_s=_longest_doubt_s(history, hit_s, back_s),
        recovery_s=_recovery_s(history, hit_s),
        problems=tuple(problems),
    )


def _longest_doubt_s(history: History, hit_s: float, back_s: float) -> float:
    table = in_doubt.intervals(history)
    touched = table[(table["from_s"] <= back_s) & (table["until_s"] >= hit_s)]
    return float(touched["duration_s"].max()) if len(touched) else 0.0


def _recovery_s(history: History, hit_s: float) -> float:
    known = coordinated(history)
    # Who gave up has done all it will do.
    over_s = known["closed_s"].fillna(known["exhausted_s"]).fillna(end_s(history))
    under_way = over_s[(known["begun_s"] <= hit_s) & (over_s > hit_s)]
    return float(under_way.max()) - hit_s if len(under_way) else 0.0


def _violations(played: Pass, history: History, checks: tuple[CheckResult, ...]) -> Iterator[tuple[str, Row]]:
    """(what is broken, row); a check's own evidence is cut short, so atomicity's properties are asked one by one."""
    properties = {
        "AC1 agreement": atomicity.agreement, "AC2 stability": atomicity.stability, "AC3 validity": atomicity.validity,
        "AC4 non-triviality": atomicity.non_triviality, "AC5 termination": atomicity.termination,
    }  # fmt: skip
    for name, violations in properties.items():
        for row in violations(history):
            if not (played.gives_up and row.get("problem") == atomicity.GIVEN_UP):
                yield name, row
    for result in checks:
        if result.name != atomicity.NAME and result.name in ATOMIC and result.verdict is not Outcome.PASS:
            yield from ((result.name, row) for row in result.evidence or ({"problem": result.explanation},))


def _window_of(row: Row, played: Pass, begun_s: dict[str, float]) -> Window | None:
    """The window in which the violated transaction began; None, that is every window, if it cannot be told."""
    at_s = begun_s.get(str(row.get("gid")))
    if at_s is None:
        return None
    return next((window for window in reversed(played.windows) if window.start_s <= at_s), None)


def _text(name: str, row: Row) -> str:
    return f"{name}: " + ", ".join(f"{key} {value}" for key, value in row.items() if value not in (None, ""))
