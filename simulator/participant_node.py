"""The participant's interpreter, its barrier table, and what it wants from the business behind it."""

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from functools import partial
from typing import Any, Protocol

from settlement.protocol import participant
from settlement.protocol.crashpoints import AFTER, BEFORE
from settlement.protocol.effects import (
    COORDINATOR,
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
from settlement.protocol.messages import AskOutcome, Message
from settlement.protocol.records import BarrierRecord, Decision, ParticipantPhase, Vote
from settlement.protocol.shipped import Protocol as CommitProtocol
from simulator.database import DatabaseUnavailable
from simulator.faults import CrashPoints
from simulator.kernel import Future, Steps
from simulator.node import Node, Payload
from simulator.replica import Replica


class Action(StrEnum):
    """What a participant's business is asked to do with its resources; the last two are the article's."""

    RESERVE = "reserve"
    CONFIRM = "confirm"
    RELEASE = "release"
    COLLECT = "collect"
    REVOKE = "revoke"


# By name, because it takes the interpreter five times as long to find a member in its enum.
RESERVE, CONFIRM, RELEASE, COLLECT, REVOKE = Action
_YES, _NO = Vote.YES, Vote.NO
_INITIAL, _RESERVING, _PREPARED = ParticipantPhase.INITIAL, ParticipantPhase.RESERVING, ParticipantPhase.PREPARED

_APPLIED_BY: dict[type[Effect], Action] = {Confirm: CONFIRM, Release: RELEASE, Revoke: REVOKE}

# Events that are always the same.
_PREPARE_REQUESTED, _CHARGE_REQUESTED = PrepareRequested(), ChargeRequested()
_DECISION_RECEIVED = {decision: DecisionReceived(decision) for decision in Decision}
_RESERVED, _COLLECTED = Reserved(_YES), Collected(_YES)
# Tuples, because `A | B` would make a union anew at every question.
_ASKED_FOR, _LATE = (Reserve, Collect), (Release, Confirm)


class Unresolved(Exception):
    """The outside half could not be completed for now; nothing changed."""


class Refused(Exception):
    """The business says no to a prepare; the reason is a short code."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


Replying = tuple[Message, Callable[[], None] | None]
"""An answer that is ready, and what is to be called when it has left the process (a crash point, if watched)."""

Change = Callable[[], None]
"""The local half of a business act: applied at the instant of the commit, or never."""


class Business(Protocol):
    """A participant's knowledge of its own resources."""

    def reach_out(self, action: Action, gid: str, kind: str, payload: Payload) -> Steps[Any] | None:
        """The outside half: idempotent, may take its time; None: there is none.

        Raises Unresolved; Refused for a reserve.
        """
        ...

    def change(self, action: Action, gid: str, kind: str, payload: Payload, outside: Any) -> Change:
        """The local half, checked now and applied at the commit. Raises Refused for a reserve."""
        ...


@dataclass(slots=True)
class Barrier:
    """A durable row of a participant. Times in seconds, None while it has not happened."""

    record: BarrierRecord
    kind: str
    payload: Payload
    voted_s: float | None = None
    outcome_s: float | None = None
    inquiries: int = 0
    asked_s: float | None = None


@dataclass
class BarrierStore:
    """The barrier table of one participant, shared by its replicas."""

    rows: dict[str, Barrier] = field(default_factory=dict)

    def asked(self, gid: str, now_s: float) -> None:
        """Note that the coordinator had to be asked."""
        row = self.rows[gid]
        row.inquiries += 1
        row.asked_s = now_s if row.asked_s is None else row.asked_s

    def save(self, record: BarrierRecord, kind: str, payload: Payload, now_s: float) -> None:
        """Write the record; remembers when the vote and the outcome became durable."""
        row = self.rows.get(record.gid)
        if row is None:
            row = self.rows[record.gid] = Barrier(record, kind, payload)
        row.record = record
        if record.vote is not None and row.voted_s is None:
            row.voted_s = now_s
        if record.phase is not _PREPARED and row.outcome_s is None:
            row.outcome_s = now_s


class ParticipantNode(Node):
    """Answers prepares, decisions and the article's charges of one participant replica."""

    def __init__(
        self,
        replica: Replica,
        crash_points: CrashPoints,
        commit_s: float,
        store: BarrierStore,
        business: Business,
        orphan_interval_ms: int,
        protocol: CommitProtocol,
    ) -> None:
        super().__init__(replica, crash_points, commit_s)
        self._store, self._business = store, business
        self._handle = protocol.participant
        self._orphan_interval_ms = orphan_interval_ms
        self.ask_coordinator: Callable[[str], Steps[Decision | None]] = _nobody_to_ask
        self._reserving: dict[str, Future] = {}

    def recover(self) -> None:
        """After a start: set the timers of everything in doubt."""
        for gid, row in self._store.rows.items():
            if row.record.phase is _PREPARED:
                self._crash_points.sighted("participant_recoveries")
                state, effects = participant.handle(self._blank(gid), Recovered(row.record))
                self.process.spawn(self._run(state, effects, row.kind, row.payload, None))

    def prepare(self, gid: str, kind: str, payload: Payload) -> Steps[Replying]:
        """Answer a prepare with a vote."""
        return self._asked(gid, kind, payload, _PREPARE_REQUESTED)

    def charge(self, gid: str, kind: str, payload: Payload) -> Steps[Replying]:
        """Take the money at once, and answer like a prepare: the article's second phase."""
        return self._asked(gid, kind, payload, _CHARGE_REQUESTED)

    def _asked(self, gid: str, kind: str, payload: Payload, asked: Event) -> Steps[Replying]:
        if gid in self._reserving:
            answered: Replying = yield self._reserving[gid]
            return answered
        state, effects = self._handle(self._load(gid), asked)
        if not isinstance(effects[0], _ASKED_FOR):
            return (yield from self._run(state, effects, kind, payload, None))
        answer = self._reserving[gid] = Future()
        event, change = yield from self._reserve(state, effects[0], kind, payload)
        # Feed it on the state as it is now: an abort may have overtaken.
        state, effects = self._handle(state if gid not in self._store.rows else self._load(gid), event)
        del self._reserving[gid]
        try:
            replying = yield from self._run(state, effects, kind, payload, change)
        except (Unresolved, DatabaseUnavailable) as failure:
            answer.settle(error=failure)
            raise
        answer.settle(replying)
        return replying

    def decide(self, gid: str, kind: str, payload: Payload, decision: Decision) -> Steps[Replying]:
        """Apply a decision. Raises Unresolved (nothing changed, ask again) and ProtocolError (impossible decision)."""
        row = self._store.rows.get(gid)
        known, event = None if row is None else row.record, _DECISION_RECEIVED[decision]
        state, effects = self._handle(self._load(gid), event)
        if type(effects[0]) not in _APPLIED_BY:
            return (yield from self._run(state, effects, kind, payload, None))
        action = _APPLIED_BY[type(effects[0])]
        steps = self._act(state, effects[0], action, kind, payload)
        outside = None if steps is None else (yield from steps)
        row = self._store.rows.get(gid)
        if (None if row is None else row.record) is not known:
            state, effects = self._handle(self._load(gid), event)  # a duplicate was faster while the channel was asked
        if type(effects[0]) not in _APPLIED_BY:
            return (yield from self._run(state, effects, kind, payload, None))
        change = self._business.change(action, gid, kind, payload, outside)
        return (yield from self._run(state, effects[1:], kind, payload, change))

    def _reserve(
        self, state: participant.ParticipantState, effect: Effect, kind: str, payload: Payload
    ) -> Steps[tuple[Reserved | Collected, Change | None]]:
        collects = isinstance(effect, Collect)
        action = COLLECT if collects else RESERVE
        answered: type[Reserved | Collected] = Collected if collects else Reserved
        try:
            steps = self._act(state, effect, action, kind, payload)
            outside = None if steps is None else (yield from steps)
            change = self._business.change(action, state.gid, kind, payload, outside)
        except Refused as refusal:
            return answered(_NO, refusal.reason), None
        except Unresolved as unresolved:
            return answered(_NO, str(unresolved), uncertain=True), None
        return _COLLECTED if collects else _RESERVED, change

    def _act(
        self, state: participant.ParticipantState, effect: Effect, action: Action, kind: str, payload: Payload
    ) -> Steps[Any] | None:
        """The outside half; None if there is none."""
        if self._crash_points.watched:
            return self._act_watched(state, effect, action, kind, payload)
        return self._business.reach_out(action, state.gid, kind, payload)

    def _act_watched(
        self, state: participant.ParticipantState, effect: Effect, action: Action, kind: str, payload: Payload
    ) -> Steps[Any]:
        self._passed(participant.ROLE, state.phase, effect, BEFORE)
        steps = self._business.reach_out(action, state.gid, kind, payload)
        outside = None if steps is None else (yield from steps)
        self._passed(participant.ROLE, state.phase, effect, AFTER)
        return outside

    def _run(
        self,
        state: participant.ParticipantState,
        effects: tuple[Effect, ...],
        kind: str,
        payload: Payload,
        change: Change | None,
    ) -> Steps[Replying]:
        points = self._crash_points
        replying = _UNSENT  # replaced, unless nobody waits for an answer
        for effect in effects:
            if type(effect) in _LATE:  # a reservation that came home after the abort
                steps = self._act(state, effect, RELEASE, kind, payload)
                if steps is not None:
                    yield from steps
                continue
            if points.watched:
                self._passed(participant.ROLE, state.phase, effect, BEFORE)
            if isinstance(effect, Persist):
                if self.process.database is not None:
                    yield self.process.database.connect()
                self._persist(effect, kind, payload, change)
                yield self.committed
            elif isinstance(effect, Reply):
                left = partial(self._passed, participant.ROLE, state.phase, effect, AFTER) if points.watched else None
                replying = effect.message, left
                continue
            else:
                self._perform(state.gid, effect)
            if points.watched:
                self._passed(participant.ROLE, state.phase, effect, AFTER)
        return replying

    def _persist(self, effect: Persist, kind: str, payload: Payload, change: Change | None) -> None:
        assert isinstance(effect.record, BarrierRecord)  # noqa: S101 - narrows the type
        if change is not None:
            change()
        self._store.save(effect.record, kind, payload, self.process.kernel.now)

    def _perform(self, gid: str, effect: Effect) -> None:
        if isinstance(effect, SetTimer):
            self._set_timer(gid, effect, lambda: self._orphaned(gid))
        elif isinstance(effect, CancelTimer):
            self._cancel_timer(gid, effect.name)
        elif isinstance(effect, Send) and effect.to == COORDINATOR and isinstance(effect.message, AskOutcome):
            self.process.spawn(self._inquire(gid))

    def _orphaned(self, gid: str) -> None:
        row = self._store.rows[gid]
        state, effects = self._handle(self._load(gid), TimerFired(ORPHAN_TIMER))
        self.process.spawn(self._run(state, effects, row.kind, row.payload, None))

    def _inquire(self, gid: str) -> Steps[None]:
        self._store.asked(gid, self.process.kernel.now)
        decision = yield from self.ask_coordinator(gid)
        if decision is None:
            return
        row = self._store.rows[gid]
        try:
            yield from self.decide(gid, row.kind, row.payload, decision)
        except (Unresolved, DatabaseUnavailable):
            return  # the orphan timer asks again

    def _load(self, gid: str) -> participant.ParticipantState:
        row = self._store.rows.get(gid)
        if row is None:
            phase = _RESERVING if gid in self._reserving else _INITIAL
            return participant.ParticipantState(gid, phase, orphan_interval_ms=self._orphan_interval_ms)
        return participant.ParticipantState.of(row.record, self._orphan_interval_ms)

    def _blank(self, gid: str) -> participant.ParticipantState:
        return participant.ParticipantState(gid, orphan_interval_ms=self._orphan_interval_ms)


def _unsent() -> None:
    raise RuntimeError("this is not an answer")


_UNSENT: Replying = (AskOutcome(""), _unsent)


def _nobody_to_ask(gid: str) -> Steps[Decision | None]:
    raise RuntimeError(f"no way to ask about {gid}")
    yield Future()
