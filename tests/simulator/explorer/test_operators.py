"""Exhausted deliveries and what operators do about them, explored; and protocols that keep quiet about it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest

from settlement.protocol import coordinator
from settlement.protocol.events import Forgotten, Overruled, Recovered, Resumed, TimerFired
from settlement.protocol.records import CoordinatorPhase, Decision
from simulator.explorer import story
from simulator.explorer.engine import Exploration, Judged, Kind, Verdict, explore
from simulator.explorer.parts import Bounds
from simulator.explorer.protocol import ProtocolModel
from tests.mutants.patching import Undo, no_rule, rule
from tests.mutants.registry import mutated

CALM = Bounds(crashes=0, losses=0, duplicates=0, pauses=0)
EXHAUSTED = replace(CALM, exhaustions=1)
ORDERED = replace(CALM, operators=1)
DECIDED, PREPARING = CoordinatorPhase.DECIDED, CoordinatorPhase.PREPARING
TABLE = coordinator.TRANSITIONS


def explored(bounds: Bounds) -> Exploration[int, int]:
    return explore(ProtocolModel(bounds))


@pytest.mark.parametrize(
    "bounds",
    [
        EXHAUSTED,
        ORDERED,
        replace(EXHAUSTED, losses=1),
        replace(EXHAUSTED, crashes=1, participants=1),
        replace(ORDERED, exhaustions=1, participants=1),
        replace(ORDERED, crashes=1, participants=1),
        replace(ORDERED, operators=2, participants=1),
    ],
)
def test_the_shipped_protocol_holds_with_operators(bounds: Bounds) -> None:
    found = explored(bounds)
    assert found.complete
    assert {each.property.name for each in found.judged if each.verdict is not Verdict.HOLDS} == set()


def test_what_must_be_seen_is_seen() -> None:
    found = explored(replace(ORDERED, exhaustions=1, participants=1))
    seen = {each.property.name for each in found.judged if each.property.kind is Kind.SOMETIMES}
    assert seen == {"commit", "abort", "orphan_inquiry", "exhausted", "resumed", "operator", "heuristic_hazard"}


# ---- broken protocols -----------------------------------------------------------------------------------------------


def unmarked(honest: Callable[..., Any]) -> Callable[..., Any]:
    def broken(state: Any, event: Any) -> Any:
        after, effects = honest(state, event)
        return replace(after, heuristic=False), effects

    return broken


def silent_decision() -> Undo:
    return rule(TABLE, PREPARING, Overruled, unmarked(coordinator._decide_instead))


def silent_overrule() -> Undo:
    return rule(TABLE, DECIDED, Overruled, unmarked(coordinator._overrule))


def silent_close() -> Undo:
    return rule(TABLE, DECIDED, Forgotten, unmarked(coordinator._forget))


def forgetful_recovery() -> Undo:
    def recover(state: Any, event: Recovered) -> Any:
        found, effects = coordinator._recover(state, event)
        return replace(found, heuristic=False, overruled=None), effects

    return rule(TABLE, CoordinatorPhase.INITIAL, Recovered, recover)


def told_but_not_recorded() -> Undo:
    def overrule(state: Any, event: Overruled) -> Any:
        after, effects = coordinator._overrule(state, event)
        return replace(after, overruled=None), effects

    return rule(TABLE, DECIDED, Overruled, overrule)


def decision_rewritten() -> Undo:
    def overrule(state: Any, event: Overruled) -> Any:
        return coordinator._decide(replace(state, heuristic=True), event.decision, "")

    return rule(TABLE, DECIDED, Overruled, overrule)


def exhausted_for_ever() -> Undo:
    return no_rule(TABLE, CoordinatorPhase.EXHAUSTED, Resumed)


def resumed_as_abort() -> Undo:
    def resume(state: Any, event: Resumed) -> Any:
        return coordinator._decide(state, Decision.ABORT, "")

    return rule(TABLE, CoordinatorPhase.EXHAUSTED, Resumed, resume)


def never_exhausted() -> Undo:
    def retry(state: Any, event: TimerFired) -> Any:
        return coordinator._retry(replace(state, attempts=0), event)

    return rule(TABLE, DECIDED, TimerFired, retry)


CASES: list[tuple[Callable[[], Undo], Bounds, str]] = [
    (silent_decision, ORDERED, "heuristic_on_record"),
    (silent_overrule, ORDERED, "heuristic_on_record"),
    (silent_close, ORDERED, "heuristic_on_record"),
    (forgetful_recovery, ORDERED, "heuristic_on_record"),
    (told_but_not_recorded, ORDERED, "heuristic_on_record"),
    (decision_rewritten, ORDERED, "stability"),
    (exhausted_for_ever, EXHAUSTED, "termination"),
    (resumed_as_abort, EXHAUSTED, "stability"),
    (never_exhausted, EXHAUSTED, "exhausted"),
]


@contextmanager
def broken(change: Callable[[], Undo]) -> Iterator[None]:
    undo = change()
    try:
        yield
    finally:
        undo()


def first_violation(bounds: Bounds) -> tuple[Judged[int], list[str]]:
    model = ProtocolModel(bounds)
    violation = explore(model).violations[0]
    return violation, story.text(story.tell(model, violation.path, violation.loop)) if violation.path else []


@pytest.mark.parametrize(("change", "bounds", "breaks"), CASES, ids=[case[0].__name__ for case in CASES])
def test_a_broken_protocol_is_found(change: Callable[[], Undo], bounds: Bounds, breaks: str) -> None:
    with broken(change):
        violation, _ = first_violation(bounds)
    assert violation.property.name == breaks


def test_the_story_says_what_the_operator_did() -> None:
    with broken(silent_overrule):
        violation, told = first_violation(ORDERED)
    assert violation.text == "an operator decides commit, and the record does not say who"
    assert "an operator orders commit against the decision to abort" in told[-1]
    assert told[-1].endswith("(fault)")


@pytest.mark.parametrize("name", ["unilateral_abort", "vote_not_durable", "timeout_is_failure"])
def test_operators_are_no_excuse_for_what_nobody_ordered(name: str) -> None:
    with mutated(name):
        (calm, _), (ordered, told) = first_violation(CALM), first_violation(ORDERED)
    assert (ordered.property.name, len(ordered.path)) == (calm.property.name, len(calm.path))
    assert not any("operator" in line for line in told)
