"""The participant's rules, one story each."""

import pytest

from settlement.protocol.effects import COORDINATOR, Confirm, Effect, Persist, Release, Reply, Reserve, Send, SetTimer
from settlement.protocol.events import DecisionReceived, Event, PrepareRequested, Recovered, Reserved, TimerFired
from settlement.protocol.messages import Acknowledge, AskOutcome, Voted
from settlement.protocol.participant import TRANSITIONS, ParticipantState, handle
from settlement.protocol.records import Decision, ParticipantPhase, Vote
from settlement.protocol.transitions import ProtocolError

PREPARED = (PrepareRequested(), Reserved(Vote.YES))
COMMIT, ABORT = DecisionReceived(Decision.COMMIT), DecisionReceived(Decision.ABORT)


def play(*events: Event) -> tuple[ParticipantState, list[Effect]]:
    state, effects = ParticipantState("g"), ()
    for event in events:
        state, effects = handle(state, event)
    return state, list(effects)


def kinds(effects: list[Effect]) -> list[type]:
    return [type(effect) for effect in effects]


def test_the_vote_is_durable_before_it_is_told() -> None:
    assert play(PrepareRequested())[1] == [Reserve()]
    state, effects = play(*PREPARED)
    assert kinds(effects) == [Persist, SetTimer, Reply]
    assert effects[0] == Persist(state.record)
    assert effects[-1] == Reply(Voted("g", Vote.YES))


@pytest.mark.parametrize(
    ("decision", "work", "phase"),
    [(COMMIT, Confirm, ParticipantPhase.COMMITTED), (ABORT, Release, ParticipantPhase.ABORTED)],
)
def test_a_decision_is_applied_recorded_then_acknowledged(
    decision: DecisionReceived, work: type, phase: ParticipantPhase
) -> None:
    state, effects = play(*PREPARED, decision)
    assert state.phase is phase
    assert [kinds(effects)[i] for i in (0, 1, -1)] == [work, Persist, Reply]
    assert play(*PREPARED, decision, decision)[1] == [Reply(Acknowledge("g"))]


def test_an_empty_rollback_leaves_a_tombstone_that_refuses_the_late_prepare() -> None:
    state, effects = play(ABORT)
    assert (state.phase, state.vote) == (ParticipantPhase.ABORTED, None)
    assert Release() in effects
    _, late = play(ABORT, PrepareRequested())
    assert late == [Reply(Voted("g", Vote.NO, "aborted"))]


def test_an_abort_that_overtakes_the_reservation_releases_it() -> None:
    _, effects = play(PrepareRequested(), ABORT, Reserved(Vote.YES))
    assert effects == [Release(), Reply(Voted("g", Vote.NO, "aborted"))]


def test_an_uncertain_refusal_records_nothing_so_that_the_abort_releases() -> None:
    state, effects = play(PrepareRequested(), Reserved(Vote.NO, "channel_silent", uncertain=True))
    assert (state.phase, effects) == (ParticipantPhase.INITIAL, [Reply(Voted("g", Vote.NO, "channel_silent"))])
    assert Release() in play(PrepareRequested(), Reserved(Vote.NO, "x", uncertain=True), ABORT)[1]


def test_a_plain_refusal_is_final() -> None:
    state, effects = play(PrepareRequested(), Reserved(Vote.NO, "declined"))
    assert (state.phase, state.vote) == (ParticipantPhase.ABORTED, Vote.NO)
    assert effects[-1] == Reply(Voted("g", Vote.NO, "declined"))


def test_in_doubt_it_asks_and_never_decides_alone() -> None:
    state, effects = play(*PREPARED, TimerFired("orphan"))
    assert state.phase is ParticipantPhase.PREPARED
    assert effects[0] == Send(COORDINATOR, AskOutcome("g"))
    assert isinstance(effects[1], SetTimer)


@pytest.mark.parametrize("history", [(), PREPARED, (*PREPARED, COMMIT), (ABORT,)])
def test_a_restart_finds_what_was_durable(history: tuple[Event, ...]) -> None:
    before, _ = play(*history)
    after, effects = play(Recovered(before.record if history else None))
    assert after == before
    assert bool(effects) == (before.phase is ParticipantPhase.PREPARED)


@pytest.mark.parametrize(
    "history",
    [
        (COMMIT,),
        (PrepareRequested(), Reserved(Vote.NO, "declined"), COMMIT),
        (*PREPARED, ABORT, COMMIT),
        (*PREPARED, COMMIT, ABORT),
    ],
)
def test_impossible_decisions_are_errors(history: tuple[Event, ...]) -> None:
    with pytest.raises(ProtocolError, match="participant"):
        play(*history)


def test_every_phase_has_an_entry_for_prepare_and_decision() -> None:
    assert set(TRANSITIONS) == set(ParticipantPhase)
    assert all({PrepareRequested, DecisionReceived} <= set(entries) for entries in TRANSITIONS.values())
