"""The gateway's replicas: a shipped coordinator of `settlement.protocol`, run effect by effect on one shared row.

The row is durable; a write to it is a compare-and-set on the epoch. A `Drive` is one replica driving the transaction:
it dies with its process. Any idle replica may claim the row, through the shipped `lease.claim`: freely when nobody
drives it, and as a fault (a pause) while somebody does. Whoever finds another epoch in the row is fenced.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import combinations

from settlement.protocol import lease
from settlement.protocol.coordinator import CoordinatorState, CoordinatorTiming
from settlement.protocol.effects import CancelTimer, Effect, Persist, Reply, Send, SetTimer
from settlement.protocol.events import AckReceived, Event, Fenced, OutcomeAsked, Started, TimerFired, VoteReceived
from settlement.protocol.messages import Acknowledge, Answer, Message, Outcome, Voted
from settlement.protocol.records import CoordinatorPhase, Decision, Participant, TransactionRecord
from settlement.protocol.shipped import Protocol
from settlement.protocol.transitions import ProtocolError
from simulator.explorer.engine import Problem
from simulator.explorer.parts import GID, Bounds
from simulator.explorer.properties import (
    AGREEMENT,
    CLIENT_TRUTH,
    HEURISTIC,
    NON_TRIVIALITY,
    POSSIBLE,
    STABILITY,
    VALIDITY,
    problem,
)

UNFINISHED = (CoordinatorPhase.PREPARING, CoordinatorPhase.DECIDED)
OPEN = (*UNFINISHED, CoordinatorPhase.EXHAUSTED)
GONE = (CoordinatorPhase.CLOSED, CoordinatorPhase.FENCED, CoordinatorPhase.EXHAUSTED)
# Attempts are forgotten below: this number is never reached by itself, a retry is the last one as a fault (`last_try`).
TIMING = CoordinatorTiming(1, 1, 1, 10**9)


@dataclass(frozen=True, slots=True)
class Drive:
    """One replica driving the transaction. `found`: the record that it has claimed and not yet begun to work on."""

    replica: int
    state: CoordinatorState
    timers: frozenset[str] = frozenset()
    found: TransactionRecord | None = None

    @property
    def epoch(self) -> int:
        """The fencing token that its writes carry."""
        return self.state.epoch if self.found is None else self.found.epoch


@dataclass(frozen=True, slots=True)
class View:
    """What decides whether a step of the gateway is right, and is not its own to see.

    `promised`: whose yes vote is durable. `applied`: the outcomes that participants have made durable. `excused`:
    whether a participant has said no, a timer has fired or another replica has taken over. `told`: what the client was
    told.
    """

    promised: tuple[bool, ...]
    applied: frozenset[Decision]
    excused: bool
    told: Decision | None


@dataclass(frozen=True, slots=True)
class Moment:
    """The gateway between two effects of one replica; `drive` is None once that has nothing more to do.

    `sent`: (participant's position, message), in order.
    """

    row: TransactionRecord | None
    drive: Drive | None
    told: Decision | None
    sent: tuple[tuple[int, Message], ...] = ()
    problems: tuple[Problem, ...] = ()
    notes: tuple[str, ...] = ()


def names(bounds: Bounds) -> tuple[str, ...]:
    """The participants as the protocol code knows them."""
    return tuple(f"p{index}" for index in range(bounds.participants))


def beginning(bounds: Bounds) -> Started:
    """A client asks for a transaction."""
    return Started(tuple(Participant(name, bounds.asked_last and name == "p0") for name in names(bounds)))


def first_drive() -> Drive:
    """The replica that the client has asked."""
    return Drive(0, CoordinatorState(GID, timing=TIMING))


def claimed(row: TransactionRecord, replica: int) -> tuple[TransactionRecord, Drive]:
    """The row and the drive of a replica that found the lease lapsed."""
    taken = lease.claim(lease.Lease("", row.epoch, 0), str(replica), 0, 1)
    row = replace(row, epoch=taken.epoch)
    return row, Drive(replica, CoordinatorState(GID, timing=TIMING), found=row)


def event_of(name: str, message: Message) -> Event:
    """What a participant's answer is to the replica that waits for it."""
    if isinstance(message, Voted):
        return VoteReceived(name, message.vote)
    if isinstance(message, Acknowledge):
        return AckReceived(name)
    raise TypeError(f"not an answer to the gateway: {message}")


def last_try(drive: Drive) -> Drive:
    """The drive as it is when the next retry is the last one."""
    return replace(drive, state=replace(drive.state, attempts=TIMING.retry_attempts_max - 1))


def outcome(protocol: Protocol, row: TransactionRecord | None) -> Decision | None:
    """What a participant that asks is told: any replica answers, from the row."""
    state = CoordinatorState(GID) if row is None else CoordinatorState.of(row, TIMING)
    _, effects = protocol.coordinator(state, OutcomeAsked("participant"))
    answers = [each.message for each in effects if isinstance(each, Reply) and isinstance(each.message, Outcome)]
    return answers[0].decision


def take(
    protocol: Protocol, row: TransactionRecord | None, drive: Drive, event: Event, view: View
) -> tuple[Moment, ...]:
    """Handle an event: the moments before the first effect and after each one."""
    try:
        state, effects = protocol.coordinator(drive.state, event)
    except ProtocolError as error:
        text = re.sub(r"'p\d+'", "a participant", str(error))  # a problem must not tell alike participants apart
        return (Moment(row, drive, view.told, problems=(problem(POSSIBLE, text),)),)
    moments = [Moment(row, replace(drive, state=without_history(state), found=None), view.told)]
    for effect in effects:
        if _is_lost(moments[-1].row, effect):
            protocol.coordinator(state, Fenced())
            notes = (*moments[-1].notes, "is fenced: the epoch has changed")
            return (*moments, replace(moments[-1], drive=None, notes=notes))
        moments.append(_run(moments[-1], effect, event, view))
    if state.phase in GONE:
        moments[-1] = replace(moments[-1], drive=None)
    return tuple(moments)


def crashes(moments: tuple[Moment, ...]) -> Iterator[Moment]:
    """What a crash during a step may leave: it ran up to some effect, and any of its messages had left by then."""
    seen = set()
    for moment in moments:
        for count in range(len(moment.sent) + 1):
            for sent in combinations(moment.sent, count):
                left = replace(moment, drive=None, sent=sent)
                if (left.row, left.told, sent) not in seen:
                    seen.add((left.row, left.told, sent))
                    yield left


def _is_lost(row: TransactionRecord | None, effect: Effect) -> bool:
    """Whether this is a write that fails: another replica has the row."""
    return isinstance(effect, Persist) and row is not None and row.epoch != getattr(effect.record, "epoch", None)


def _run(moment: Moment, effect: Effect, event: Event, view: View) -> Moment:
    drive = moment.drive
    assert drive is not None  # noqa: S101 - narrows the type
    match effect:
        case Persist(record=TransactionRecord() as record):
            return _persist(moment, replace(record, reason="", attempts=0), event, view)
        case Send(to=to, message=message):
            position = next(index for index, each in enumerate(drive.state.participants) if each.name == to)
            return replace(moment, sent=(*moment.sent, (position, message)))
        case Reply(message=Answer(decision=decision)):
            return _tell(moment, decision)
        case SetTimer(name=name):
            return replace(moment, drive=replace(drive, timers=drive.timers | {name}))
        case CancelTimer(name=name):
            return replace(moment, drive=replace(drive, timers=drive.timers - {name}))
    raise TypeError(f"not an effect of a coordinator: {effect!r}")


def _persist(moment: Moment, record: TransactionRecord, event: Event, view: View) -> Moment:
    row, notes = moment.row, moment.notes
    problems = (*moment.problems, *_judged(row, record, event, view, moment.told))
    if row is None or row.phase is not record.phase:
        news = row is None or row.decision is not record.decision
        notes = (*notes, f"durable: {record.decision if news and record.decision is not None else record.phase}")
    return replace(moment, row=record, problems=problems, notes=notes)


def _judged(
    row: TransactionRecord | None, record: TransactionRecord, event: Event, view: View, told: Decision | None
) -> Iterator[Problem]:
    """What is wrong with making this record durable."""
    before = row.decision if row is not None else None
    decision = record.decision
    if before is not None and decision is not before:
        yield problem(STABILITY, f"the record said {before}, and now says {decision or 'nothing'}")
    if row is not None and (row.heuristic, row.overruled) != (record.heuristic, record.overruled):
        yield problem(HEURISTIC, "the record has forgotten what an operator decided")
    if decision is None or decision is before:
        return
    if view.applied - {decision}:
        yield problem(AGREEMENT, f"the gateway decides {decision}; a participant has durably done the other")
    if decision is Decision.COMMIT and not all(view.promised):
        yield problem(VALIDITY, f"commit is decided with {sum(view.promised)} of {len(view.promised)} promises")
    if decision is Decision.ABORT and not (view.excused or isinstance(event, TimerFired)):
        yield problem(NON_TRIVIALITY, "abort is decided though nobody refused, and nothing timed out")
    if told not in (None, decision):
        yield problem(CLIENT_TRUTH, f"the client was told {told}, and {decision} is decided")


def _tell(moment: Moment, decision: Decision) -> Moment:
    problems = moment.problems
    decided = moment.row.decision if moment.row is not None else None
    known = {moment.told, decided} - {None, decision}
    if known:
        problems = (*problems, problem(CLIENT_TRUTH, f"the client is told {decision}, not {'/'.join(map(str, known))}"))
    note = f"tells the client: {decision}"
    return replace(moment, told=decision, problems=problems, notes=(*moment.notes, note))


def without_history(state: CoordinatorState) -> CoordinatorState:
    """Neither the reason nor the number of attempts decides anything here (see TIMING)."""
    return replace(state, reason="", attempts=0)
