"""The coordinator's rules, one story each."""

import pytest

from settlement.protocol.coordinator import TRANSITIONS, CoordinatorState, CoordinatorTiming, handle
from settlement.protocol.effects import Effect, Persist, Reply, Send, SetTimer
from settlement.protocol.events import (
    AckReceived,
    Event,
    Fenced,
    Forgotten,
    OutcomeAsked,
    Overruled,
    Recovered,
    Resumed,
    Started,
    TimerFired,
    VoteReceived,
)
from settlement.protocol.messages import Answer, Decide, Outcome, Prepare
from settlement.protocol.records import CoordinatorPhase, Decision, Participant, Vote
from settlement.protocol.transitions import ProtocolError

BOTH = (Participant("order"), Participant("payment"))
WALLET = (Participant("order"), Participant("payment", asked_last=True))


def play(*events: Event, timing: CoordinatorTiming | None = None) -> tuple[CoordinatorState, list[Effect]]:
    """All the effects of the last event, after the earlier ones."""
    state, effects = CoordinatorState("g", timing=timing or CoordinatorTiming()), ()
    for event in events:
        state, effects = handle(state, event)
    return state, list(effects)


def sent(effects: list[Effect]) -> list[tuple[str, object]]:
    return [(e.to, e.message) for e in effects if isinstance(e, Send)]


def test_the_begin_record_is_durable_before_anyone_is_asked() -> None:
    _, effects = play(Started(BOTH))
    assert isinstance(effects[0], Persist)
    assert sent(effects) == [("order", Prepare("g")), ("payment", Prepare("g"))]


def test_who_cannot_hold_is_asked_after_the_others_said_yes() -> None:
    _, first = play(Started(WALLET))
    assert sent(first) == [("order", Prepare("g"))]
    _, then = play(Started(WALLET), VoteReceived("order", Vote.YES))
    assert sent(then) == [("payment", Prepare("g"))]
    _, again = play(Started(WALLET), VoteReceived("order", Vote.YES), VoteReceived("order", Vote.YES))
    assert sent(again) == []


def test_a_refusal_spares_who_is_asked_last() -> None:
    state, effects = play(Started(WALLET), VoteReceived("order", Vote.NO, "out_of_stock"))
    assert state.decision is Decision.ABORT
    assert not any(isinstance(message, Prepare) for _, message in sent(effects))


@pytest.mark.parametrize(
    ("last", "decision", "reason"),
    [
        (VoteReceived("payment", Vote.YES), Decision.COMMIT, ""),
        (VoteReceived("payment", Vote.NO, "declined"), Decision.ABORT, "declined"),
        (TimerFired("prepare"), Decision.ABORT, "prepare_timeout"),
    ],
)
def test_the_decision_is_durable_before_anyone_is_told(last: Event, decision: Decision, reason: str) -> None:
    state, effects = play(Started(BOTH), VoteReceived("order", Vote.YES), last)
    assert (state.phase, state.decision) == (CoordinatorPhase.DECIDED, decision)
    assert effects[0] == Persist(state.record)
    assert Reply(Answer("g", decision, reason)) in effects
    assert sent(effects) == [("order", Decide("g", decision)), ("payment", Decide("g", decision))]


def test_it_closes_when_everyone_has_acknowledged_and_not_before() -> None:
    decided = (Started(BOTH), VoteReceived("order", Vote.YES), VoteReceived("payment", Vote.YES))
    one, nothing = play(*decided, AckReceived("order"), AckReceived("order"))
    assert (one.phase, nothing) == (CoordinatorPhase.DECIDED, [])
    both, effects = play(*decided, AckReceived("order"), AckReceived("payment"))
    assert both.phase is CoordinatorPhase.CLOSED
    assert effects[0] == Persist(both.record)


def test_retries_go_to_the_silent_only_and_back_off() -> None:
    state, effects = play(
        Started(BOTH), VoteReceived("order", Vote.NO), AckReceived("order"), TimerFired("retry"), TimerFired("retry")
    )
    assert sent(effects) == [("payment", Decide("g", Decision.ABORT))]
    assert SetTimer("retry", 400) in effects
    assert state.timing.retry_delay_ms(50) == state.timing.retry_max_ms


def test_retries_end_in_exhausted_and_an_operator_may_resume_or_forget() -> None:
    timing = CoordinatorTiming(retry_attempts_max=2)
    history = (Started(BOTH), TimerFired("prepare"), TimerFired("retry"), TimerFired("retry"))
    exhausted, effects = play(*history, timing=timing)
    assert exhausted.phase is CoordinatorPhase.EXHAUSTED
    assert effects == [Persist(exhausted.record)]
    resumed, told = play(*history, Resumed(), timing=timing)
    assert (resumed.phase, resumed.attempts, len(sent(told))) == (CoordinatorPhase.DECIDED, 0, 2)
    forgotten, _ = play(*history, Forgotten(), timing=timing)
    assert (forgotten.phase, forgotten.heuristic) == (CoordinatorPhase.CLOSED, True)
    acked, _ = play(*history, AckReceived("order"), AckReceived("payment"), timing=timing)
    assert (acked.phase, acked.heuristic) == (CoordinatorPhase.CLOSED, False)


def test_a_take_over_aborts_the_undecided_and_repeats_the_decided() -> None:
    preparing, _ = play(Started(BOTH), VoteReceived("order", Vote.YES))
    state, effects = play(Recovered(preparing.record))
    assert (state.decision, effects[0]) == (Decision.ABORT, Persist(state.record))
    decided, _ = play(Started(BOTH), VoteReceived("order", Vote.YES), VoteReceived("payment", Vote.YES))
    again, told = play(Recovered(decided.record))
    assert again.decision is Decision.COMMIT
    assert not any(isinstance(effect, Persist | Reply) for effect in told)
    assert len(sent(told)) == 2


def test_who_asks_hears_the_decision_and_no_record_means_abort() -> None:
    def answer(*events: Event) -> Effect:
        return play(*events, OutcomeAsked("order"))[1][0]

    assert answer() == Reply(Outcome("g", Decision.ABORT))
    assert answer(Started(BOTH)) == Reply(Outcome("g", None))
    assert answer(Started(BOTH), TimerFired("prepare")) == Reply(Outcome("g", Decision.ABORT))


def test_a_fenced_coordinator_says_nothing_more() -> None:
    for event in (VoteReceived("order", Vote.YES), TimerFired("prepare"), OutcomeAsked("order"), AckReceived("order")):
        state, effects = play(Started(BOTH), Fenced(), event)
        assert (state.phase, effects) == (CoordinatorPhase.FENCED, [])


def test_what_cannot_happen_is_an_error_that_names_role_phase_and_event() -> None:
    with pytest.raises(ProtocolError, match=r"coordinator in phase 'preparing' cannot handle Resumed"):
        play(Started(BOTH), Resumed())
    with pytest.raises(ProtocolError, match="takes no part"):
        play(Started(BOTH), VoteReceived("stranger", Vote.YES))
    for participants in ((), (Participant("order"), Participant("order"))):
        with pytest.raises(ProtocolError, match="distinct"):
            play(Started(participants))


def test_every_phase_can_be_fenced_and_has_an_entry() -> None:
    # Everything but the two volatile phases of the article's protocol.
    assert set(TRANSITIONS) == set(CoordinatorPhase) - {CoordinatorPhase.CHARGING, CoordinatorPhase.CONFIRMING}
    assert all(Fenced in entries for entries in TRANSITIONS.values())


DECIDED = (Started(BOTH), VoteReceived("order", Vote.YES), VoteReceived("payment", Vote.YES))


@pytest.mark.parametrize("decision", list(Decision))
def test_an_operator_may_decide_what_is_undecided_and_that_is_the_decision(decision: Decision) -> None:
    state, effects = play(Started(BOTH), Overruled(decision))
    assert (state.phase, state.decision, state.reason) == (CoordinatorPhase.DECIDED, decision, "operator")
    assert (state.heuristic, state.overruled) == (True, None)
    assert effects[0] == Persist(state.record)
    assert sent(effects) == [("order", Decide("g", decision)), ("payment", Decide("g", decision))]


def test_an_operator_against_the_decision_changes_what_is_told_and_not_what_was_decided() -> None:
    state, effects = play(*DECIDED, Overruled(Decision.ABORT))
    assert (state.decision, state.overruled, state.heuristic) == (Decision.COMMIT, Decision.ABORT, True)
    assert effects[0] == Persist(state.record)
    assert sent(effects) == [("order", Decide("g", Decision.ABORT)), ("payment", Decide("g", Decision.ABORT))]
    _, replies = play(*DECIDED, Overruled(Decision.ABORT), OutcomeAsked("order"))
    assert replies == [Reply(Outcome("g", Decision.ABORT))]
    again, told = play(Recovered(state.record))
    assert (again.record, sent(told)) == (state.record, sent(effects))


def test_an_operator_who_agrees_has_the_decision_told_again_and_nothing_is_heuristic() -> None:
    state, effects = play(*DECIDED, TimerFired("retry"), Overruled(Decision.COMMIT))
    assert (state.overruled, state.heuristic, state.attempts) == (None, False, 0)
    assert len(sent(effects)) == 2
    _, regretted = play(*DECIDED, Overruled(Decision.ABORT), Overruled(Decision.COMMIT))
    assert sent(regretted) == sent(effects)


def test_what_is_closed_is_not_overruled() -> None:
    with pytest.raises(ProtocolError, match="'closed' cannot handle Overruled"):
        play(*DECIDED, AckReceived("order"), AckReceived("payment"), Overruled(Decision.ABORT))
