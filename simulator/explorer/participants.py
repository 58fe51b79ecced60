"""One participant: a shipped one of `settlement.protocol`, run effect by effect.

Durable are the barrier record and, outside, what a channel holds or has charged. State, timers and a reservation that
is being worked on die in a crash; the restart feeds `Recovered(record)`. The reservation itself takes time: other
messages come in between, and its answer comes in any of the ways that `Reserve` allows.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import StrEnum

from settlement.protocol.effects import (
    ORPHAN_TIMER,
    CancelTimer,
    Collect,
    Confirm,
    Effect,
    Persist,
    Release,
    Reply,
    Reserve,
    Revoke,
    Send,
    SetTimer,
)
from settlement.protocol.events import (
    ChargeRequested,
    Collected,
    DecisionReceived,
    Event,
    PrepareRequested,
    Recovered,
    Reserved,
    TimerFired,
)
from settlement.protocol.messages import Charge, Decide, Outcome, Prepare, Voted
from settlement.protocol.participant import ParticipantState
from settlement.protocol.records import BarrierRecord, Decision, ParticipantPhase, Vote
from settlement.protocol.shipped import Protocol
from settlement.protocol.transitions import ProtocolError
from simulator.explorer.engine import Problem
from simulator.explorer.parts import FREE, GID, LOSS, NOBODY, Bounds, Letter
from simulator.explorer.properties import ONE_CHARGE, POSSIBLE, STABILITY, VALIDITY, problem

FINAL = (ParticipantPhase.COMMITTED, ParticipantPhase.ABORTED)


class Outside(StrEnum):
    """What somebody outside (a channel) has done for this participant."""

    NOTHING = "nothing"
    HELD = "held"
    CHARGED = "charged"
    RELEASED = "released"


@dataclass(frozen=True, slots=True)
class Node:
    """One participant. `owed`: the replica that a reservation in progress will answer; None: there is none in progress.

    `charges`: how often a commit was applied in its own database. `collecting`: what is in progress takes the money.
    `is_local`: what it holds is nowhere but in its own database, and durable with the record or not at all.
    """

    state: ParticipantState
    record: BarrierRecord | None = None
    outside: Outside = Outside.NOTHING
    timers: frozenset[str] = frozenset()
    charges: int = 0
    owed: int | None = None
    collecting: bool = False
    is_local: bool = False

    @property
    def is_quiet(self) -> bool:
        """Whether nothing will happen here by itself."""
        return not self.timers and self.owed is None

    @property
    def in_doubt(self) -> bool:
        """Whether it has promised and does not know the outcome."""
        return self.record is not None and self.record.phase not in FINAL

    @property
    def has_promised(self) -> bool:
        """Whether a yes vote is durable."""
        return self.record is not None and self.record.vote is Vote.YES

    @property
    def ending(self) -> str:
        """How it stands, for people."""
        record = "without a record" if self.record is None else str(self.record.phase)
        return f"ends {record}, while outside its money is {self.outside}"

    @property
    def leaks(self) -> bool:
        """Whether it holds or has charged what was not committed, or has not charged what was."""
        committed = self.record is not None and self.record.phase is ParticipantPhase.COMMITTED
        return (self.outside is not Outside.CHARGED) if committed else self.outside in (Outside.HELD, Outside.CHARGED)


@dataclass(frozen=True, slots=True)
class Stage:
    """A participant between two effects, with all that has left it and all that went wrong so far.

    `refused`: it met a decision that is impossible here. That is for those to judge who know whether an operator
    ordered it.
    """

    node: Node
    letters: tuple[Letter, ...] = ()
    problems: tuple[Problem, ...] = ()
    notes: tuple[str, ...] = ()
    refused: Problem | None = None


def fresh(*, is_local: bool = False) -> Node:
    """A participant that has heard nothing."""
    return Node(ParticipantState(GID, orphan_interval_ms=1), is_local=is_local)


def event_of(letter: Letter) -> Event:
    """What a letter's arrival is to a participant."""
    match letter.message:
        case Prepare():
            return PrepareRequested()
        case Charge():
            return ChargeRequested()
        case Decide(decision=decision) | Outcome(decision=Decision() as decision):
            return DecisionReceived(decision)
    raise TypeError(f"not a letter to a participant: {letter}")


def take(
    protocol: Protocol, node: Node, event: Event, asker: int, released: Outside = Outside.RELEASED
) -> tuple[Stage, ...]:
    """Handle an event: the stages before the first effect and after each one. `asker` gets the replies.

    `released`: what a release leaves outside; `NOTHING` if somebody there forgets that he was told.
    """
    try:
        state, effects = protocol.participant(node.state, event)
    except ProtocolError as error:
        impossible = problem(POSSIBLE, str(error))
        if isinstance(event, DecisionReceived):
            return (Stage(node, refused=impossible),)
        return (Stage(node, problems=(impossible,)),)
    stages = [Stage(replace(node, state=replace(state, reason="")))]
    for effect in effects:
        stages.append(_run(stages[-1], effect, asker, released))
    return tuple(stages)


def restarted(protocol: Protocol, node: Node) -> Node:
    """What is left after a crash and the restart: the shipped recovery from the record."""
    blank = fresh()
    state, effects = protocol.participant(blank.state, Recovered(node.record))
    timers = frozenset(effect.name for effect in effects if isinstance(effect, SetTimer))
    kept = _kept(node.record) if node.is_local else node.outside
    return Node(replace(state, reason=""), node.record, kept, timers, node.charges, is_local=node.is_local)


def _kept(record: BarrierRecord | None) -> Outside:
    """What a crash leaves of what is durable with the record."""
    if record is None:
        return Outside.NOTHING
    kept = {ParticipantPhase.PREPARED: Outside.HELD, ParticipantPhase.COMMITTED: Outside.CHARGED}
    return kept.get(record.phase, Outside.RELEASED)


Answered = tuple[int, str, Node, Reserved | Collected]
"""How a reservation in progress ends: what that costs, what it is called, the participant by then, the event."""


def answers(node: Node, bounds: Bounds) -> Iterator[Answered]:
    """How what is in progress may end."""
    if node.collecting:
        yield from _collected(replace(node, owed=None, collecting=False), bounds)
        return
    for text, ended, event in _reserved(node, bounds):
        if not (node.is_local and event.uncertain):  # no channel is asked
            yield FREE, text, ended, event


def _collected(ended: Node, bounds: Bounds) -> Iterator[Answered]:
    taken = replace(ended, outside=Outside.CHARGED)
    yield FREE, "takes the money", taken, Collected(Vote.YES)
    if bounds.refusals and ended.outside is Outside.NOTHING:
        yield FREE, "refuses", ended, Collected(Vote.NO)
    if bounds.uncertainty:
        yield LOSS, "takes the money, and the channel's answer is lost", taken, Collected(Vote.NO, uncertain=True)


def _reserved(node: Node, bounds: Bounds) -> Iterator[tuple[str, Node, Reserved]]:
    ended = replace(node, owed=None)
    if node.outside is Outside.RELEASED:  # what was released outside is refused there ever after
        yield "finds it released before", ended, Reserved(Vote.NO)
        yield "holds what was asked, all of it its own", ended, Reserved(Vote.YES)
        if bounds.uncertainty:
            yield "cannot tell whether it holds anything", ended, Reserved(Vote.NO, uncertain=True)
        return
    held = ended if ended.outside is Outside.CHARGED else replace(ended, outside=Outside.HELD)
    yield "holds what was asked", held, Reserved(Vote.YES)
    if bounds.refusals and node.outside is Outside.NOTHING:  # what is held outside is found again, never refused
        yield "refuses", ended, Reserved(Vote.NO)
    if bounds.uncertainty:
        # The case in which something is held; where nothing is, there is only less to leak.
        yield "cannot tell whether it holds anything", held, Reserved(Vote.NO, uncertain=True)


def _run(stage: Stage, effect: Effect, asker: int, released: Outside) -> Stage:
    node = stage.node
    match effect:
        case Reserve():
            return replace(stage, node=replace(node, owed=asker))
        case Collect():
            return replace(stage, node=replace(node, owed=asker, collecting=True))
        case Confirm():
            return _noted(stage, replace(node, outside=Outside.CHARGED), "charges what is held")
        case Revoke():
            return _noted(stage, replace(node, outside=Outside.RELEASED), "takes back what it had done")
        case Release():
            holds = node.outside in (Outside.HELD, Outside.CHARGED)
            note = "releases what is held" if holds else "has nothing to release"
            return _noted(stage, replace(node, outside=released), note)
        case Persist(record=BarrierRecord() as record):
            return _persist(stage, replace(record, reason=""))
        case Send(message=message):
            return replace(stage, letters=(*stage.letters, Letter(NOBODY, message)))
        case Reply(message=message):
            return stage if asker == NOBODY else replace(stage, letters=(*stage.letters, _reply(asker, message)))
        case SetTimer(name=name):
            return replace(stage, node=replace(node, timers=node.timers | {name}))
        case CancelTimer(name=name):
            return replace(stage, node=replace(node, timers=node.timers - {name}))
    raise TypeError(f"not an effect of a participant: {effect!r}")


def _reply(asker: int, message: object) -> Letter:
    return Letter(asker, replace(message, reason="") if isinstance(message, Voted) else message)  # type: ignore[arg-type]


def _noted(stage: Stage, node: Node, note: str) -> Stage:
    return replace(stage, node=node, notes=(*stage.notes, note))


def _persist(stage: Stage, record: BarrierRecord) -> Stage:
    node, before = stage.node, stage.node.record
    committed = record.phase is ParticipantPhase.COMMITTED
    after = replace(node, record=record, charges=min(node.charges + committed, 2))
    problems = list(stage.problems)
    if before is not None and before.phase in FINAL and record.phase is not before.phase:
        problems.append(problem(STABILITY, f"what a participant had durably {before.phase} is now {record.phase}"))
    if committed and record.vote is not Vote.YES:
        problems.append(problem(VALIDITY, "a participant commits what it has not promised"))
    if after.charges > 1:
        problems.append(problem(ONE_CHARGE, "a participant applies the commit a second time"))
    vote = "no vote" if record.vote is None else f"vote {record.vote}"
    note = f"durable: {record.phase}" + ("" if committed else f" ({vote})")
    return replace(_noted(stage, after, note), problems=tuple(problems))


def is_over(protocol: Protocol, node: Node) -> bool:
    """Whether no event that may still come changes anything here: worked out with the shipped code, not assumed."""
    if not node.is_quiet or node.record != node.state.record:
        return False
    events: tuple[Event, ...] = (
        PrepareRequested(),
        ChargeRequested(),
        DecisionReceived(Decision.COMMIT),
        DecisionReceived(Decision.ABORT),
        TimerFired(ORPHAN_TIMER),
    )
    return all(changes_nothing(protocol, node, event) is not False for event in events)


def changes_nothing(protocol: Protocol, node: Node, event: Event) -> bool | None:
    """Whether an event changes nothing but perhaps is answered. None: it is impossible here."""
    try:
        state, effects = protocol.participant(node.state, event)
    except ProtocolError:
        return None
    return replace(state, reason="") == node.state and all(isinstance(effect, Reply) for effect in effects)
