"""The shipped protocol, explored whole within small bounds; and broken ones, which must not survive it.

The bounds that the project claims take longer than a test may: see docs/explorer.md.
"""

from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace

import pytest

from simulator.explorer import story
from simulator.explorer.engine import Exploration, Judged, Kind, Limits, Verdict, explore
from simulator.explorer.parts import Bounds
from simulator.explorer.properties import ALWAYS
from simulator.explorer.protocol import ProtocolModel
from tests.mutants.registry import mutated

CALM = Bounds(crashes=0, losses=0, duplicates=0, pauses=0)
CRASH = replace(CALM, crashes=1)
LOSS = replace(CALM, losses=1)
PAUSE = replace(CALM, pauses=1)
COPY = replace(CALM, duplicates=1)
SHIPPED = ""


def explored(bounds: Bounds) -> Exploration[int, int]:
    return explore(ProtocolModel(bounds))


def verdicts(found: Exploration[int, int]) -> dict[str, Verdict]:
    return {each.property.name: each.verdict for each in found.judged}


@pytest.mark.parametrize(
    "bounds",
    [
        CALM,
        CRASH,
        LOSS,
        PAUSE,
        COPY,
        replace(CALM, losses=1, duplicates=1),
        replace(CRASH, asked_last=True),
        replace(CRASH, replicas=1),
        replace(CRASH, participants=1, losses=1, pauses=1),
        replace(CALM, participants=3),
    ],
)
def test_the_shipped_protocol_holds(bounds: Bounds) -> None:
    found = explored(bounds)
    assert found.complete
    assert set(verdicts(found).values()) == {Verdict.HOLDS}
    assert {each.name for each in ALWAYS} <= verdicts(found).keys()


def test_crashes_losses_and_pauses_are_really_explored() -> None:
    sizes = [explored(bounds).states for bounds in (CALM, LOSS, COPY, CRASH, PAUSE)]
    assert min(sizes[1:]) > 1.5 * sizes[0]


def test_what_must_be_seen_is_seen() -> None:
    seen = {each.property.name for each in explored(CRASH).judged if each.property.kind is Kind.SOMETIMES}
    assert seen == {"commit", "abort", "recovery", "take_over", "orphan_inquiry"}


# ---- reductions change no verdict ---------------------------------------------------------------------------------


def changed(name: str) -> AbstractContextManager[None]:
    return mutated(name) if name != SHIPPED else nullcontext()


SAMPLE = (SHIPPED, "no_fencing", "tells_once", "vote_not_durable", "charges_twice")


@pytest.mark.parametrize("name", SAMPLE)
@pytest.mark.parametrize("bounds", [CRASH, PAUSE, LOSS, COPY], ids=["crash", "pause", "loss", "copy"])
def test_symmetry_changes_no_verdict_and_halves_the_states(name: str, bounds: Bounds) -> None:
    with changed(name):
        merged, apart = explored(bounds), explored(replace(bounds, symmetry=False))
    assert verdicts(merged) == verdicts(apart)
    assert [len(each.path) for each in merged.violations] == [len(each.path) for each in apart.violations]
    if merged.complete:
        assert 1.7 * merged.states < apart.states <= 2 * merged.states


def test_symmetry_of_three_participants_saves_most_of_the_states() -> None:
    three = replace(CALM, participants=3, uncertainty=False, refusals=False)
    assert 4 * explored(three).states < explored(replace(three, symmetry=False)).states


@pytest.mark.parametrize("name", SAMPLE)
def test_dropping_what_makes_no_difference_changes_no_verdict(name: str) -> None:
    with changed(name):
        for bounds in (replace(CRASH, participants=1), replace(PAUSE, participants=1), CALM):
            reduced, whole = explored(bounds), explored(replace(bounds, reduced=False))
            assert verdicts(reduced) == verdicts(whole)
            assert reduced.states <= whole.states


# ---- broken protocols -----------------------------------------------------------------------------------------------

# Which mutant, within which bounds it shows, which property it violates, in how many steps at most.
CASES: list[tuple[str, Bounds, str, int]] = [
    ("unilateral_abort", CALM, "agreement", 8),
    ("presume_commit", CRASH, "validity", 3),
    ("decision_before_durable", CRASH, "client_truth", 9),
    ("timeout_is_failure", CALM, "no_leak", 8),
    ("no_fencing", PAUSE, "stability", 9),
    ("reversed_by_retry", CALM, "stability", 8),
    ("impatient_coordinator", CALM, "non_triviality", 4),
    ("charges_twice", COPY, "one_charge", 9),
    ("vote_not_durable", CALM, "validity", 7),
    ("no_entry", CALM, "possible", 5),
    ("tells_once", LOSS, "termination", 3),
    ("asks_nobody", LOSS, "no_leak", 7),
    ("early_acknowledgement", LOSS, "no_leak", 7),
    ("deaf_coordinator", CALM, "commit", -1),
    ("coordinator_forgets", CRASH, "stability", 9),
    ("decision_written_last", CRASH, "client_truth", 9),
    ("late_prepare", CALM, "stability", 5),
    ("empty_rollback", CALM, "no_leak", 10),
    ("acknowledged_before_applied", CRASH, "no_leak", 8),
]


@pytest.mark.parametrize(("name", "bounds", "breaks", "steps"), CASES, ids=[case[0] for case in CASES])
def test_a_broken_protocol_is_found_with_a_short_story(name: str, bounds: Bounds, breaks: str, steps: int) -> None:
    with mutated(name):
        violation = first_violation(bounds)
    assert violation.property.name == breaks
    assert len(violation.path) - 1 <= steps


def first_violation(bounds: Bounds) -> Judged[int]:
    """Its story must be tellable, too."""
    model = ProtocolModel(bounds)
    violation = explore(model).violations[0]
    if violation.path:
        assert len(story.text(story.tell(model, violation.path, violation.loop))) >= len(violation.path) - 1
    return violation


def test_every_property_has_a_protocol_that_fails_it() -> None:
    assert {each.name for each in ALWAYS} <= {case[2] for case in CASES}


def test_a_channel_that_forgets_what_was_released_leaks() -> None:
    model = ProtocolModel(replace(CRASH, forgetful_channel=True))
    (violation,) = explore(model).violations
    told = "\n".join(story.text(story.tell(model, violation.path)))
    assert violation.property.name == "no_leak"
    assert len(violation.path) - 1 == 8
    assert "has nothing to release" in told
    assert told.endswith("8. participant-0: holds what was asked; crashes and restarts   (fault)")


def test_a_limit_ends_a_search_without_a_verdict() -> None:
    found = explore(ProtocolModel(replace(CRASH, losses=1)), Limits(states_max=100))
    assert (found.verdict, found.stopped_by) == (Verdict.INCOMPLETE, "states")
