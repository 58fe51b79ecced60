"""Deliberately wrong versions of the shipped protocol. A lab that does not fail with them judges nothing.

Every patch changes the rules in this process and returns how to undo it. `tests/mutants/<name>/` on PYTHONPATH does the
same to the services' own processes, through the `sitecustomize.py` in it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from settlement.protocol import coordinator, participant
from settlement.protocol.messages import (
    ORPHAN_TIMER,
    AckReceived,
    CancelTimer,
    CoordinatorPhase,
    Decision,
    DecisionReceived,
    ParticipantPhase,
    Persist,
    Recovered,
    Release,
    Reply,
    Reserved,
    TimerFired,
    TransactionRecord,
    Vote,
    Voted,
)
from settlement.protocol.transitions import Outcome, Transition

Undo = Callable[[], None]


def decision_before_durable() -> Undo:
    """Everybody is told first; the decision is written down when the first acknowledgement comes."""
    honest_decide, honest_count = coordinator._decide, coordinator._count_ack

    def decide(state: Any, decision: Decision, reason: str) -> Any:
        decided, effects = honest_decide(state, decision, reason)
        return decided, tuple(effect for effect in effects if not isinstance(effect, Persist))

    def count(state: Any, event: AckReceived) -> Any:
        counted, effects = honest_count(state, event)
        return counted, effects if state.acked else (Persist(state.record), *effects)

    return _all(
        _attribute(coordinator, "_decide", decide),
        _rule(coordinator.TRANSITIONS, CoordinatorPhase.DECIDED, AckReceived, count),
    )


def timeout_is_failure() -> Undo:
    """A channel that did not answer is taken for one that did nothing: a plain no, and nothing is released."""

    def vote(state: Any, event: Reserved) -> Any:
        return participant._vote(state, replace(event, uncertain=False))

    def abort(state: Any, event: DecisionReceived) -> Any:
        aborted, effects = participant._abort(state, event)
        return aborted, tuple(effect for effect in effects if not isinstance(effect, Release))

    def refuse(state: Any, event: Reserved) -> Any:
        return state, (Reply(Voted(state.gid, Vote.NO, state.reason or event.reason or "aborted")),)

    table = participant.TRANSITIONS
    return _all(
        _rule(table, ParticipantPhase.RESERVING, Reserved, vote),
        _rule(table, ParticipantPhase.RESERVING, DecisionReceived, abort),
        _rule(table, ParticipantPhase.INITIAL, DecisionReceived, abort),
        _rule(table, ParticipantPhase.ABORTED, Reserved, refuse),
    )


def presume_commit() -> Undo:
    """Who takes an undecided transaction over commits it, although it has seen no vote."""
    honest = coordinator._recover

    def recover(state: Any, event: Recovered) -> Any:
        record = event.record
        if isinstance(record, TransactionRecord) and record.phase is CoordinatorPhase.PREPARING:
            found = replace(state, participants=record.participants, epoch=record.epoch)
            return coordinator._decide(found, Decision.COMMIT, "")
        return honest(state, event)

    return _rule(coordinator.TRANSITIONS, CoordinatorPhase.INITIAL, Recovered, recover)


def unilateral_abort() -> Undo:
    """A participant that has promised and waited too long gives up on its own instead of asking.

    In the simulated world only: the services look for orphans themselves, and only send what a `Send` says.
    """

    def give_up(state: Any, event: TimerFired) -> Any:
        aborted = replace(state, phase=ParticipantPhase.ABORTED)
        return aborted, (Release(), Persist(aborted.record), CancelTimer(ORPHAN_TIMER))

    given_up = Outcome(ParticipantPhase.ABORTED, (Release, Persist, CancelTimer))
    return _rule(participant.TRANSITIONS, ParticipantPhase.PREPARED, TimerFired, give_up, given_up)


PATCHES: dict[str, Callable[[], Undo]] = {
    patch.__name__: patch for patch in (decision_before_durable, timeout_is_failure, presume_commit, unilateral_abort)
}


@contextmanager
def mutated(name: str) -> Iterator[None]:
    """The protocol with one mistake, and the shipped one again afterwards."""
    undo = PATCHES[name]()
    try:
        yield
    finally:
        undo()


def _attribute(module: Any, name: str, value: Any) -> Undo:
    before = getattr(module, name)
    setattr(module, name, value)
    return lambda: setattr(module, name, before)


def _rule(table: Any, phase: Any, event: type, rule: Callable[[Any, Any], Any], *outcomes: Outcome) -> Undo:
    before = table[phase][event]
    table[phase][event] = Transition(rule, before.outcomes + outcomes)

    def undo() -> None:
        table[phase][event] = before

    return undo


def _all(*undos: Undo) -> Undo:
    def undo() -> None:
        for each in undos:
            each()

    return undo
