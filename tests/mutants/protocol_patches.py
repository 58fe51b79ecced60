"""Bugs of the commit protocol: patches of `settlement.protocol`, which services, simulator and explorer all execute."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

from settlement.protocol import coordinator, lease, participant
from settlement.protocol.effects import ORPHAN_TIMER, CancelTimer, Confirm, Persist, Release, Reply, Reserve, SetTimer
from settlement.protocol.events import (
    AckReceived,
    DecisionReceived,
    PrepareRequested,
    Recovered,
    Reserved,
    TimerFired,
    VoteReceived,
)
from settlement.protocol.messages import Voted
from settlement.protocol.records import CoordinatorPhase, Decision, ParticipantPhase, TransactionRecord, Vote
from settlement.protocol.transitions import Outcome

from .patching import Mutant, Undo, attribute, everywhere, mutant, no_rule, rule, together

MUTANTS: dict[str, Mutant] = {}
EVERYBODY = ("explorer", "checks", "fuzz", "matrix")
AND_SERVICES = (*EVERYBODY, "services")
_protocol = partial(mutant, into=MUTANTS)

DECIDED, PREPARING = CoordinatorPhase.DECIDED, CoordinatorPhase.PREPARING
COORDINATOR, PARTICIPANT = coordinator.TRANSITIONS, participant.TRANSITIONS


# ---- when the decision becomes durable ------------------------------------------------------------------------------


@_protocol("protocol.coordinator._decide", AND_SERVICES)
def decision_before_durable() -> Undo:
    """Everybody is told first; the decision is written down when the first acknowledgement comes."""
    honest_decide, honest_count = coordinator._decide, coordinator._count_ack

    def decide(state: Any, decision: Decision, reason: str) -> Any:
        decided, effects = honest_decide(state, decision, reason)
        return decided, tuple(effect for effect in effects if not isinstance(effect, Persist))

    def count(state: Any, event: AckReceived) -> Any:
        counted, effects = honest_count(state, event)
        return counted, effects if state.acked else (Persist(state.record), *effects)

    return together(attribute(coordinator, "_decide", decide), rule(COORDINATOR, DECIDED, AckReceived, count))


@_protocol("protocol.coordinator._decide", ("explorer", "fuzz"))
def decision_written_last() -> Undo:
    """The decision is written in the same step as it is sent, but after it was sent."""
    honest = coordinator._decide

    def decide(state: Any, decision: Decision, reason: str) -> Any:
        decided, effects = honest(state, decision, reason)
        return decided, tuple(sorted(effects, key=lambda effect: isinstance(effect, Persist)))

    return attribute(coordinator, "_decide", decide)


# ---- what a restart or a take-over makes of the record --------------------------------------------------------------


@_protocol("protocol.coordinator._recover", ("explorer", "fuzz", "matrix"))
def presume_commit() -> Undo:
    """Who takes an undecided transaction over commits it, although it has seen no vote."""
    honest = coordinator._recover

    def recover(state: Any, event: Recovered) -> Any:
        record = event.record
        if isinstance(record, TransactionRecord) and record.phase is PREPARING:
            found = replace(state, participants=record.participants, epoch=record.epoch)
            return coordinator._decide(found, Decision.COMMIT, "")
        return honest(state, event)

    return rule(COORDINATOR, CoordinatorPhase.INITIAL, Recovered, recover)


@_protocol("protocol.coordinator._recover", AND_SERVICES)
def coordinator_forgets() -> Undo:
    """A restarted coordinator forgets what it had decided, and aborts what it finds open."""
    honest = coordinator._recover

    def recover(state: Any, event: Recovered) -> Any:
        record = event.record
        if isinstance(record, TransactionRecord) and record.phase is DECIDED:
            forgotten = replace(record, phase=PREPARING, decision=None)
            return honest(state, Recovered(forgotten))
        return honest(state, event)

    return rule(COORDINATOR, CoordinatorPhase.INITIAL, Recovered, recover)


@_protocol("protocol.lease.claim", ("explorer", "checks", "fuzz"))
def no_fencing() -> Undo:
    """Who takes over does not raise the epoch, so the one that was taken for dead may write as well."""
    shipped = lease.claim

    def claim(held: lease.Lease, owner: str, now_ms: int, duration_ms: int) -> lease.Lease:
        return replace(shipped(held, owner, now_ms, duration_ms), epoch=held.epoch)

    return everywhere(shipped, claim)


# ---- how the coordinator counts -------------------------------------------------------------------------------------


@_protocol("protocol.coordinator._count_vote", EVERYBODY)
def impatient_coordinator() -> Undo:
    """Anything but unanimity at the first vote is an abort."""

    def count(state: Any, event: VoteReceived) -> Any:
        decided, effects = coordinator._count_vote(state, event)
        if decided.phase is PREPARING:
            return coordinator._decide(state, Decision.ABORT, "")
        return decided, effects

    return rule(COORDINATOR, PREPARING, VoteReceived, count)


@_protocol("protocol.coordinator._count_vote", EVERYBODY)
def deaf_coordinator() -> Undo:
    """Votes are heard and never counted: nothing can ever be committed."""
    return rule(COORDINATOR, PREPARING, VoteReceived, _ignore)


@_protocol("protocol.coordinator.TRANSITIONS", ("explorer", "fuzz"))
def no_entry() -> Undo:
    """Nobody thought of a vote that comes after the decision."""
    return no_rule(COORDINATOR, DECIDED, VoteReceived)


@_protocol("protocol.coordinator._retry", AND_SERVICES)
def reversed_by_retry() -> Undo:
    """A commit that nobody acknowledges in time is taken back."""

    def retry(state: Any, event: TimerFired) -> Any:
        return coordinator._retry(replace(state, decision=Decision.ABORT), event)

    return rule(COORDINATOR, DECIDED, TimerFired, retry)


@_protocol("protocol.coordinator._decide, protocol.participant._ask", EVERYBODY)
def tells_once() -> Undo:
    """The decision is sent once, and never again when nobody acknowledges it; nobody asks for it either."""
    honest = coordinator._decide

    def decide(state: Any, decision: Decision, reason: str) -> Any:
        decided, effects = honest(state, decision, reason)
        return decided, tuple(effect for effect in effects if not isinstance(effect, SetTimer))

    return together(
        attribute(coordinator, "_decide", decide),
        rule(PARTICIPANT, ParticipantPhase.PREPARED, TimerFired, _ignore),
    )


@_protocol("protocol.coordinator._retry, protocol.participant._ask", EVERYBODY)
def asks_nobody() -> Undo:
    """A participant in doubt waits for ever, and the coordinator takes its silence for an acknowledgement."""

    def give_up(state: Any, event: TimerFired) -> Any:
        closed = replace(state, phase=CoordinatorPhase.CLOSED)
        return closed, (Persist(closed.record),)

    def wait(state: Any, event: TimerFired) -> Any:
        return state, (SetTimer(ORPHAN_TIMER, state.orphan_interval_ms),)

    return together(
        rule(COORDINATOR, DECIDED, TimerFired, give_up, Outcome(CoordinatorPhase.CLOSED)),
        rule(PARTICIPANT, ParticipantPhase.PREPARED, TimerFired, wait),
    )


@_protocol("protocol.coordinator._count_ack, protocol.participant._ask", EVERYBODY)
def early_acknowledgement() -> Undo:
    """One participant's acknowledgement is taken for everybody's, and nobody asks."""

    def count(state: Any, event: AckReceived) -> Any:
        closed = replace(state, phase=CoordinatorPhase.CLOSED)
        return closed, (Persist(closed.record),)

    return together(
        rule(COORDINATOR, DECIDED, AckReceived, count),
        rule(PARTICIPANT, ParticipantPhase.PREPARED, TimerFired, _ignore),
    )


# ---- what a participant promises, and does --------------------------------------------------------------------------


@_protocol("protocol.participant._vote", EVERYBODY)
def vote_not_durable() -> Undo:
    """A yes is sent and only remembered."""

    def vote(state: Any, event: Reserved) -> Any:
        voted, effects = participant._vote(state, event)
        return voted, tuple(effect for effect in effects if event.vote is Vote.NO or not isinstance(effect, Persist))

    return rule(PARTICIPANT, ParticipantPhase.RESERVING, Reserved, vote)


@_protocol("protocol.participant._ask", ("explorer", "fuzz", "matrix"))
def unilateral_abort() -> Undo:
    """A participant that has promised and waited too long gives up on its own instead of asking."""

    def give_up(state: Any, event: TimerFired) -> Any:
        aborted = replace(state, phase=ParticipantPhase.ABORTED)
        return aborted, (Release(), Persist(aborted.record), CancelTimer(ORPHAN_TIMER))

    given_up = Outcome(ParticipantPhase.ABORTED, (Release, Persist, CancelTimer))
    return rule(PARTICIPANT, ParticipantPhase.PREPARED, TimerFired, give_up, given_up)


@_protocol("protocol.participant._vote, _abort, _release_late", EVERYBODY)
def timeout_is_failure() -> Undo:
    """A channel that did not answer is taken for one that did nothing: a plain no, and nothing is released."""

    def vote(state: Any, event: Reserved) -> Any:
        return participant._vote(state, replace(event, uncertain=False))

    def abort(state: Any, event: DecisionReceived) -> Any:
        aborted, effects = participant._abort(state, event)
        return aborted, tuple(effect for effect in effects if not isinstance(effect, Release))

    def refuse(state: Any, event: Reserved) -> Any:
        return state, (Reply(Voted(state.gid, Vote.NO, state.reason or event.reason or "aborted")),)

    return together(
        rule(PARTICIPANT, ParticipantPhase.RESERVING, Reserved, vote),
        rule(PARTICIPANT, ParticipantPhase.RESERVING, DecisionReceived, abort),
        rule(PARTICIPANT, ParticipantPhase.INITIAL, DecisionReceived, abort),
        rule(PARTICIPANT, ParticipantPhase.ABORTED, Reserved, refuse),
    )


@_protocol("protocol.participant._refuse_late", ("explorer",))
def late_prepare() -> Undo:
    """The barrier lets a prepare through that comes after its abort: what it holds, nobody ever asked for."""

    def reserve(state: Any, event: PrepareRequested) -> Any:
        return replace(state, phase=ParticipantPhase.RESERVING), (Reserve(),)

    return rule(
        PARTICIPANT,
        ParticipantPhase.ABORTED,
        PrepareRequested,
        reserve,
        Outcome(ParticipantPhase.RESERVING, (Reserve,)),
    )


@_protocol("protocol.participant._abort", EVERYBODY)
def empty_rollback() -> Undo:
    """An abort for which the barrier has no record is acknowledged and nothing is done about it."""

    def acknowledge(state: Any, event: DecisionReceived) -> Any:
        participant._abort(state, event)  # a commit is as impossible as before
        return state, (participant._ack(state),)

    table = (PARTICIPANT, ParticipantPhase.INITIAL, DecisionReceived)
    return rule(*table, acknowledge, Outcome(ParticipantPhase.INITIAL, (Reply,)))


@_protocol("protocol.participant._acknowledge_again", ("explorer", "fuzz"))
def charges_twice() -> Undo:
    """A commit that arrives again is applied again."""

    def again(state: Any, event: DecisionReceived) -> Any:
        _, effects = participant._acknowledge_again(state, event)
        return state, (Confirm(), Persist(state.record), *effects)

    return rule(PARTICIPANT, ParticipantPhase.COMMITTED, DecisionReceived, again)


@_protocol("protocol.participant._apply, _abort", ("explorer",))
def acknowledged_before_applied() -> Undo:
    """A decision is acknowledged before it is applied and durable."""

    def first(honest: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
        def broken(state: Any, event: DecisionReceived) -> Any:
            after, effects = honest(state, event)
            return after, tuple(sorted(effects, key=lambda effect: not isinstance(effect, Reply)))

        return broken

    phases = (ParticipantPhase.INITIAL, ParticipantPhase.RESERVING, ParticipantPhase.PREPARED)
    return together(
        *(
            rule(PARTICIPANT, phase, DecisionReceived, first(PARTICIPANT[phase][DecisionReceived].rule))
            for phase in phases
        )
    )


def _ignore(state: Any, _event: Any) -> Any:
    return state, ()
