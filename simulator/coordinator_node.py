"""The coordinator's interpreter, and the gateway's tables that it keeps its records in."""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Protocol

from settlement.protocol import coordinator
from settlement.protocol.crashpoints import AFTER, BEFORE
from settlement.protocol.effects import (
    PATIENCE_TIMER,
    PREPARE_TIMER,
    RETRY_TIMER,
    CancelTimer,
    Effect,
    Persist,
    Reply,
    Send,
    SetTimer,
)
from settlement.protocol.events import Event, Fenced, OutcomeAsked, Recovered, Started, TimerFired
from settlement.protocol.lease import Lease, claim, grant, renew
from settlement.protocol.messages import Answer, Message, Outcome
from settlement.protocol.records import CoordinatorPhase, Decision, Participant, TransactionRecord
from settlement.protocol.shipped import Protocol as CommitProtocol
from settlement.values import unguarded
from simulator.database import DatabaseUnavailable
from simulator.events import Outbox
from simulator.faults import CrashPoints
from simulator.kernel import Crashed, Future, Steps
from simulator.node import Node, Payload
from simulator.replica import Replica

# By name, because it takes the interpreter five times as long to find a member in its enum.
_CLOSED, _EXHAUSTED, _COMMIT = CoordinatorPhase.CLOSED, CoordinatorPhase.EXHAUSTED, Decision.COMMIT


@dataclass(slots=True)
class Transaction:
    """A durable row of the gateway: record, lease, and what the audit wants to know. Times in seconds."""

    gid: str
    kind: str
    key: str
    payload: Payload
    record: TransactionRecord
    lease: Lease
    begun_s: float
    decided_s: float | None = None
    closed_s: float | None = None
    exhausted_s: float | None = None


@dataclass(frozen=True)
class FencedWrite:
    """A write that came too late: somebody else had taken the transaction over. Time in seconds."""

    gid: str
    epoch: int
    decision: Decision | None
    at_s: float


@dataclass
class TransactionStore:
    """The gateway's database, shared by its replicas."""

    rows: dict[str, Transaction] = field(default_factory=dict)
    unfinished: dict[str, Transaction] = field(default_factory=dict)
    keys: dict[tuple[int, str], str] = field(default_factory=dict)
    created: int = 0
    fenced: list[FencedWrite] = field(default_factory=list)
    outbox: Outbox = field(default_factory=lambda: Outbox("gateway"))

    def new_gid(self, prefix: str) -> str:
        """A number nobody had before."""
        self.created += 1
        return f"{prefix}-{self.created:08d}"

    def save(self, record: TransactionRecord, writer: str, now_s: float, clock_ms: int, lease_ms: int) -> bool:
        """Compare-and-set on the epoch; also renews the lease. False: somebody else took the transaction over.

        `clock_ms` is the time by the clock of the replica that saves it (`writer`), `now_s` the true one.
        """
        row = self.rows[record.gid]
        if row.lease.epoch != record.epoch:
            self.fenced.append(FencedWrite(record.gid, record.epoch, record.decision, now_s))
            return False
        row.record, row.lease = record, renew(row.lease, clock_ms, lease_ms)
        if record.decision is not None and row.decided_s is None:
            row.decided_s = now_s
            ended = "succeeded" if record.decision is _COMMIT else "failed"
            self.outbox.add(writer, f"{row.kind}.{ended}", record.gid, now_s)
        phase = record.phase
        if phase is _CLOSED or phase is _EXHAUSTED:
            self._ended(row, phase, now_s)
        return True

    def _ended(self, row: Transaction, phase: CoordinatorPhase, now_s: float) -> None:
        if phase is _CLOSED and row.closed_s is None:
            row.closed_s = now_s
        if phase is _EXHAUSTED and row.exhausted_s is None:
            row.exhausted_s = now_s
        self.unfinished.pop(row.gid, None)

    def add(self, row: Transaction) -> None:
        """A new transaction and its idempotency key, in one local transaction."""
        self.rows[row.gid] = self.unfinished[row.gid] = row
        self.keys[row.payload.user_id, row.key] = row.gid


@unguarded
@dataclass(frozen=True, slots=True)
class Draft:
    """What becomes the row of a transaction at its first `Persist`."""

    kind: str
    key: str
    payload: Payload


@dataclass(eq=False, slots=True)
class Drive:
    """What a replica has in its memory of a transaction that it drives, from the beginning or after a take-over.

    `draft`: of a transaction without a row; `answered`: who waits for its answer. `inbox` are the events that come
    while effects are run; None while nothing is. `effects` are those that are still to be run.
    """

    state: coordinator.CoordinatorState
    draft: Draft | None = None
    answered: Future | None = None
    inbox: deque[Event] | None = None
    effects: Iterator[Effect] = field(default_factory=lambda: iter(()))


_OVER = (_CLOSED, CoordinatorPhase.FENCED)
"""The phases in which nothing is left to drive."""


class Messenger(Protocol):
    """Carries the coordinator's messages; answers come back through `CoordinatorNode.feed`."""

    def __call__(self, gid: str, to: str, message: Message) -> None:
        """Send without waiting."""
        ...


class CoordinatorNode(Node):
    """Drives the transactions of one gateway replica, one event at a time for each."""

    def __init__(
        self,
        replica: Replica,
        crash_points: CrashPoints,
        commit_s: float,
        store: TransactionStore,
        timing: coordinator.CoordinatorTiming,
        lease_ms: int,
        protocol: CommitProtocol,
    ) -> None:
        super().__init__(replica, crash_points, commit_s)
        self._handle = protocol.coordinator
        self._store, self._timing, self._lease_ms = store, timing, lease_ms
        # A restarted replica is another owner: what its dead predecessor held is not its own.
        self._owner = f"{replica.name}/{replica.process.incarnation}"
        self.send: Messenger = _nobody
        self._drives: dict[str, Drive] = {}

    def begin(self, gid: str, draft: Draft, participants: tuple[Participant, ...]) -> Future:
        """Start a transaction; the future `Answer` is None if another replica took it over meanwhile."""
        state, answered = coordinator.CoordinatorState(gid, timing=self._timing), Future()
        self._drives[gid] = Drive(state, draft, answered)
        self.feed(gid, Started(participants))
        return answered

    def feed(self, gid: str, event: Event) -> None:
        """Something happened to a transaction of this replica (events of forgotten ones are stale: ignored)."""
        drive = self._drives.get(gid)
        if drive is None:
            return
        if drive.inbox is not None:
            drive.inbox.append(event)
            return
        drive.state, effects = self._handle(drive.state, event)
        if effects or drive.state.phase in _OVER:  # else a vote or an acknowledgement that others are waited for
            drive.inbox, drive.effects = deque(), iter(effects)
            try:
                self._run(drive)
            except Crashed:
                return

    def decision_of(self, gid: str) -> Decision | None:
        """Answer an inquiry from the durable record: any replica can. None: undecided, keep waiting."""
        row = self._store.rows.get(gid)
        state = coordinator.CoordinatorState(gid)
        if row is not None:
            record = row.record
            state = replace(state, phase=record.phase, participants=record.participants, decision=record.decision)
        state, effects = self._handle(state, OutcomeAsked("participant"))
        for effect in effects if self._crash_points.watched else ():
            self._passed(coordinator.ROLE, state.phase, effect, BEFORE)
            self._passed(coordinator.ROLE, state.phase, effect, AFTER)
        message = next(effect.message for effect in effects if isinstance(effect, Reply))
        assert isinstance(message, Outcome)  # noqa: S101 - narrows the type
        return message.decision

    def recover(self) -> Steps[None]:
        """One round of the recovery worker: take over what nobody drives any more."""
        clock_ms = self.process.clock_ms
        for row in [row for row in self._store.unfinished.values() if row.lease.is_lapsed(clock_ms)]:
            if not row.lease.is_lapsed(self.process.clock_ms) or row.gid not in self._store.unfinished:
                continue  # another replica was faster
            if row.gid in self._drives:
                continue  # our own live drives are no orphans, however slow this process or its disk is
            try:
                yield from self._take_over(row, claim(row.lease, self._owner, self.process.clock_ms, self._lease_ms))
            except DatabaseUnavailable:
                return  # the next round

    def recover_left_behind(self) -> Steps[None]:
        """At start: take over what this replica's earlier life was driving, without waiting for its leases."""
        for row in list(self._store.unfinished.values()):
            if row.lease.owner != self._owner and self._is_ours(row.lease):
                until_ms = self.process.clock_ms + self._lease_ms
                try:
                    yield from self._take_over(row, Lease(self._owner, row.lease.epoch + 1, until_ms))
                except DatabaseUnavailable:
                    return  # its leases run out, and then everybody may

    def _is_ours(self, lease: Lease) -> bool:
        """Whether this replica holds it, in this life or an earlier one."""
        return lease.owner.startswith(f"{self.replica.name}/")

    def _take_over(self, row: Transaction, lease: Lease) -> Steps[None]:
        self._crash_points.sighted("own_recoveries" if self._is_ours(row.lease) else "take_overs")
        if self.process.database is not None:
            yield self.process.database.connect()
            if row.lease.epoch + 1 != lease.epoch or row.gid not in self._store.unfinished:
                yield self.committed  # another replica was faster: nothing is written
                return
        row.lease = lease
        row.record = record = replace(row.record, epoch=lease.epoch)
        yield self.committed
        self._drives[row.gid] = Drive(coordinator.CoordinatorState(row.gid, timing=self._timing))
        self.feed(row.gid, Recovered(record))

    def _run(self, drive: Drive) -> None:
        """Run the effects that are left, and what the events in the inbox lead to, up to the next write."""
        points, gid = self._crash_points, drive.state.gid
        while True:
            for effect in drive.effects:
                if points.watched:
                    self._passed(coordinator.ROLE, drive.state.phase, effect, BEFORE)
                if type(effect) is Persist:
                    if self.process.database is None:
                        self._save(drive, effect)
                    else:
                        self.process.when(self.process.database.connect(), self._connected, drive, effect)
                    return  # goes on in `_written`
                self._perform(gid, drive, effect)
                if points.watched:
                    self._passed(coordinator.ROLE, drive.state.phase, effect, AFTER)
            if drive.state.phase in _OVER:
                self._forget(gid, drive)
                return
            if not drive.inbox:
                drive.inbox = None
                return
            drive.state, effects = self._handle(drive.state, drive.inbox.popleft())
            drive.effects = iter(effects)

    def _connected(self, _: None, error: Exception | None, drive: Drive, effect: Persist) -> None:
        if error is None:
            self._save(drive, effect)
        elif isinstance(error, DatabaseUnavailable):
            self._abandon(drive, error)
        else:
            raise error

    def _save(self, drive: Drive, effect: Persist) -> None:
        """Run a `Persist`; the others follow when it is durable."""
        saved = self._persist(drive, effect)
        self.process.write(self._commit_s, self._written if saved else self._fence, (drive, effect))

    def _written(self, what: tuple[Drive, Persist]) -> None:
        drive, effect = what
        try:
            if self._crash_points.watched:
                self._passed(coordinator.ROLE, drive.state.phase, effect, AFTER)
            self._run(drive)
        except Crashed:
            return

    def _fence(self, what: tuple[Drive, Persist]) -> None:
        """Somebody else has taken it over: that is what happens next, and what else was to be done is not."""
        drive, _ = what
        if drive.inbox is not None:
            drive.inbox.appendleft(Fenced())
        drive.effects = iter(())
        try:
            self._run(drive)
        except Crashed:
            return

    def _abandon(self, drive: Drive, why: DatabaseUnavailable) -> None:
        """Nothing more is said or done here; whoever claims the lease when it has run out finds out from the record."""
        gid = drive.state.gid
        del self._drives[gid]
        for timer in (PREPARE_TIMER, RETRY_TIMER, PATIENCE_TIMER):
            self._cancel_timer(gid, timer)
        if drive.answered is not None:
            drive.answered.settle(error=why)

    def _persist(self, drive: Drive, effect: Persist) -> bool:
        record, now_s, clock_ms = effect.record, self.process.kernel.now, self.process.clock_ms
        assert isinstance(record, TransactionRecord)  # noqa: S101 - narrows the type
        draft, drive.draft = drive.draft, None
        if draft is not None:
            lease = grant(self._owner, clock_ms, self._lease_ms)
            self._store.add(Transaction(record.gid, draft.kind, draft.key, draft.payload, record, lease, now_s))
        return self._store.save(record, self.replica.name, now_s, clock_ms, self._lease_ms)

    def _perform(self, gid: str, drive: Drive, effect: Effect) -> None:
        if isinstance(effect, Send):
            self.send(gid, effect.to, effect.message)
        elif isinstance(effect, SetTimer):
            self._set_timer(gid, effect, lambda: self.feed(gid, TimerFired(effect.name)))
        elif isinstance(effect, CancelTimer):
            self._cancel_timer(gid, effect.name)
        elif isinstance(effect, Reply) and isinstance(effect.message, Answer):
            self._answer(drive, effect.message)

    def _answer(self, drive: Drive, answer: Answer | None) -> None:
        answered, drive.answered = drive.answered, None
        if answered is not None:
            answered.settle(answer)

    def _forget(self, gid: str, drive: Drive) -> None:
        del self._drives[gid]
        self._answer(drive, None)


def _nobody(gid: str, to: str, message: Message) -> None:
    raise RuntimeError(f"no messenger for {message} to {to} in {gid}")
