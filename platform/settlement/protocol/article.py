"""The gateway's part of a payment exactly as the article words it: three phases, and no decision that lasts.

1. The gateway asks the order service, which checks the order and answers that it is pre-committed.
2. The gateway has the money taken. If it was, the order copies that result (paid) and confirms having done so.
3. No confirmation, or a late one: the payment counts as failed, the order copies that, the client is told.

The last of the participants takes the money; everyone before it pre-commits, copies and confirms.

It is here to be attacked, so its weaknesses are kept. Between taking the money and the confirmation the result is in
the gateway's memory alone: a crash forgets it. Silence is taken for failure, although the money is gone and the order
may be paid already. Nobody ever gives the money back. Nothing is repeated: what was lost on the way stays lost.

What it shares with `coordinator` is what every flow needs here: a begin record, so that an idempotency key has an
answer and a crash has somebody to say how it ended (as failed: no confirmation came), and one record at the end.
"""

from __future__ import annotations

from dataclasses import replace

from settlement.protocol.coordinator import ROLE, CoordinatorState
from settlement.protocol.effects import PATIENCE_TIMER, CancelTimer, Effect, Persist, Reply, Send, SetTimer
from settlement.protocol.events import (
    AckReceived,
    Event,
    Fenced,
    OutcomeAsked,
    Recovered,
    Started,
    TimerFired,
    VoteReceived,
)
from settlement.protocol.messages import Answer, Charge, Decide, Prepare
from settlement.protocol.messages import Outcome as OutcomeMessage
from settlement.protocol.records import CoordinatorPhase, Decision, Participant, TransactionRecord, Vote
from settlement.protocol.transitions import Outcome, ProtocolError, Table, Transition, step

Phase = CoordinatorPhase
Step = tuple[CoordinatorState, tuple[Effect, ...]]

NOT_CONFIRMED = "not_confirmed"
PHASES = frozenset({Phase.INITIAL, Phase.PREPARING, Phase.CHARGING, Phase.CONFIRMING, Phase.CLOSED, Phase.FENCED})


def handle(state: CoordinatorState, event: Event) -> Step:
    """Advance one payment.

    Raises:
        ProtocolError: the event is impossible in this phase, or comes from somebody who takes no part.
    """
    return step(ROLE, TRANSITIONS, state, event)


# ---- rules ----------------------------------------------------------------------------------------------------------


def _start(state: CoordinatorState, event: Started) -> Step:
    names = {participant.name for participant in event.participants}
    if len(names) != len(event.participants) or len(names) < 2:
        raise ProtocolError(ROLE, state.phase, repr(event), "one has to pre-commit, and another one to take the money")
    begun = replace(state, phase=Phase.PREPARING, participants=event.participants)
    return begun, (
        Persist(begun.record),
        _patience(state),
        *(Send(p.name, Prepare(state.gid)) for p in _copiers(begun)),
    )


def _count_vote(state: CoordinatorState, event: VoteReceived) -> Step:
    _require(state, event.participant, event, state.participants)
    if event.vote is Vote.NO:
        return _fail(state, event.reason or f"{event.participant} voted no")
    voted = replace(state, yes_votes=state.yes_votes | {event.participant})
    if any(p.name not in voted.yes_votes for p in _copiers(state)):
        return voted, ()
    return replace(voted, phase=Phase.CHARGING), (_patience(state), Send(_charger(state).name, Charge(state.gid)))


def _charged(state: CoordinatorState, event: VoteReceived) -> Step:
    _require(state, event.participant, event, state.participants)
    if event.participant != _charger(state).name:
        return state, ()  # a pre-commitment, once more
    if event.vote is Vote.NO:
        return _fail(state, event.reason or f"{event.participant} voted no")
    confirming = replace(state, phase=Phase.CONFIRMING, yes_votes=state.yes_votes | {event.participant})
    # Money has moved, and not a word of it is durable here: this is what a crash forgets.
    told = Decide(state.gid, Decision.COMMIT)
    return confirming, (_patience(state), *(Send(p.name, told) for p in _copiers(state)))


def _confirmed(state: CoordinatorState, event: AckReceived) -> Step:
    _require(state, event.participant, event, _copiers(state))
    acked = replace(state, acked=state.acked | {event.participant})
    if any(p.name not in acked.acked for p in _copiers(state)):
        return acked, ()
    closed = replace(acked, phase=Phase.CLOSED, decision=Decision.COMMIT)
    return closed, (Persist(closed.record), CancelTimer(PATIENCE_TIMER), Reply(Answer(state.gid, Decision.COMMIT)))


def _lost_patience(state: CoordinatorState, event: TimerFired) -> Step:
    if event.name != PATIENCE_TIMER:
        return state, ()
    return _fail(state, NOT_CONFIRMED if state.phase is Phase.CONFIRMING else "prepare_timeout")


def _fail(state: CoordinatorState, reason: str) -> Step:
    """Phase three. The order is told; whoever took money is not, for the article has nobody give it back."""
    failed = replace(state, phase=Phase.CLOSED, decision=Decision.ABORT, reason=reason)
    told = Decide(state.gid, Decision.ABORT)
    return failed, (
        Persist(failed.record),
        CancelTimer(PATIENCE_TIMER),
        *(Send(p.name, told) for p in _copiers(state)),
        Reply(Answer(state.gid, Decision.ABORT, reason)),
    )


def _recover(state: CoordinatorState, event: Recovered) -> Step:
    record = event.record
    if record is None:
        return state, ()
    if not isinstance(record, TransactionRecord):
        raise ProtocolError(ROLE, state.phase, repr(event), "not a gateway's record")
    found = replace(
        state,
        phase=record.phase,
        participants=record.participants,
        epoch=record.epoch,
        decision=record.decision,
        reason=record.reason,
    )
    if record.phase is Phase.PREPARING:
        return _fail(found, NOT_CONFIRMED)
    return found, ()


def _answer_unknown(state: CoordinatorState, _event: OutcomeAsked) -> Step:
    return state, (Reply(OutcomeMessage(state.gid, Decision.ABORT)),)


def _answer_result(state: CoordinatorState, _event: OutcomeAsked) -> Step:
    return state, (Reply(OutcomeMessage(state.gid, state.decision)),)


def _fence(state: CoordinatorState, _event: Fenced) -> Step:
    return replace(state, phase=Phase.FENCED), (CancelTimer(PATIENCE_TIMER),)


def _ignore(state: CoordinatorState, _event: Event) -> Step:
    return state, ()


def _patience(state: CoordinatorState) -> SetTimer:
    return SetTimer(PATIENCE_TIMER, state.timing.prepare_timeout_ms)


def _copiers(state: CoordinatorState) -> tuple[Participant, ...]:
    return state.participants[:-1]


def _charger(state: CoordinatorState) -> Participant:
    return state.participants[-1]


def _require(state: CoordinatorState, name: str, event: Event, among: tuple[Participant, ...]) -> None:
    if all(participant.name != name for participant in among):
        raise ProtocolError(ROLE, state.phase, repr(event), f"{name!r} has no say in this about {state.gid}")


# ---- the table ------------------------------------------------------------------------------------------------------

_FAILED = Outcome(Phase.CLOSED, (Persist, CancelTimer, Send, Reply))
_FENCE = Transition(_fence, (Outcome(Phase.FENCED, (CancelTimer,)),))


def _stays(phase: Phase, *effects: type[Effect]) -> Outcome:
    return Outcome(phase, effects)


def _asked(phase: Phase) -> Transition[CoordinatorState]:
    return Transition(_answer_result, (_stays(phase, Reply),))


TRANSITIONS: Table[CoordinatorState] = {
    Phase.INITIAL: {
        Started: Transition(_start, (Outcome(Phase.PREPARING, (Persist, SetTimer, Send)),)),
        OutcomeAsked: Transition(_answer_unknown, (_stays(Phase.INITIAL, Reply),)),
        Fenced: _FENCE,
        Recovered: Transition(_recover, (_stays(Phase.INITIAL), _FAILED)),
    },
    Phase.PREPARING: {
        VoteReceived: Transition(
            _count_vote, (_stays(Phase.PREPARING), Outcome(Phase.CHARGING, (SetTimer, Send)), _FAILED)
        ),
        AckReceived: Transition(_ignore, (_stays(Phase.PREPARING),)),
        TimerFired: Transition(_lost_patience, (_stays(Phase.PREPARING), _FAILED)),
        OutcomeAsked: _asked(Phase.PREPARING),
        Fenced: _FENCE,
    },
    Phase.CHARGING: {
        VoteReceived: Transition(
            _charged, (_stays(Phase.CHARGING), Outcome(Phase.CONFIRMING, (SetTimer, Send)), _FAILED)
        ),
        AckReceived: Transition(_ignore, (_stays(Phase.CHARGING),)),
        TimerFired: Transition(_lost_patience, (_stays(Phase.CHARGING), _FAILED)),
        OutcomeAsked: _asked(Phase.CHARGING),
        Fenced: _FENCE,
    },
    Phase.CONFIRMING: {
        VoteReceived: Transition(_ignore, (_stays(Phase.CONFIRMING),)),
        AckReceived: Transition(
            _confirmed, (_stays(Phase.CONFIRMING), Outcome(Phase.CLOSED, (Persist, CancelTimer, Reply)))
        ),
        TimerFired: Transition(_lost_patience, (_stays(Phase.CONFIRMING), _FAILED)),
        OutcomeAsked: _asked(Phase.CONFIRMING),
        Fenced: _FENCE,
    },
    Phase.CLOSED: {
        # A confirmation that comes now is late, and late is never.
        VoteReceived: Transition(_ignore, (_stays(Phase.CLOSED),)),
        AckReceived: Transition(_ignore, (_stays(Phase.CLOSED),)),
        TimerFired: Transition(_ignore, (_stays(Phase.CLOSED),)),
        OutcomeAsked: _asked(Phase.CLOSED),
        Fenced: _FENCE,
    },
    Phase.FENCED: {
        event: Transition(_ignore, (_stays(Phase.FENCED),))
        for event in (VoteReceived, AckReceived, TimerFired, OutcomeAsked, Fenced)
    },
}
