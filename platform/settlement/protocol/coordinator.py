"""The coordinator: asks everyone to prepare, decides once, tells everyone until everyone has acknowledged.

Presumed abort: a transaction without a record was never decided, so whoever asks is told to abort. The begin record is
nevertheless durable before the first prepare, because it carries the lease by which another replica takes over. A
take-over of an undecided transaction aborts it: the votes were only ever in the dead replica's memory.

A decision is a compare-and-set on the record's epoch. Who lost its lease finds the epoch changed, is `Fenced`, and says
nothing more to anybody.

An operator may decide where the protocol has not, or against what it has (`Overruled`): a heuristic decision. It is
recorded before anybody is told, like any other; whether it did damage is for an audit to find out.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from settlement.protocol.effects import PREPARE_TIMER, RETRY_TIMER, CancelTimer, Effect, Persist, Reply, Send, SetTimer
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
from settlement.protocol.messages import Answer, Decide, Prepare
from settlement.protocol.messages import Outcome as OutcomeMessage
from settlement.protocol.records import CoordinatorPhase, Decision, Participant, TransactionRecord, Vote
from settlement.protocol.transitions import Outcome, ProtocolError, Table, Transition, step
from settlement.values import unguarded

ROLE = "coordinator"
OPERATOR = "operator"
"""The reason of a decision that an operator made."""
Phase = CoordinatorPhase
# By name, because it takes the interpreter ten times as long to find a member in its enum: for what every payment does.
_NO, _COMMIT = Vote.NO, Decision.COMMIT
_PREPARING, _DECIDED, _CLOSED = Phase.PREPARING, Phase.DECIDED, Phase.CLOSED


@unguarded
@dataclass(frozen=True, slots=True)
class CoordinatorTiming:
    """How patient a coordinator is. All in milliseconds, `retry_attempts_max` in attempts."""

    prepare_timeout_ms: int = 2_000
    retry_base_ms: int = 100
    retry_max_ms: int = 1_000
    retry_attempts_max: int = 60

    def retry_delay_ms(self, attempt: int) -> int:
        """Exponential backoff: base * 2**attempt, capped. Interpreters may add jitter, never less."""
        return min(self.retry_max_ms, self.retry_base_ms << min(attempt, 20))


@unguarded
@dataclass(frozen=True, slots=True)
class CoordinatorState:
    """One transaction as its coordinator sees it. Votes and acks are volatile; the rest follows the record."""

    gid: str
    phase: CoordinatorPhase = Phase.INITIAL
    timing: CoordinatorTiming = CoordinatorTiming()
    participants: tuple[Participant, ...] = ()
    yes_votes: frozenset[str] = frozenset()
    decision: Decision | None = None
    reason: str = ""
    acked: frozenset[str] = frozenset()
    attempts: int = 0
    epoch: int = 1
    heuristic: bool = False
    overruled: Decision | None = None

    @classmethod
    def of(cls, record: TransactionRecord, timing: CoordinatorTiming) -> CoordinatorState:
        """What a replica knows of a transaction that it only has the record of."""
        return cls(
            record.gid,
            record.phase,
            timing,
            record.participants,
            decision=record.decision,
            reason=record.reason,
            attempts=record.attempts,
            epoch=record.epoch,
            heuristic=record.heuristic,
            overruled=record.overruled,
        )

    def deciding(self, decision: Decision, reason: str) -> CoordinatorState:
        """The state after the decision. Spelled out: `dataclasses.replace` costs three times as much."""
        return CoordinatorState(
            self.gid, _DECIDED, self.timing, self.participants, self.yes_votes, decision, reason, self.acked,
            self.attempts, self.epoch, self.heuristic, self.overruled,
        )  # fmt: skip

    def closing(self, acked: frozenset[str]) -> CoordinatorState:
        """The state after the last acknowledgement."""
        return CoordinatorState(
            self.gid, _CLOSED, self.timing, self.participants, self.yes_votes, self.decision, self.reason, acked,
            self.attempts, self.epoch, self.heuristic, self.overruled,
        )  # fmt: skip

    def counting(self, yes_votes: frozenset[str], acked: frozenset[str]) -> CoordinatorState:
        """The state with other votes and acknowledgements."""
        return CoordinatorState(
            self.gid, self.phase, self.timing, self.participants, yes_votes, self.decision, self.reason, acked,
            self.attempts, self.epoch, self.heuristic, self.overruled,
        )  # fmt: skip

    @property
    def told(self) -> Decision | None:
        """What participants are told: the decision, unless an operator overruled it."""
        return self.decision if self.overruled is None else self.overruled

    @property
    def record(self) -> TransactionRecord:
        """What has to be durable of this state."""
        return TransactionRecord(
            self.gid,
            self.phase,
            self.participants,
            self.epoch,
            self.decision,
            self.reason,
            self.attempts,
            self.heuristic,
            self.overruled,
        )


Step = tuple[CoordinatorState, tuple[Effect, ...]]


def handle(state: CoordinatorState, event: Event) -> Step:
    """Advance one transaction.

    Raises:
        ProtocolError: the event is impossible in this phase, or comes from somebody who takes no part.
    """
    return step(ROLE, TRANSITIONS, state, event)


_STOP_WAITING, _STOP_RETRYING = CancelTimer(PREPARE_TIMER), CancelTimer(RETRY_TIMER)


# ---- rules ----------------------------------------------------------------------------------------------------------


def _start(state: CoordinatorState, event: Started) -> Step:
    if not event.participants or len({p.name for p in event.participants}) != len(event.participants):
        raise ProtocolError(ROLE, state.phase, repr(event), "participants must be distinct and at least one")
    begun = CoordinatorState(state.gid, _PREPARING, state.timing, event.participants, epoch=state.epoch)
    asked_first = [p for p in event.participants if not p.asked_last] or list(event.participants)
    return begun, (
        Persist(begun.record),
        SetTimer(PREPARE_TIMER, state.timing.prepare_timeout_ms),
        *[Send(p.name, Prepare(state.gid)) for p in asked_first],
    )


def _count_vote(state: CoordinatorState, event: VoteReceived) -> Step:
    _require_participant(state, event.participant, event)
    if event.vote is _NO:
        return _decide(state, Decision.ABORT, event.reason or f"{event.participant} voted no")
    before = state.yes_votes
    voted = state.counting(before | {event.participant}, state.acked)
    if len(voted.yes_votes) == len(state.participants):  # names are distinct, and each was checked to be one of them
        return _decide(voted, _COMMIT, "")
    return voted, tuple([Send(p.name, Prepare(state.gid)) for p in _newly_due(before, voted)])


def _newly_due(before: frozenset[str], voted: CoordinatorState) -> list[Participant]:
    """Those asked last, at the vote that completes the others'."""
    last = [p for p in voted.participants if p.asked_last]
    if not last:
        return last
    others = [p.name for p in voted.participants if not p.asked_last]
    complete_now = all(name in voted.yes_votes for name in others)
    complete_before = all(name in before for name in others)
    return last if complete_now and not complete_before else []


def _decide(state: CoordinatorState, decision: Decision, reason: str) -> Step:
    """The decision is durable before anyone, the client included, is told."""
    decided = state.deciding(decision, reason)
    return decided, (
        Persist(decided.record),
        _STOP_WAITING,
        Reply(Answer(state.gid, decision, reason)),
        *_tell(decided),
        SetTimer(RETRY_TIMER, state.timing.retry_delay_ms(0)),
    )


def _tell(state: CoordinatorState) -> tuple[Send, ...]:
    """Everyone who has not acknowledged, also who voted no: a refusal may have left something to release outside."""
    if state.told is None:
        raise ProtocolError(ROLE, state.phase, "telling", "there is no decision to tell")
    message = Decide(state.gid, state.told)
    return tuple([Send(p.name, message) for p in state.participants if p.name not in state.acked])


def _prepare_timed_out(state: CoordinatorState, event: TimerFired) -> Step:
    if event.name != PREPARE_TIMER:
        return state, ()
    return _decide(state, Decision.ABORT, "prepare_timeout")


def _count_ack(state: CoordinatorState, event: AckReceived) -> Step:
    _require_participant(state, event.participant, event)
    acked = state.acked | {event.participant}
    if len(acked) < len(state.participants):
        return state.counting(state.yes_votes, acked), ()
    closed = state.closing(acked)
    return closed, (Persist(closed.record), _STOP_RETRYING)


def _retry(state: CoordinatorState, event: TimerFired) -> Step:
    if event.name != RETRY_TIMER:
        return state, ()
    tried = replace(state, attempts=state.attempts + 1)
    if tried.attempts >= state.timing.retry_attempts_max:
        exhausted = replace(tried, phase=Phase.EXHAUSTED)
        return exhausted, (Persist(exhausted.record),)
    # Persisting the attempt also renews the lease, so that a patient coordinator is not taken for a dead one.
    return tried, (
        Persist(tried.record),
        *_tell(tried),
        SetTimer(RETRY_TIMER, state.timing.retry_delay_ms(tried.attempts)),
    )


def _resume(state: CoordinatorState, _event: Resumed) -> Step:
    resumed = replace(state, phase=Phase.DECIDED, attempts=0)
    return resumed, (
        Persist(resumed.record),
        *_tell(resumed),
        SetTimer(RETRY_TIMER, state.timing.retry_delay_ms(0)),
    )


def _forget(state: CoordinatorState, _event: Forgotten) -> Step:
    closed = replace(state, phase=Phase.CLOSED, heuristic=True)
    return closed, (Persist(closed.record),)


def _decide_instead(state: CoordinatorState, event: Overruled) -> Step:
    """A decision like any other, except for who made it."""
    return _decide(replace(state, heuristic=True), event.decision, OPERATOR)


def _overrule(state: CoordinatorState, event: Overruled) -> Step:
    """Tell everybody again, and something else than was decided if the operator says so."""
    against = event.decision is not state.decision
    overruled = replace(
        state,
        phase=Phase.DECIDED,
        attempts=0,
        heuristic=state.heuristic or against,
        overruled=event.decision if against else None,
    )
    return overruled, (
        Persist(overruled.record),
        *_tell(overruled),
        SetTimer(RETRY_TIMER, state.timing.retry_delay_ms(0)),
    )


def _answer_unknown(state: CoordinatorState, _event: OutcomeAsked) -> Step:
    # Presumed abort: no record means abort, so only commits had to be durable for the asker's sake.
    return state, (Reply(OutcomeMessage(state.gid, Decision.ABORT)),)


def _answer_outcome(state: CoordinatorState, _event: OutcomeAsked) -> Step:
    return state, (Reply(OutcomeMessage(state.gid, state.told)),)


def _fence(state: CoordinatorState, _event: Fenced) -> Step:
    return replace(state, phase=Phase.FENCED), (_STOP_WAITING, _STOP_RETRYING)


def _recover(state: CoordinatorState, event: Recovered) -> Step:
    record = event.record
    if record is None:
        return state, ()
    if not isinstance(record, TransactionRecord):
        raise ProtocolError(ROLE, state.phase, repr(event), "not a coordinator's record")
    found = CoordinatorState.of(record, state.timing)
    if record.phase is Phase.PREPARING:
        return _decide(found, Decision.ABORT, "coordinator_recovered")
    if record.phase is Phase.DECIDED:
        return found, (*_tell(found), SetTimer(RETRY_TIMER, state.timing.retry_delay_ms(0)))
    return found, ()


def _ignore(state: CoordinatorState, _event: Event) -> Step:
    return state, ()


def _require_participant(state: CoordinatorState, name: str, event: Event) -> None:
    for participant in state.participants:  # a generator in `any` would cost more than the comparisons
        if participant.name == name:
            return
    raise ProtocolError(ROLE, state.phase, repr(event), f"{name!r} takes no part in {state.gid}")


# ---- the table ------------------------------------------------------------------------------------------------------

_DECIDES = Outcome(Phase.DECIDED, (Persist, CancelTimer, Reply, Send, SetTimer))
_RETRIES = Outcome(Phase.DECIDED, (Persist, Send, SetTimer))
_FENCE = Transition(_fence, (Outcome(Phase.FENCED, (CancelTimer,)),))


def _stays(phase: Phase, *effects: type[Effect]) -> Outcome:
    return Outcome(phase, effects)


TRANSITIONS: Table[CoordinatorState] = {
    Phase.INITIAL: {
        Started: Transition(_start, (Outcome(Phase.PREPARING, (Persist, SetTimer, Send)),)),
        OutcomeAsked: Transition(_answer_unknown, (_stays(Phase.INITIAL, Reply),)),
        Fenced: _FENCE,
        Recovered: Transition(
            _recover,
            (_stays(Phase.INITIAL), _DECIDES, Outcome(Phase.CLOSED), Outcome(Phase.EXHAUSTED)),
        ),
    },
    Phase.PREPARING: {
        VoteReceived: Transition(_count_vote, (_stays(Phase.PREPARING, Send), _DECIDES)),
        # Somebody else took over and decided; our own next step will find the epoch changed.
        AckReceived: Transition(_ignore, (_stays(Phase.PREPARING),)),
        TimerFired: Transition(_prepare_timed_out, (_stays(Phase.PREPARING), _DECIDES)),
        OutcomeAsked: Transition(_answer_outcome, (_stays(Phase.PREPARING, Reply),)),
        Overruled: Transition(_decide_instead, (_DECIDES,)),
        Fenced: _FENCE,
    },
    Phase.DECIDED: {
        VoteReceived: Transition(_ignore, (_stays(Phase.DECIDED),)),
        AckReceived: Transition(_count_ack, (_stays(Phase.DECIDED), Outcome(Phase.CLOSED, (Persist, CancelTimer)))),
        TimerFired: Transition(_retry, (_RETRIES, Outcome(Phase.EXHAUSTED, (Persist,)))),
        OutcomeAsked: Transition(_answer_outcome, (_stays(Phase.DECIDED, Reply),)),
        Overruled: Transition(_overrule, (_RETRIES,)),
        Forgotten: Transition(_forget, (Outcome(Phase.CLOSED, (Persist,)),)),
        Fenced: _FENCE,
    },
    Phase.CLOSED: {
        VoteReceived: Transition(_ignore, (_stays(Phase.CLOSED),)),
        AckReceived: Transition(_ignore, (_stays(Phase.CLOSED),)),
        TimerFired: Transition(_ignore, (_stays(Phase.CLOSED),)),
        OutcomeAsked: Transition(_answer_outcome, (_stays(Phase.CLOSED, Reply),)),
        Fenced: _FENCE,
    },
    Phase.EXHAUSTED: {
        VoteReceived: Transition(_ignore, (_stays(Phase.EXHAUSTED),)),
        AckReceived: Transition(_count_ack, (_stays(Phase.EXHAUSTED), Outcome(Phase.CLOSED, (Persist, CancelTimer)))),
        TimerFired: Transition(_ignore, (_stays(Phase.EXHAUSTED),)),
        OutcomeAsked: Transition(_answer_outcome, (_stays(Phase.EXHAUSTED, Reply),)),
        Resumed: Transition(_resume, (_RETRIES,)),
        Overruled: Transition(_overrule, (_RETRIES,)),
        Forgotten: Transition(_forget, (Outcome(Phase.CLOSED, (Persist,)),)),
        Fenced: _FENCE,
    },
    Phase.FENCED: {
        event: Transition(_ignore, (_stays(Phase.FENCED),))
        for event in (VoteReceived, AckReceived, TimerFired, OutcomeAsked, Fenced)
    },
}
