"""The article's protocol, phase by phase, and where it loses money."""

from typing import Any

import pytest

from settlement.protocol import article, article_participant
from settlement.protocol.coordinator import CoordinatorState
from settlement.protocol.crashpoints import CRASH_POINTS, KNOWN_POINTS, POINTS_OF
from settlement.protocol.effects import (
    PATIENCE_TIMER,
    Collect,
    Confirm,
    Effect,
    Persist,
    Release,
    Reply,
    Revoke,
    Send,
    SetTimer,
)
from settlement.protocol.events import (
    AckReceived,
    ChargeRequested,
    Collected,
    DecisionReceived,
    Event,
    Fenced,
    OutcomeAsked,
    PrepareRequested,
    Recovered,
    Reserved,
    Started,
    TimerFired,
    VoteReceived,
)
from settlement.protocol.messages import Acknowledge, Answer, Charge, Decide, Outcome, Prepare, Voted
from settlement.protocol.participant import ParticipantState
from settlement.protocol.records import (
    CoordinatorPhase,
    Decision,
    Participant,
    ParticipantPhase,
    TransactionRecord,
    Vote,
)
from settlement.protocol.shipped import PROTOCOLS
from settlement.protocol.transitions import ProtocolError

BOTH = (Participant("order"), Participant("payment"))
BEGUN = (Started(BOTH),)
PRECOMMITTED = (*BEGUN, VoteReceived("order", Vote.YES))
CHARGED = (*PRECOMMITTED, VoteReceived("payment", Vote.YES))
CONFIRMED = (*CHARGED, AckReceived("order"))
COMMIT, ABORT = Decision.COMMIT, Decision.ABORT


def gateway(*events: Event) -> tuple[CoordinatorState, list[Effect]]:
    """The effects of the last event, after the earlier ones."""
    state, effects = CoordinatorState("g"), ()
    for event in events:
        state, effects = article.handle(state, event)
    return state, list(effects)


def participant(*events: Event) -> tuple[ParticipantState, list[Effect]]:
    state, effects = ParticipantState("g"), ()
    for event in events:
        state, effects = article_participant.handle(state, event)
    return state, list(effects)


def sent(effects: list[Effect]) -> list[tuple[str, object]]:
    return [(e.to, e.message) for e in effects if isinstance(e, Send)]


def kinds(effects: list[Effect]) -> list[type[Effect]]:
    return [type(effect) for effect in effects]


# ---- the gateway ----------------------------------------------------------------------------------------------------


def test_phase_one_asks_the_order_alone() -> None:
    _, effects = gateway(*BEGUN)
    assert kinds(effects) == [Persist, SetTimer, Send]
    assert sent(effects) == [("order", Prepare("g"))]


def test_phase_two_has_the_money_taken_once_the_order_is_pre_committed() -> None:
    state, effects = gateway(*PRECOMMITTED)
    assert state.phase is CoordinatorPhase.CHARGING
    assert sent(effects) == [("payment", Charge("g"))]


def test_taken_money_is_told_to_the_order_before_a_word_of_it_is_durable() -> None:
    state, effects = gateway(*CHARGED)
    assert sent(effects) == [("order", Decide("g", COMMIT))]
    assert Persist not in kinds(effects)
    assert state.record.decision is None


def test_the_result_is_recorded_and_answered_when_the_order_has_confirmed_it() -> None:
    state, effects = gateway(*CONFIRMED)
    assert kinds(effects)[0] is Persist
    assert (state.record.phase, state.record.decision) == (CoordinatorPhase.CLOSED, COMMIT)
    assert Reply(Answer("g", COMMIT)) in effects


@pytest.mark.parametrize(
    ("before", "silence", "reason"),
    [
        (BEGUN, TimerFired(PATIENCE_TIMER), "prepare_timeout"),
        (PRECOMMITTED, TimerFired(PATIENCE_TIMER), "prepare_timeout"),
        (CHARGED, TimerFired(PATIENCE_TIMER), article.NOT_CONFIRMED),
        (BEGUN, VoteReceived("order", Vote.NO, "out_of_stock"), "out_of_stock"),
        (PRECOMMITTED, VoteReceived("payment", Vote.NO, "declined"), "declined"),
    ],
)
def test_phase_three_tells_the_order_and_the_client_that_it_failed(
    before: tuple[Event, ...], silence: Event, reason: str
) -> None:
    state, effects = gateway(*before, silence)
    assert (state.phase, state.record.decision) == (CoordinatorPhase.CLOSED, ABORT)
    assert sent(effects) == [("order", Decide("g", ABORT))], "and nobody tells payment to give anything back"
    assert effects[-1] == Reply(Answer("g", ABORT, reason))


def test_a_late_confirmation_is_none() -> None:
    lost = (*CHARGED, TimerFired(PATIENCE_TIMER))
    failed, _ = gateway(*lost)
    assert gateway(*lost, AckReceived("order")) == (failed, [])


def test_a_crash_forgets_that_money_was_taken() -> None:
    charged, _ = gateway(*CHARGED)
    durable = TransactionRecord("g", CoordinatorPhase.PREPARING, BOTH, epoch=2)
    assert charged.phase is CoordinatorPhase.CONFIRMING
    state, effects = gateway(Recovered(durable))
    assert (state.record.decision, state.record.epoch) == (ABORT, 2)
    assert sent(effects) == [("order", Decide("g", ABORT))]


def test_what_has_ended_is_recovered_as_it_ended() -> None:
    closed, _ = gateway(*CONFIRMED)
    state, effects = gateway(Recovered(closed.record))
    assert (state.phase, state.decision, effects) == (CoordinatorPhase.CLOSED, COMMIT, [])
    assert gateway(Recovered(None)) == (CoordinatorState("g"), [])


@pytest.mark.parametrize(
    ("before", "known"), [((), ABORT), (BEGUN, None), (CHARGED, None), (CONFIRMED, COMMIT)], ids=str
)
def test_who_asks_for_the_result_gets_what_is_known(before: tuple[Event, ...], known: Decision | None) -> None:
    _, effects = gateway(*before, OutcomeAsked("order"))
    assert effects == [Reply(Outcome("g", known))]


def test_a_fenced_gateway_says_nothing_more() -> None:
    assert gateway(*CHARGED, Fenced(), AckReceived("order"))[1] == []


def test_impossible_events_are_errors() -> None:
    for events in ((AckReceived("order"),), (*BEGUN, VoteReceived("stranger", Vote.YES)), (*CHARGED, AckReceived("x"))):
        with pytest.raises(ProtocolError, match="coordinator"):
            gateway(*events)
    with pytest.raises(ProtocolError, match="another one to take the money"):
        gateway(Started((Participant("payment"),)))


# ---- the participants -----------------------------------------------------------------------------------------------

PAID = (PrepareRequested(), Reserved(Vote.YES), DecisionReceived(COMMIT))
TAKEN = (ChargeRequested(), Collected(Vote.YES))


def test_payment_takes_the_money_at_once_and_for_good() -> None:
    assert participant(ChargeRequested())[1] == [Collect()]
    state, effects = participant(*TAKEN)
    assert state.phase is ParticipantPhase.COMMITTED
    assert effects == [Persist(state.record), Reply(Voted("g", Vote.YES))]
    assert participant(*TAKEN, ChargeRequested())[1] == [Reply(Voted("g", Vote.YES))]


def test_an_uncertain_charge_is_a_plain_no_that_nobody_releases() -> None:
    state, effects = participant(ChargeRequested(), Collected(Vote.NO, "channel_unavailable", uncertain=True))
    assert state.phase is ParticipantPhase.INITIAL
    assert effects == [Reply(Voted("g", Vote.NO, "channel_unavailable"))]


def test_the_order_copies_the_result() -> None:
    state, effects = participant(*PAID)
    assert state.phase is ParticipantPhase.COMMITTED
    assert kinds(effects)[:2] == [Confirm, Persist]
    assert Reply(Acknowledge("g")) in effects


def test_the_order_copies_a_changed_result_over_the_first() -> None:
    state, effects = participant(*PAID, DecisionReceived(ABORT))
    assert state.phase is ParticipantPhase.ABORTED
    assert kinds(effects) == [Revoke, Persist, Reply]


def test_a_success_that_comes_after_a_failure_changes_nothing() -> None:
    failed = (PrepareRequested(), Reserved(Vote.YES), DecisionReceived(ABORT))
    assert Release in kinds(participant(*failed)[1])
    state, effects = participant(*failed, DecisionReceived(COMMIT))
    assert (state.phase, effects) == (ParticipantPhase.ABORTED, [Reply(Acknowledge("g"))])


# ---- both together --------------------------------------------------------------------------------------------------


class Payment:
    """One payment among gateway, order and payment, with messages that somebody may lose."""

    def __init__(self, *, lost: type[Any] | None) -> None:
        self.lost = lost
        self.states = {"order": ParticipantState("g"), "payment": ParticipantState("g")}
        self.answers: list[Decision] = []
        self.gateway = CoordinatorState("g")
        self.told = 0

    def feed(self, event: Event) -> None:
        self.gateway, effects = article.handle(self.gateway, event)
        for effect in effects:
            if isinstance(effect, Reply) and isinstance(effect.message, Answer):
                self.answers.append(effect.message.decision)
            if isinstance(effect, Send):
                self.deliver(effect.to, effect.message)

    def deliver(self, to: str, message: object) -> None:
        events: dict[type[Any], list[Event]] = {
            Prepare: [PrepareRequested(), Reserved(Vote.YES)],
            Charge: [ChargeRequested(), Collected(Vote.YES)],
        }
        arriving = events.get(type(message)) or [DecisionReceived(message.decision)]  # type: ignore[attr-defined]
        for event in arriving:
            self.states[to], effects = article_participant.handle(self.states[to], event)
        reply = next(effect.message for effect in effects if isinstance(effect, Reply))
        if self.lost is type(reply):
            return
        answer = VoteReceived(to, reply.vote) if isinstance(reply, Voted) else AckReceived(to)
        if self.gateway.phase is not CoordinatorPhase.CLOSED:
            self.feed(answer)

    def run(self) -> "Payment":
        self.feed(Started(BOTH))
        self.feed(TimerFired(PATIENCE_TIMER))
        return self


def test_without_a_fault_it_pays() -> None:
    calm = Payment(lost=None).run()
    assert {state.phase for state in calm.states.values()} == {ParticipantPhase.COMMITTED}
    assert calm.answers == [COMMIT]


def test_a_lost_confirmation_leaves_the_customer_charged_and_the_order_unpaid() -> None:
    broken = Payment(lost=Acknowledge).run()
    assert broken.states["payment"].phase is ParticipantPhase.COMMITTED
    assert broken.states["order"].phase is ParticipantPhase.ABORTED
    assert broken.answers == [ABORT]


# ---- crash points ---------------------------------------------------------------------------------------------------


def test_the_crash_points_of_both_protocols_are_known_and_some_are_common() -> None:
    assert set(POINTS_OF) == set(PROTOCOLS)
    assert set(KNOWN_POINTS) == set(CRASH_POINTS) | set(POINTS_OF["article"])
    assert "coordinator.confirming.send.before" in set(POINTS_OF["article"]) - set(CRASH_POINTS)
    assert "coordinator.closed.persist.before" in set(POINTS_OF["article"]) & set(CRASH_POINTS)
