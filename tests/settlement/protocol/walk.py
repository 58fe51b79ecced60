"""A seeded random walk over the shipped protocol code: one coordinator row, several replicas, N participants.

The network is a bag of messages: the walk picks any of them, may lose or duplicate it, may crash a node between any two
effects, may fire any timer. Durable are the coordinator's row (with its epoch) and each participant's barrier row and
business row; everything else dies in a crash. The same seed gives the same walk.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from settlement.protocol import coordinator, crashpoints, participant
from settlement.protocol.coordinator import CoordinatorState, CoordinatorTiming
from settlement.protocol.effects import (
    COORDINATOR,
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
from settlement.protocol.events import (
    AckReceived,
    DecisionReceived,
    Event,
    Fenced,
    OutcomeAsked,
    PrepareRequested,
    Recovered,
    Reserved,
    Started,
    TimerFired,
    VoteReceived,
)
from settlement.protocol.messages import Acknowledge, Answer, AskOutcome, Decide, Outcome, Prepare, Voted
from settlement.protocol.participant import ParticipantState
from settlement.protocol.records import (
    BarrierRecord,
    CoordinatorPhase,
    Decision,
    Participant,
    ParticipantPhase,
    TransactionRecord,
    Vote,
)

GID = "g1"


class Crashed(Exception):
    """The node died at a crash point."""


@dataclass
class Business:
    """What a participant holds: `held` is a reservation, `outside` what a channel holds for it."""

    held: bool = False
    applied: Decision | None = None
    outside: bool = False


@dataclass
class ParticipantNode:
    state: ParticipantState
    record: BarrierRecord | None = None
    business: Business = field(default_factory=Business)
    timers: set[str] = field(default_factory=set)


@dataclass
class Replica:
    name: str
    state: CoordinatorState | None = None
    timers: set[str] = field(default_factory=set)


@dataclass(frozen=True)
class Envelope:
    sender: str
    to: str
    message: Any


@dataclass(frozen=True)
class Options:
    """What the walk may do; probabilities per step."""

    participants: int = 2
    replicas: int = 2
    last: bool = False
    refuse: float = 0.1
    uncertain: float = 0.1
    lose: float = 0.1
    duplicate: float = 0.1
    crash: float = 0.03
    steps: int = 120


class Walk:
    """Runs one transaction to convergence and keeps what has to be judged."""

    def __init__(self, seed: int, options: Options) -> None:
        self.random = random.Random(seed)
        self.options = options
        self.faults_on = True
        self.row: TransactionRecord | None = None
        self.participants = {
            f"p{i}": ParticipantNode(ParticipantState(GID, orphan_interval_ms=1)) for i in range(options.participants)
        }
        self.replicas = [Replica(f"r{i}") for i in range(options.replicas)]
        self.mail: list[Envelope] = []
        self.answers: list[Decision] = []
        self.votes: dict[str, set[Vote]] = {name: set() for name in self.participants}
        self.decisions: list[Decision] = []
        self.seen: Counter[str] = Counter()
        self.passed: set[str] = set()

    # ---- the walk ----

    def run(self) -> Walk:
        specs = tuple(Participant(name, asked_last=self.options.last and name == "p0") for name in self.participants)
        first = self.replicas[0]
        first.state = CoordinatorState(GID, timing=self._timing())
        self._coordinator(first, Started(specs))
        for _ in range(self.options.steps):
            self._step()
        self.faults_on = False
        for _ in range(2_000):
            if self._converged():
                return self
            self._step()
        raise AssertionError(f"no convergence: row {self.row}, {self.participants}")

    def _timing(self) -> CoordinatorTiming:
        return CoordinatorTiming(1, 1, 1, 10_000)

    def _converged(self) -> bool:
        closed = self.row is None or self.row.phase is CoordinatorPhase.CLOSED
        return (
            closed
            and not self.mail
            and all(
                node.record is None or node.record.phase is not ParticipantPhase.PREPARED
                for node in self.participants.values()
            )
        )

    def _step(self) -> None:
        actions: list[Callable[[], None]] = [self._deliver] * (6 if self.mail else 0)
        actions += [self._fire_coordinator_timer, self._fire_participant_timer, self._take_over]
        self.random.choice(actions)()

    def _deliver(self) -> None:
        envelope = self.mail.pop(self.random.randrange(len(self.mail)))
        if self.faults_on and self.random.random() < self.options.duplicate:
            self.mail.append(envelope)
            self.seen["duplicate"] += 1
        if self.faults_on and self.random.random() < self.options.lose:
            self.seen["lost"] += 1
            return
        if envelope.to in self.participants:
            self._to_participant(envelope)
        else:
            self._to_coordinator(envelope)

    def _to_participant(self, envelope: Envelope) -> None:
        match envelope.message:
            case Prepare():
                self._participant(envelope.to, PrepareRequested(), envelope.sender)
            case Decide(decision=decision):
                self._participant(envelope.to, DecisionReceived(decision), envelope.sender)
            case Outcome(decision=decision) if decision is not None:
                self.seen["orphan_answered"] += 1
                self._participant(envelope.to, DecisionReceived(decision), envelope.sender)

    def _to_coordinator(self, envelope: Envelope) -> None:
        replica = next(r for r in self.replicas if r.name == envelope.to or envelope.to == COORDINATOR)
        match envelope.message:
            case Voted(vote=vote, reason=reason):
                self._coordinator(replica, VoteReceived(envelope.sender, vote, reason))
            case Acknowledge():
                self._coordinator(replica, AckReceived(envelope.sender))
            case AskOutcome():
                self.seen["orphan_asked"] += 1
                # The inquiry is answered from the row, as any replica can.
                state, effects = coordinator.handle(CoordinatorState(GID), Recovered(None))
                if self.row is not None:
                    state = CoordinatorState(GID, phase=self.row.phase, decision=self.row.decision)
                state, effects = coordinator.handle(state, OutcomeAsked(envelope.sender))
                for effect in effects:
                    if isinstance(effect, Reply):
                        self.mail.append(Envelope(replica.name, envelope.sender, effect.message))

    def _fire_coordinator_timer(self) -> None:
        armed = [(r, t) for r in self.replicas for t in sorted(r.timers)]
        if armed:
            replica, timer = self.random.choice(armed)
            replica.timers.discard(timer)
            self._coordinator(replica, TimerFired(timer))

    def _fire_participant_timer(self) -> None:
        armed = [(n, t) for n, node in self.participants.items() for t in sorted(node.timers)]
        if armed:
            name, timer = self.random.choice(armed)
            self.participants[name].timers.discard(timer)
            self._participant(name, TimerFired(timer), COORDINATOR)

    def _take_over(self) -> None:
        """Any replica may claim the row; the lease is modelled as running out at any moment."""
        if self.row is None or self.row.phase in (CoordinatorPhase.CLOSED, CoordinatorPhase.EXHAUSTED):
            return
        if not self.faults_on and any(r.timers for r in self.replicas):
            return
        replica = self.random.choice(self.replicas)
        self.row = TransactionRecord(
            self.row.gid,
            self.row.phase,
            self.row.participants,
            self.row.epoch + 1,
            self.row.decision,
            self.row.reason,
            self.row.attempts,
            self.row.heuristic,
        )
        replica.state, replica.timers = CoordinatorState(GID, timing=self._timing()), set()
        self.seen["take_over"] += 1
        self._coordinator(replica, Recovered(self.row))

    # ---- interpreters ----

    def _pass(self, role: str, phase: Any, effect: Effect, side: str) -> None:
        self.passed.add(crashpoints.name_of(role, phase, effect, side))
        if self.faults_on and self.random.random() < self.options.crash:
            raise Crashed

    def _coordinator(self, replica: Replica, event: Event) -> None:
        if replica.state is None:
            return
        state, effects = coordinator.handle(replica.state, event)
        replica.state = state
        try:
            for effect in effects:
                self._pass("coordinator", state.phase, effect, "before")
                if not self._coordinator_effect(replica, effect):
                    self.seen["fenced"] += 1
                    self._coordinator(replica, Fenced())
                    return
                self._pass("coordinator", state.phase, effect, "after")
        except Crashed:
            self.seen["coordinator_crash"] += 1
            replica.state, replica.timers = None, set()

    def _coordinator_effect(self, replica: Replica, effect: Effect) -> bool:
        match effect:
            case Persist(record=record):
                assert isinstance(record, TransactionRecord)
                if self.row is not None and self.row.epoch != record.epoch:
                    return False
                self.row = record
                if record.decision is not None:
                    self.decisions.append(record.decision)
            case Send(to=to, message=message):
                self.mail.append(Envelope(replica.name, to, message))
            case Reply(message=Answer(decision=decision)):
                self.answers.append(decision)
            case SetTimer(name=name):
                replica.timers.add(name)
            case CancelTimer(name=name):
                replica.timers.discard(name)
        return True

    def _participant(self, name: str, event: Event, sender: str) -> None:
        node = self.participants[name]
        state, effects = participant.handle(node.state, event)
        node.state = state
        try:
            for effect in effects:
                self._pass("participant", state.phase, effect, "before")
                self._participant_effect(name, node, effect, sender)
                self._pass("participant", state.phase, effect, "after")
        except Crashed:
            self.seen["participant_crash"] += 1
            fresh = ParticipantState(GID, orphan_interval_ms=1)
            node.timers = set()
            node.state, effects = participant.handle(fresh, Recovered(node.record))
            node.timers |= {e.name for e in effects if isinstance(e, SetTimer)}

    def _participant_effect(self, name: str, node: ParticipantNode, effect: Effect, sender: str) -> None:
        match effect:
            case Reserve():
                self._reserve(name, node, sender)
            case Confirm():
                node.business.outside = True
            case Release():
                node.business.outside = False
            case Persist(record=record):
                assert isinstance(record, BarrierRecord)
                node.record = record
                node.business.held = record.phase is ParticipantPhase.PREPARED
                if record.phase is ParticipantPhase.COMMITTED:
                    node.business.applied = Decision.COMMIT
                if record.vote is not None:
                    self.votes[name].add(record.vote)
            case Send(message=message):
                self.mail.append(Envelope(name, COORDINATOR, message))
            case Reply(message=message):
                self.mail.append(Envelope(name, sender, message))
            case SetTimer(name=timer):
                node.timers.add(timer)
            case CancelTimer(name=timer):
                node.timers.discard(timer)

    def _reserve(self, name: str, node: ParticipantNode, sender: str) -> None:
        draw = self.random.random() if self.faults_on else 1.0
        if node.business.outside:
            # A channel knows its trade number: asked again after a crash, it finds the hold that it gave before.
            answer = Reserved(Vote.YES)
        elif draw < self.options.refuse:
            self.seen["refused"] += 1
            answer = Reserved(Vote.NO, "declined")
        elif draw < self.options.refuse + self.options.uncertain:
            self.seen["uncertain"] += 1
            node.business.outside = True
            answer = Reserved(Vote.NO, "channel_silent", uncertain=True)
        else:
            node.business.outside = True
            answer = Reserved(Vote.YES)
        self._participant(name, answer, sender)
