"""What a check says, and how many of them become one verdict.

Four words. `pass` and `fail` are about the platform. `unknown`: the run cannot answer (nothing of the kind happened, or
the check itself broke). `invalid`: the load generator did not do what was planned, so no figure of the run can be
trusted.
"""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum
from typing import Any

import pandas

EVIDENCE_ROWS_MAX = 10
"""Evidence is for eyes: the worst rows only. The tables of the run folder have the rest."""

Row = dict[str, Any]


class Outcome(StrEnum):
    """A judgement, of one check or of the run."""

    PASS = "pass"  # noqa: S105 - the word, not a password
    FAIL = "fail"
    INVALID = "invalid"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Part:
    """One of several properties that a check stands for; `violations` is how many rows break it."""

    name: str
    violations: int


@dataclass(frozen=True)
class CheckResult:
    """The judgement of one check.

    `value` is in `unit` (ratio 0..1, s, 1/s, count, factor; None: not measured), `threshold` the text it was held
    against. `evidence` are the worst rows, `explanation` one plain sentence. `negated`: a violation was expected, so
    that `pass` means that there was one.
    """

    name: str
    verdict: Outcome
    value: float | None
    unit: str
    threshold: str
    explanation: str
    evidence: tuple[Row, ...] = ()
    parts: tuple[Part, ...] = ()
    negated: bool = False


@dataclass(frozen=True)
class Verdict:
    """The judgement of a run: what verdict.json holds. Infinite or unmeasured figures are None.

    `losses`: who lost what, see `checks.losses`. `not_asked`: expectations of another protocol than the run's.
    """

    scenario: str
    world: str
    seed: int
    question: str
    verdict: Outcome
    checks: tuple[CheckResult, ...]
    metrics: dict[str, float | None]
    history_sha256: str
    started_at: str
    platform: dict[str, Any]
    phases: tuple[dict[str, Any], ...]
    meta: dict[str, Any] = field(default_factory=dict)
    losses: dict[str, Any] = field(default_factory=dict)
    not_asked: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        plain: dict[str, Any] = asdict(self)
        return plain

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "Verdict":
        """The verdict that `to_dict` gave. Raises KeyError or TypeError if the document is not one."""
        checks = tuple(_check_from(row) for row in data["checks"])
        lists = ("checks", "verdict", "phases", "not_asked")
        rest = {name: value for name, value in data.items() if name not in lists}
        return cls(
            checks=checks,
            verdict=Outcome(data["verdict"]),
            phases=tuple(data["phases"]),
            not_asked=tuple(data.get("not_asked", ())),
            **rest,
        )


def _check_from(data: Mapping[str, Any]) -> CheckResult:
    rest = {name: value for name, value in data.items() if name not in ("verdict", "evidence", "parts")}
    parts = tuple(Part(**part) for part in data["parts"])
    return CheckResult(verdict=Outcome(data["verdict"]), evidence=tuple(data["evidence"]), parts=parts, **rest)


def overall(checks: Iterable[CheckResult]) -> Outcome:
    """The run's verdict: the gravest of its checks, and a run that checked nothing is unknown."""
    found = {check.verdict for check in checks}
    for grave in (Outcome.INVALID, Outcome.FAIL, Outcome.UNKNOWN):
        if grave in found:
            return grave
    return Outcome.PASS if found else Outcome.UNKNOWN


def negated(name: str, found: CheckResult) -> CheckResult:
    """The same judgement for who expected a violation: found it passes, not found it fails, unknown it stays."""
    verdicts = {Outcome.FAIL: Outcome.PASS, Outcome.PASS: Outcome.FAIL}
    words = {
        Outcome.FAIL: f"As expected, it is violated. {found.explanation}",
        Outcome.PASS: f"A violation was expected, and there is none. {found.explanation}",
    }
    return replace(
        found,
        name=name,
        verdict=verdicts.get(found.verdict, found.verdict),
        threshold=">= 1 violation",
        explanation=words.get(found.verdict, found.explanation),
        negated=True,
    )


def guarded(name: str, judge: Callable[[], CheckResult]) -> CheckResult:
    """What `judge` says; a check that crashes says unknown, with the error: it neither passes nor hides the others."""
    try:
        return judge()
    except Exception as error:  # noqa: BLE001 - the reporting boundary of all checks
        explanation = f"The check itself broke: {type(error).__name__}: {error}."
        return CheckResult(name, Outcome.UNKNOWN, None, "count", "", explanation)


def from_parts(name: str, found: Mapping[str, list[Row]], held: str, judged: int) -> CheckResult:
    """A check made of properties: `found` are the violations of each, `held` says what held if there are none.

    With nothing to judge it is unknown: a property of no transactions is no evidence that the platform is right.
    """
    parts = tuple(Part(part, len(rows)) for part, rows in found.items())
    violations = sum(part.violations for part in parts)
    if not violations and not judged:
        return CheckResult(
            name, Outcome.UNKNOWN, None, "count", "= 0 violations", "There was nothing to judge.", (), parts
        )
    broken = [f"{part.name} ({part.violations})" for part in parts if part.violations]
    explanation = f"Broken: {', '.join(broken)}." if broken else held
    verdict = Outcome.FAIL if violations else Outcome.PASS
    evidence = tuple({"property": part, **plain_row(row)} for part, rows in found.items() for row in rows)
    return CheckResult(
        name, verdict, float(violations), "count", "= 0 violations", explanation, spread(evidence, "property"), parts
    )


def spread(evidence: Iterable[Row], column: str) -> tuple[Row, ...]:
    """At most EVIDENCE_ROWS_MAX rows, some of each kind in `column`: one broken property must not hide another."""
    kinds: dict[Any, list[Row]] = {}
    for row in evidence:
        kinds.setdefault(row[column], []).append(row)
    share = max(1, EVIDENCE_ROWS_MAX // max(1, len(kinds)))
    return tuple(row for rows in kinds.values() for row in rows[:share])[:EVIDENCE_ROWS_MAX]


def rows_of(frame: pandas.DataFrame) -> list[Row]:
    """The rows of a frame as plain dictionaries."""
    return [plain_row(row) for row in frame.to_dict("records")]


def plain_row(row: Mapping[Any, Any]) -> Row:
    """A row with plain JSON values: times rounded to the millisecond, what is not known as None."""
    return {str(name): plain(value) for name, value in row.items()}


def plain(value: Any) -> Any:
    """`value` as JSON knows it."""
    if hasattr(value, "item"):
        value = value.item()
    if isinstance(value, float):
        return round(value, 3) if math.isfinite(value) else None
    return value if isinstance(value, (str, int, bool, type(None))) else str(value)


def finite(value: float) -> float | None:
    """`value`, or None where JSON has no word for it."""
    return round(float(value), 9) if math.isfinite(value) else None
