"""The gateway's replicas: the shipped `settlement.protocol.coordinator`, run effect by effect on one shared row.

The row is durable; a write to it is a compare-and-set on the epoch. A `Drive` is one replica driving the transaction:
it dies with its process. Any idle replica may claim the row, through the shipped `lease.claim`: freely when nobody
drives it, and as a fault (a pause) while somebody does. Whoever finds another epoch in the row is fenced.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import combinations

from settlement.protocol import coordinator, lease
from settlement.protocol.coordinator import CoordinatorState, CoordinatorTiming
from settlement.protocol.messages import (
    PREPARE_TIMER,
    RETRY_TIMER,
    Acknowledge,
    AckReceived,
    Answer,
    CancelTimer,
    CoordinatorPhase,
    Decision,
    Effect,
    Event,
    Fenced,
    Message,
    Outcome,
    OutcomeAsked,
    Participant,
    Persist,
    Recovered,
    Reply,
    Send,
    SetTimer,
    Started,
    TimerFired,
    TransactionRecord,
    Vote,
    Voted,
    VoteReceived,
)
from settlement.protocol.transitions import ProtocolError
from simulator.explorer.engine import Problem
from simulator.explorer.parts import GID, Bounds
from simulator.explorer.properties import (
    AGREEMENT,
    CLIENT_TRUTH,
    NON_TRIVIALITY,
    POSSIBLE,
    STABILITY,
    VALIDITY,
    problem,
)

UNFINISHED = (CoordinatorPhase.PREPARING, CoordinatorPhase.DECIDED)
GONE = (CoordinatorPhase.CLOSED, CoordinatorPhase.FENCED, CoordinatorPhase.EXHAUSTED)
# Attempts are forgotten below, so that this number is never reached: retrying never ends by itself.
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


def outcome(row: TransactionRecord | None) -> Decision | None:
    """What a participant that asks is told: any replica answers, from the row."""
    state = CoordinatorState(GID)
    if row is not None:
        state = replace(state, phase=row.phase, participants=row.participants, decision=row.decision)
    _, effects = coordinator.handle(state, OutcomeAsked("participant"))
    answers = [each.message for each in effects if isinstance(each, Reply) and isinstance(each.message, Outcome)]
    return answers[0].decision


def take(row: TransactionRecord | None, drive: Drive, event: Event, view: View) -> tuple[Moment, ...]:
    """Handle an event: the moments before the first effect and after each one."""
    try:
        state, effects = coordinator.handle(drive.state, event)
    except ProtocolError as error:
        text = re.sub(r"'p\d+'", "a participant", str(error))  # a problem must not tell alike participants apart
        return (Moment(row, drive, view.told, problems=(problem(POSSIBLE, text),)),)
    moments = [Moment(row, replace(drive, state=_without_history(state), found=None), view.told)]
    for effect in effects:
        after = _run(moments[-1], effect, event, view)
        moments.append(after)
        if after.drive is None:
            return tuple(moments)
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


def _run(moment: Moment, effect: Effect, event: Event, view: View) -> Moment:
    drive = moment.drive
    assert drive is not None  # noqa: S101 - narrows the type; the caller stops at a drive that has ended
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
    row, drive = moment.row, moment.drive
    assert drive is not None  # noqa: S101 - as above
    if row is not None and row.epoch != record.epoch:
        coordinator.handle(drive.state, Fenced())
        return replace(moment, drive=None, notes=(*moment.notes, "is fenced: the epoch has changed"))
    problems = [*moment.problems, *_judged(row, record, event, view, moment.told)]
    notes = moment.notes
    if row is None or row.phase is not record.phase:
        notes = (*notes, f"durable: {record.decision if record.phase is CoordinatorPhase.DECIDED else record.phase}")
    return replace(moment, row=record, problems=tuple(problems), notes=notes)


def _judged(
    row: TransactionRecord | None, record: TransactionRecord, event: Event, view: View, told: Decision | None
) -> Iterator[Problem]:
    """What is wrong with making this record durable."""
    before = row.decision if row is not None else None
    decision = record.decision
    if before is not None and decision is not before:
        yield problem(STABILITY, f"the record said {before}, and now says {decision or 'nothing'}")
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


def _without_history(state: CoordinatorState) -> CoordinatorState:
    """Neither the reason nor the number of attempts decides anything here (see TIMING)."""
    return replace(state, reason="", attempts=0)


# ---- what makes no difference: worked out with the shipped code ------------------------------------------------------


def ignores(drive: Drive, acked: bool, message: Message) -> bool:
    """Whether an answer changes nothing, now or in any state that this drive may still get into."""
    if drive.found is not None or drive.state.phase is not CoordinatorPhase.DECIDED:
        return False
    everybody = drive.state.participants
    own, *others = [each.name for each in everybody]  # to a drive that has decided, all participants are alike
    for count in range(len(others) + 1):
        for some in combinations(others, count):
            acks = frozenset((*some, own) if acked else some)
            if len(acks) == len(everybody):
                continue  # it would be closed
            state = replace(drive.state, acked=acks)
            handled = _handled(state, event_of(own, message))
            if handled is None or handled[1] or _without_history(handled[0]) != state:
                return False
    return True


def can_tell(drive: Drive) -> bool:
    """Whether a drive that has lost its row could still tell anybody anything before it finds out.

    False: whatever happens to it next, each of its steps begins with a write, which will fail.
    """
    state = drive.state
    known = tuple(each.name for each in state.participants)
    events: tuple[Event, ...] = (
        *(VoteReceived(name, vote) for name in known for vote in Vote),
        *map(AckReceived, known),
        *map(TimerFired, (RETRY_TIMER, PREPARE_TIMER)),
    )
    first = (Recovered(drive.found),) if drive.found is not None else events
    waiting = [(state, event) for event in first]
    seen = {state}
    while waiting:
        handled = _handled(*waiting.pop())
        if handled is None:
            return True
        after, effects = handled
        if effects and isinstance(effects[0], Persist):
            continue
        if any(isinstance(effect, Persist | Send | Reply) for effect in effects):
            return True
        if after not in seen:
            seen.add(after)
            waiting += [(after, event) for event in events]
    return False


def forgets_votes(drive: Drive) -> bool:
    """Whether it makes no difference any more who has voted."""
    if drive.state.phase is not CoordinatorPhase.DECIDED:
        return False
    known = tuple(each.name for each in drive.state.participants)
    events: tuple[Event, ...] = (
        *(VoteReceived(name, vote) for name in known for vote in Vote),
        *map(AckReceived, known),
        *map(TimerFired, (RETRY_TIMER, PREPARE_TIMER)),
        Fenced(),
    )
    for acked in (frozenset[str](), frozenset(known[1:])):
        for event in events:
            handled = _handled(replace(drive.state, acked=acked, yes_votes=frozenset(known)), event)
            if handled is None:
                return False
            after = replace(handled[0], yes_votes=frozenset()), handled[1]
            if after != _handled(replace(drive.state, acked=acked), event):
                return False
    return True


def _handled(state: CoordinatorState, event: Event) -> tuple[CoordinatorState, tuple[Effect, ...]] | None:
    """What the shipped code says; None if the event is impossible."""
    try:
        return coordinator.handle(state, event)
    except ProtocolError:
        return None
