"""Broken protocols for properties that the other suites' mutants do not touch; each a small patch of a shipped rule."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from settlement.protocol import coordinator, lease, participant
from settlement.protocol.messages import (
    AckReceived,
    Confirm,
    CoordinatorPhase,
    Decision,
    DecisionReceived,
    ParticipantPhase,
    Persist,
    Reserved,
    SetTimer,
    TimerFired,
    Vote,
    VoteReceived,
)
from settlement.protocol.transitions import Transition

Patch = Callable[[pytest.MonkeyPatch], None]


def no_fencing(patch: pytest.MonkeyPatch) -> None:
    """Who takes over does not raise the epoch, so the one that was taken for dead may write as well."""
    shipped = lease.claim

    def claim(held: lease.Lease, owner: str, now_ms: int, duration_ms: int) -> lease.Lease:
        return replace(shipped(held, owner, now_ms, duration_ms), epoch=held.epoch)

    patch.setattr(lease, "claim", claim)


def impatient_coordinator(patch: pytest.MonkeyPatch) -> None:
    """Anything but unanimity at the first vote is an abort."""

    def count(state: Any, event: VoteReceived) -> Any:
        decided, effects = coordinator._count_vote(state, event)
        if decided.phase is CoordinatorPhase.PREPARING:
            return coordinator._decide(state, Decision.ABORT, "")
        return decided, effects

    _rule(patch, coordinator, CoordinatorPhase.PREPARING, VoteReceived, count)


def deaf_coordinator(patch: pytest.MonkeyPatch) -> None:
    """Votes are heard and never counted: nothing can ever be committed."""
    _rule(patch, coordinator, CoordinatorPhase.PREPARING, VoteReceived, lambda state, _event: (state, ()))


def charges_twice(patch: pytest.MonkeyPatch) -> None:
    """A commit that arrives again is applied again."""

    def again(state: Any, event: DecisionReceived) -> Any:
        _, effects = participant._acknowledge_again(state, event)
        return state, (Confirm(), Persist(state.record), *effects)

    _rule(patch, participant, ParticipantPhase.COMMITTED, DecisionReceived, again)


def tells_once(patch: pytest.MonkeyPatch) -> None:
    """The decision is sent once, and never again when nobody acknowledges it."""
    shipped = coordinator._decide

    def decide(state: Any, decision: Decision, reason: str) -> Any:
        decided, effects = shipped(state, decision, reason)
        return decided, tuple(effect for effect in effects if not isinstance(effect, SetTimer))

    patch.setattr(coordinator, "_decide", decide)
    _rule(patch, participant, ParticipantPhase.PREPARED, TimerFired, lambda state, _event: (state, ()))


def asks_nobody(patch: pytest.MonkeyPatch) -> None:
    """A participant in doubt waits for ever, and the coordinator takes its silence for an acknowledgement."""

    def give_up(state: Any, event: TimerFired) -> Any:
        closed = replace(state, phase=CoordinatorPhase.CLOSED)
        return closed, (Persist(closed.record),)

    _rule(patch, coordinator, CoordinatorPhase.DECIDED, TimerFired, give_up, CoordinatorPhase.CLOSED)
    _rule(patch, participant, ParticipantPhase.PREPARED, TimerFired, _again(SetTimer("orphan", 1)))


def vote_not_durable(patch: pytest.MonkeyPatch) -> None:
    """A yes is sent and only remembered."""

    def vote(state: Any, event: Reserved) -> Any:
        voted, effects = participant._vote(state, event)
        return voted, tuple(effect for effect in effects if event.vote is Vote.NO or not isinstance(effect, Persist))

    _rule(patch, participant, ParticipantPhase.RESERVING, Reserved, vote)


def no_entry(patch: pytest.MonkeyPatch) -> None:
    """Nobody thought of a vote that comes after the decision."""
    table = {phase: dict(entries) for phase, entries in coordinator.TRANSITIONS.items()}
    del table[CoordinatorPhase.DECIDED][VoteReceived]
    patch.setattr(coordinator, "TRANSITIONS", table)


def reversed_by_retry(patch: pytest.MonkeyPatch) -> None:
    """A commit that nobody acknowledges in time is taken back."""

    def retry(state: Any, event: TimerFired) -> Any:
        retried, effects = coordinator._retry(replace(state, decision=Decision.ABORT), event)
        return retried, effects

    _rule(patch, coordinator, CoordinatorPhase.DECIDED, TimerFired, retry)


def early_acknowledgement(patch: pytest.MonkeyPatch) -> None:
    """One acknowledgement is taken for all."""

    def count(state: Any, event: AckReceived) -> Any:
        closed = replace(state, phase=CoordinatorPhase.CLOSED)
        return closed, (Persist(closed.record),)

    _rule(patch, coordinator, CoordinatorPhase.DECIDED, AckReceived, count)
    _rule(patch, participant, ParticipantPhase.PREPARED, TimerFired, lambda state, _event: (state, ()))


def _again(*effects: Any) -> Callable[[Any, Any], Any]:
    return lambda state, _event: (state, effects)


def _rule(patch: pytest.MonkeyPatch, role: Any, phase: Any, event: type, rule: Any, *phases: Any) -> None:
    """Replace one rule of a role's table, and declare the phases that it may now enter."""
    table = {each: dict(entries) for each, entries in role.TRANSITIONS.items()}
    shipped = table[phase][event]
    outcomes = tuple(type(shipped.outcomes[0])(each) for each in (phase, *phases))
    table[phase][event] = Transition(rule, (*shipped.outcomes, *outcomes))
    patch.setattr(role, "TRANSITIONS", table)
