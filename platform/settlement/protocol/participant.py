"""The participant: promises once, then does what the coordinator decides.

The barrier record makes every disorder harmless: a duplicate prepare or decision is answered from the record; an abort
that comes before its prepare leaves a tombstone (empty rollback); the prepare that comes after it is refused (late
prepare). Between a yes vote and the decision the participant is *in doubt*: it never decides alone, it asks.

`Reserve`, `Confirm` and `Release` are the business work; the `Persist` that follows makes it durable in one local
transaction with the record.
"""

from __future__ import annotations

from dataclasses import dataclass

from settlement.protocol.effects import (
    COORDINATOR,
    ORPHAN_TIMER,
    CancelTimer,
    Confirm,
    Effect,
    Persist,
    Release,
    Reply,
    Reserve,
    Send,
    SetTimer,
)
from settlement.protocol.events import DecisionReceived, Event, PrepareRequested, Recovered, Reserved, TimerFired
from settlement.protocol.messages import Acknowledge, AskOutcome, Voted
from settlement.protocol.records import BarrierRecord, Decision, ParticipantPhase, Vote
from settlement.protocol.transitions import Outcome, ProtocolError, Table, Transition, step
from settlement.values import unguarded

ROLE = "participant"
Phase = ParticipantPhase
# By name, because it takes the interpreter ten times as long to find a member in its enum: for what every payment does.
_YES, _NO, _COMMIT = Vote.YES, Vote.NO, Decision.COMMIT
_RESERVING, _PREPARED, _COMMITTED = Phase.RESERVING, Phase.PREPARED, Phase.COMMITTED


@unguarded
@dataclass(frozen=True, slots=True)
class ParticipantState:
    """One transaction as one participant sees it. `orphan_interval_ms`: how long in doubt before it asks."""

    gid: str
    phase: ParticipantPhase = Phase.INITIAL
    vote: Vote | None = None
    reason: str = ""
    orphan_interval_ms: int = 5_000

    @classmethod
    def of(cls, record: BarrierRecord, orphan_interval_ms: int) -> ParticipantState:
        """What a replica knows of a transaction that it only has the record of."""
        return cls(record.gid, record.phase, record.vote, record.reason, orphan_interval_ms)

    def entering(self, phase: Phase, vote: Vote | None, reason: str) -> ParticipantState:
        """The state in another phase. Spelled out: `dataclasses.replace` costs three times as much."""
        return ParticipantState(self.gid, phase, vote, reason, self.orphan_interval_ms)

    @property
    def record(self) -> BarrierRecord:
        """What has to be durable of this state."""
        return BarrierRecord(self.gid, self.phase, self.vote, self.reason)


Step = tuple[ParticipantState, tuple[Effect, ...]]


def handle(state: ParticipantState, event: Event) -> Step:
    """Advance one transaction.

    Raises:
        ProtocolError: the event is impossible in this phase, such as a commit without a yes vote.
    """
    return step(ROLE, TRANSITIONS, state, event)


_RESERVE, _CONFIRM, _RELEASE, _STOP_ASKING = Reserve(), Confirm(), Release(), CancelTimer(ORPHAN_TIMER)


# ---- rules ----------------------------------------------------------------------------------------------------------


def _reserve(state: ParticipantState, _event: PrepareRequested) -> Step:
    return state.entering(_RESERVING, state.vote, state.reason), (_RESERVE,)


def _vote(state: ParticipantState, event: Reserved) -> Step:
    if event.vote is _YES:
        prepared = state.entering(_PREPARED, _YES, "")
        return prepared, (Persist(prepared.record), SetTimer(ORPHAN_TIMER, state.orphan_interval_ms), _reply(prepared))
    if event.uncertain:
        # No record: the abort that this refusal brings finds nothing here and releases what may be held outside.
        return state.entering(Phase.INITIAL, state.vote, state.reason), (
            Reply(Voted(state.gid, Vote.NO, event.reason)),
        )
    refused = state.entering(Phase.ABORTED, Vote.NO, event.reason)
    return refused, (Persist(refused.record), _reply(refused))


def _reply(state: ParticipantState) -> Reply:
    return Reply(Voted(state.gid, state.vote or _NO, state.reason))


def _vote_again(state: ParticipantState, _event: Event) -> Step:
    return state, (_reply(state),)


def _refuse_late(state: ParticipantState, _event: PrepareRequested) -> Step:
    # An abort that overtook its prepare left a tombstone: reserving now would leak the reservation for ever.
    return state, (Reply(Voted(state.gid, Vote.NO, state.reason or "aborted")),)


def _release_late(state: ParticipantState, event: Reserved) -> Step:
    return state, (_RELEASE, Reply(Voted(state.gid, Vote.NO, state.reason or event.reason or "aborted")))


def _apply(state: ParticipantState, event: DecisionReceived) -> Step:
    if event.decision is _COMMIT:
        committed = state.entering(_COMMITTED, state.vote, state.reason)
        return committed, (_CONFIRM, Persist(committed.record), _STOP_ASKING, _ack(state))
    return _abort(state, event)


def _abort(state: ParticipantState, event: DecisionReceived) -> Step:
    if event.decision is Decision.COMMIT:
        raise ProtocolError(ROLE, state.phase, repr(event), "nothing was promised here")
    aborted = state.entering(Phase.ABORTED, state.vote, state.reason)
    return aborted, (_RELEASE, Persist(aborted.record), _STOP_ASKING, _ack(state))


def _acknowledge_again(state: ParticipantState, event: DecisionReceived) -> Step:
    applied = Decision.COMMIT if state.phase is Phase.COMMITTED else Decision.ABORT
    if event.decision is not applied:
        raise ProtocolError(ROLE, state.phase, repr(event), "a decision is never reversed")
    return state, (_ack(state),)


def _ack(state: ParticipantState) -> Reply:
    return Reply(Acknowledge(state.gid))


def _ask(state: ParticipantState, _event: TimerFired) -> Step:
    return state, (
        Send(COORDINATOR, AskOutcome(state.gid)),
        SetTimer(ORPHAN_TIMER, state.orphan_interval_ms),
    )


def _recover(state: ParticipantState, event: Recovered) -> Step:
    record = event.record
    if record is None:
        return state, ()
    if not isinstance(record, BarrierRecord):
        raise ProtocolError(ROLE, state.phase, repr(event), "not a participant's record")
    found = ParticipantState.of(record, state.orphan_interval_ms)
    if record.phase is Phase.PREPARED:
        return found, (SetTimer(ORPHAN_TIMER, state.orphan_interval_ms),)
    return found, ()


def _ignore(state: ParticipantState, _event: Event) -> Step:
    return state, ()


# ---- the table ------------------------------------------------------------------------------------------------------

_ABORTS = Outcome(Phase.ABORTED, (Release, Persist, CancelTimer, Reply))
_COMMITS = Outcome(Phase.COMMITTED, (Confirm, Persist, CancelTimer, Reply))

TRANSITIONS: Table[ParticipantState] = {
    Phase.INITIAL: {
        PrepareRequested: Transition(_reserve, (Outcome(Phase.RESERVING, (Reserve,)),)),
        DecisionReceived: Transition(_abort, (_ABORTS,)),
        TimerFired: Transition(_ignore, (Outcome(Phase.INITIAL),)),
        Recovered: Transition(
            _recover,
            (
                Outcome(Phase.INITIAL),
                Outcome(Phase.PREPARED, (SetTimer,)),
                Outcome(Phase.COMMITTED),
                Outcome(Phase.ABORTED),
            ),
        ),
    },
    Phase.RESERVING: {
        # A duplicate prepare while the first is being worked on: the first will answer.
        PrepareRequested: Transition(_ignore, (Outcome(Phase.RESERVING),)),
        Reserved: Transition(
            _vote,
            (
                Outcome(Phase.PREPARED, (Persist, SetTimer, Reply)),
                Outcome(Phase.INITIAL, (Reply,)),
                Outcome(Phase.ABORTED, (Persist, Reply)),
            ),
        ),
        DecisionReceived: Transition(_abort, (_ABORTS,)),
        TimerFired: Transition(_ignore, (Outcome(Phase.RESERVING),)),
    },
    Phase.PREPARED: {
        PrepareRequested: Transition(_vote_again, (Outcome(Phase.PREPARED, (Reply,)),)),
        Reserved: Transition(_vote_again, (Outcome(Phase.PREPARED, (Reply,)),)),
        DecisionReceived: Transition(_apply, (_COMMITS, _ABORTS)),
        TimerFired: Transition(_ask, (Outcome(Phase.PREPARED, (Send, SetTimer)),)),
    },
    Phase.COMMITTED: {
        PrepareRequested: Transition(_vote_again, (Outcome(Phase.COMMITTED, (Reply,)),)),
        Reserved: Transition(_vote_again, (Outcome(Phase.COMMITTED, (Reply,)),)),
        DecisionReceived: Transition(_acknowledge_again, (Outcome(Phase.COMMITTED, (Reply,)),)),
        TimerFired: Transition(_ignore, (Outcome(Phase.COMMITTED),)),
    },
    Phase.ABORTED: {
        PrepareRequested: Transition(_refuse_late, (Outcome(Phase.ABORTED, (Reply,)),)),
        Reserved: Transition(_release_late, (Outcome(Phase.ABORTED, (Release, Reply)),)),
        DecisionReceived: Transition(_acknowledge_again, (Outcome(Phase.ABORTED, (Reply,)),)),
        TimerFired: Transition(_ignore, (Outcome(Phase.ABORTED),)),
    },
}
