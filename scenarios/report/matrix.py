"""report.html of a matrix: one heat map a service, a row for each crash point, and every cell that did not pass."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from jinja2 import Environment, PackageLoader, StrictUndefined

from scenarios.matrix.cells import POINTS, UNREACHABLE, Return
from scenarios.matrix.judging import CellOutcome, CellResult
from scenarios.matrix.playing import Matrix

MARKS = {
    CellOutcome.PASS: "",
    CellOutcome.FAIL: "broken",
    CellOutcome.UNREACHED: "never reached",
    CellOutcome.INVALID: "invalid",
}
WORDS = {Return.QUICK: "back at once", Return.LATE: "back after its lease", Return.NEVER: "another takes over"}


@dataclass(frozen=True)
class Square:
    """A cell as it is drawn. `heat`: 0..100, the time in doubt as a share of the longest of the matrix."""

    outcome: str
    mark: str
    in_doubt: str
    recovery: str
    heat: int


@dataclass(frozen=True)
class Row:
    """One crash point: `phase` and `step` of `coordinator.decided.persist.after`, a square (or none) a return."""

    point: str
    squares: list[Square | None]


@dataclass(frozen=True)
class HeatMap:
    """One service."""

    service: str
    rows: list[Row]


def page(matrix: Matrix) -> str:
    """The whole document."""
    environment = Environment(
        loader=PackageLoader("scenarios.report", "."), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    hottest_s = _longest(result.in_doubt_s for result in matrix.results)
    return environment.get_template("matrix.html.j2").render(
        matrix=matrix,
        figures=[
            ("cells", str(len(matrix.results))),
            ("longest in doubt", _time(hottest_s)),
            ("longest recovery", _time(_longest(result.recovery_s for result in matrix.results))),
        ],
        outcomes=list(CellOutcome),
        returns=[WORDS[each] for each in Return],
        maps=[_map(service, matrix.results, hottest_s) for service in POINTS],
        hottest=f"{hottest_s:.1f} s",
        others=[result for result in matrix.results if result.outcome is not CellOutcome.PASS],
        words=WORDS,
        unreachable=[(service, point, why) for (service, point), why in UNREACHABLE.items()],
    )


def _map(service: str, results: Iterable[CellResult], hottest_s: float) -> HeatMap:
    mine = {(result.cell.point, result.cell.comes_back): result for result in results if result.cell.service == service}
    rows = []
    for point in POINTS[service]:
        found = [mine.get((point, comes_back)) for comes_back in Return]
        if any(found):
            rows.append(Row(point, [_square(result, hottest_s) if result else None for result in found]))
    return HeatMap(service, rows)


def _square(result: CellResult, hottest_s: float) -> Square:
    heat = round(100 * result.in_doubt_s / hottest_s) if hottest_s and math.isfinite(result.in_doubt_s) else 0
    return Square(result.outcome.value, MARKS[result.outcome], _time(result.in_doubt_s), _time(result.recovery_s), heat)


def _longest(times_s: Iterable[float]) -> float:
    return max((value for value in times_s if math.isfinite(value)), default=0.0)


def _time(seconds: float) -> str:
    return f"{seconds:.1f} s" if math.isfinite(seconds) else ""
