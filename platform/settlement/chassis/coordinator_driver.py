"""Interpreter of the coordinator's protocol for a real service: SQL below, HTTP beside, a waiting client above.

`Coordinator` drives the transactions of one replica. Each is a `Drive`: the pure state, an inbox of events that are
handled one at a time, and its timers. Effects run strictly in order, so nobody is told anything before it is durable.

Where the records live is the service's business (`Journal`). Every write is a compare-and-set on (gid, epoch): when
it fails, another replica took the transaction over, the remaining effects are not run, and the drive is `Fenced`: it
tells nobody anything any more. A drive whose write raised knows neither what is durable nor what is not; it is
abandoned, and whoever claims its lease afterwards finds out from the record.
"""

from __future__ import annotations

import asyncio
import secrets
from collections import deque
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol

from settlement.chassis.http_client import CallFailed, NotSent
from settlement.chassis.participant import Payload
from settlement.chassis.trace import bind_gid
from settlement.protocol.coordinator import ROLE, CoordinatorState, CoordinatorTiming, handle
from settlement.protocol.crashpoints import AFTER, BEFORE, name_of
from settlement.protocol.lease import Lease, grant, renew
from settlement.protocol.messages import (
    AckReceived,
    Answer,
    CancelTimer,
    CoordinatorPhase,
    Decide,
    Effect,
    Event,
    Fenced,
    Message,
    Outcome,
    OutcomeAsked,
    Participant,
    Persist,
    Prepare,
    Recovered,
    Reply,
    Send,
    SetTimer,
    Started,
    TimerFired,
    TransactionRecord,
    Vote,
    VoteReceived,
)

if TYPE_CHECKING:
    from settlement.chassis.app import Chassis
    from settlement.chassis.database import Transaction

CLAIMED_AT_ONCE_MAX = 50
LEFT_BEHIND_MAX = 10_000
UNAVAILABLE = "participant_unavailable"
_OVER = (CoordinatorPhase.CLOSED, CoordinatorPhase.EXHAUSTED, CoordinatorPhase.FENCED)


@dataclass(frozen=True, slots=True)
class Errand:
    """What a transaction is for, as every participant is told."""

    gid: str
    kind: str
    payload: Payload


@dataclass(frozen=True, slots=True)
class Claimed:
    """A transaction that this replica just took over, with its new lease."""

    errand: Errand
    record: TransactionRecord
    lease: Lease


class Journal(Protocol):
    """Where the coordinator's records are durable. All methods run inside the caller's transaction."""

    def update(self, tx: Transaction, record: TransactionRecord, lease: Lease) -> bool:
        """Store a later record if the stored epoch is still the lease's; False if it is not."""
        ...

    def has_lapsed(self, now_ms: int) -> bool:
        """Whether there may be anything to claim: a glance without a transaction."""
        ...

    def claim(
        self, tx: Transaction, owner: str, now_ms: int, lease_ms: int, except_gids: Collection[str], limit: int
    ) -> list[Claimed]:
        """Take over undecided and unfinished transactions whose lease lapsed, each one epoch up."""
        ...

    def claim_left_behind(
        self, tx: Transaction, replica: str, owner: str, now_ms: int, lease_ms: int, limit: int
    ) -> list[Claimed]:
        """Take over what an earlier process of this very replica was driving, lapsed or not, each one epoch up."""
        ...

    def claim_one(self, tx: Transaction, gid: str, owner: str, now_ms: int, lease_ms: int) -> Claimed | None:
        """Take over this transaction whoever drives it, one epoch up: for an operator. None if there is no such gid."""
        ...


# Stores the begin record, in the caller's transaction. May raise to refuse: then nothing of the transaction exists.
Insert = Callable[["Transaction", TransactionRecord, Lease], None]


class Overtaken(Exception):
    """The transaction is another replica's now, or its record could not be written: read the answer from the record."""


class Coordinator:
    """Drives the transactions of this replica, and takes over those of replicas that fell silent."""

    def __init__(self, chassis: Chassis, journal: Journal) -> None:
        self._chassis = chassis
        self._journal = journal
        # A restarted replica is another owner: what its dead predecessor held is not its own.
        self._owner = f"{chassis.replica}/{secrets.token_hex(4)}"
        self._drives: dict[str, Drive] = {}

    async def begin(self, errand: Errand, participants: Sequence[Participant], insert: Insert) -> Answer:
        """Run a new transaction up to its durable decision; completion goes on in the background.

        Raises whatever `insert` refused with (nothing exists then), and Overtaken if this replica lost it.
        """
        bind_gid(errand.gid)
        state = CoordinatorState(errand.gid, timing=self._timing())
        lease = grant(self._owner, self._chassis.clock.now_ms(), self._lease_ms())
        drive = self._adopt(errand, state, lease, insert)
        await drive.feed(Started(tuple(participants)))
        return await drive.answer

    async def recover(self) -> int:
        """Take over what nobody drives any more; returns how many transactions."""
        if not self._journal.has_lapsed(self._chassis.clock.now_ms()):
            return 0
        now_ms = self._chassis.clock.now_ms()
        async with self._chassis.database.transaction() as tx:
            # Our own live drives are no orphans, however slow this process is.
            claimed = self._journal.claim(
                tx, self._owner, now_ms, self._lease_ms(), self._drives.keys(), CLAIMED_AT_ONCE_MAX
            )
        return self._resume_all(claimed)

    async def recover_left_behind(self) -> int:
        """At start: take over what this replica's earlier process was driving, without waiting for its leases."""
        now_ms = self._chassis.clock.now_ms()
        async with self._chassis.database.transaction() as tx:
            claimed = self._journal.claim_left_behind(
                tx, self._chassis.replica, self._owner, now_ms, self._lease_ms(), LEFT_BEHIND_MAX
            )
        return self._resume_all(claimed)

    def _resume_all(self, claimed: Sequence[Claimed]) -> int:
        for one in claimed:
            self._chassis.log.info("taken_over", gid=one.errand.gid, phase=one.record.phase, epoch=one.lease.epoch)
            self._chassis.spawn(self._resume(one), f"recover {one.errand.gid}")
        return len(claimed)

    async def intervene(self, gid: str, event: Event) -> CoordinatorPhase | None:
        """An operator's `Resumed` or `Forgotten`; returns the phase entered, None for an unknown gid.

        Raises ProtocolError if the transaction is not exhausted.
        """
        async with self._chassis.database.transaction() as tx:
            claimed = self._journal.claim_one(tx, gid, self._owner, self._chassis.clock.now_ms(), self._lease_ms())
            if claimed is None:
                return None
            # Judged before the claim is durable: an impossible order must not take the transaction from its driver.
            state, _ = handle(CoordinatorState(gid, timing=self._timing()), Recovered(claimed.record))
            handle(state, event)
        drive = await self._resume(claimed)
        await drive.feed(event)
        return drive.state.phase

    @property
    def driven(self) -> int:
        """How many transactions this replica drives at the moment."""
        return len(self._drives)

    async def _resume(self, claimed: Claimed) -> Drive:
        bind_gid(claimed.errand.gid)
        drive = self._adopt(claimed.errand, CoordinatorState(claimed.errand.gid, timing=self._timing()), claimed.lease)
        drive.answer.add_done_callback(_consume)
        await drive.feed(Recovered(claimed.record))
        return drive

    def _adopt(self, errand: Errand, state: CoordinatorState, lease: Lease, insert: Insert | None = None) -> Drive:
        drive = Drive(self._chassis, self._journal, errand, state, lease, self._forget, insert)
        self._drives[errand.gid] = drive
        return drive

    def _forget(self, drive: Drive) -> None:
        if self._drives.get(drive.errand.gid) is drive:
            del self._drives[drive.errand.gid]

    def _lease_ms(self) -> int:
        return self._chassis.settings.integer("gateway.lease_ms")

    def _timing(self) -> CoordinatorTiming:
        read = self._chassis.settings.integer
        return CoordinatorTiming(
            prepare_timeout_ms=read("gateway.prepare_timeout_ms"),
            retry_base_ms=read("gateway.retry_base_ms"),
            retry_max_ms=read("gateway.retry_max_ms"),
            retry_attempts_max=read("gateway.retry_attempts_max"),
        )


class Drive:
    """One transaction on its way. `answer` is set by the `Reply` effect, after the decision is durable."""

    def __init__(
        self,
        chassis: Chassis,
        journal: Journal,
        errand: Errand,
        state: CoordinatorState,
        lease: Lease,
        ended: Callable[[Drive], None],
        insert: Insert | None = None,
    ) -> None:
        self.errand = errand
        self.state = state
        self.answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._chassis = chassis
        self._journal = journal
        self._lease = lease
        self._ended = ended
        self._insert = insert
        self._inbox: deque[Event] = deque()
        self._running = False
        self._abandoned = False
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._calling: set[tuple[str, type[Message]]] = set()

    async def feed(self, event: Event) -> None:
        """Handle an event, after those already waiting. Raises what a journal or a crash point raises."""
        self._inbox.append(event)
        if self._running:
            return
        self._running = True
        try:
            while self._inbox and not self._abandoned:
                await self._step(self._inbox.popleft())
        except BaseException:
            self._abandon()
            raise
        finally:
            self._running = False

    async def _step(self, event: Event) -> None:
        self.state, effects = handle(self.state, event)
        for effect in effects:
            await self._pass(effect, BEFORE)
            if not await self._run(effect):
                self._inbox.appendleft(Fenced())
                return
            await self._pass(effect, AFTER)
        if self.state.phase in _OVER:
            self._end()

    async def _run(self, effect: Effect) -> bool:
        """Run one effect; False if it was a write that came too late."""
        if isinstance(effect, Persist):
            return await self._persist(effect)
        if isinstance(effect, Send):
            self._send(effect.to, effect.message)
        elif isinstance(effect, Reply):
            self._reply(effect.message)
        elif isinstance(effect, SetTimer):
            self._set_timer(effect)
        elif isinstance(effect, CancelTimer):
            self._cancel_timer(effect.name)
        else:
            raise TypeError(f"not an effect of a coordinator: {effect!r}")
        return True

    async def _pass(self, effect: Effect, side: str) -> None:
        await self._chassis.crash_points.passed(name_of(ROLE, self.state.phase, effect, side))

    # ---- effects ----------------------------------------------------------------------------------------------------

    async def _persist(self, effect: Persist) -> bool:
        record = effect.record
        if not isinstance(record, TransactionRecord):
            raise TypeError(f"a coordinator persists transaction records, not {record!r}")
        async with self._chassis.database.transaction() as tx:
            if record.phase is CoordinatorPhase.PREPARING:
                if self._insert is None:
                    raise TypeError("only a new transaction begins")
                self._insert(tx, record, self._lease)
                return True
            lease_ms = self._chassis.settings.integer("gateway.lease_ms")
            self._lease = renew(self._lease, self._chassis.clock.now_ms(), lease_ms)
            return self._journal.update(tx, record, self._lease)

    def _reply(self, message: Message) -> None:
        if isinstance(message, Answer) and not self.answer.done():
            self.answer.set_result(message)
            self._chassis.log.info("decided", decision=message.decision, reason=message.reason)

    def _set_timer(self, timer: SetTimer) -> None:
        self._cancel_timer(timer.name)
        loop = asyncio.get_running_loop()
        self._timers[timer.name] = loop.call_later(timer.delay_ms / 1_000, self._fire, timer.name)

    def _fire(self, name: str) -> None:
        self._timers.pop(name, None)
        if self._chassis.stopping.is_set():
            return
        self._chassis.spawn(self.feed(TimerFired(name)), f"{name} timer {self.errand.gid}")

    def _cancel_timer(self, name: str) -> None:
        timer = self._timers.pop(name, None)
        if timer is not None:
            timer.cancel()

    def _send(self, to: str, message: Message) -> None:
        # The same message to the same participant is still on its way: sending it twice would only double the load.
        if (to, type(message)) in self._calling or self._chassis.stopping.is_set():
            return
        self._calling.add((to, type(message)))
        self._chassis.spawn(self._deliver(to, message), f"{type(message).__name__} {self.errand.gid}")

    async def _deliver(self, to: str, message: Message) -> None:
        try:
            event = await (self._prepare(to) if isinstance(message, Prepare) else self._tell(to, message))
        finally:
            self._calling.discard((to, type(message)))
        if event is not None and not self._abandoned:
            await self.feed(event)

    async def _prepare(self, to: str) -> Event:
        """Ask for a vote. Whoever cannot be asked counts as a no: until the decision, abort is always safe."""
        timeout_ms = self.state.timing.prepare_timeout_ms
        body = self._body()
        try:
            reply = await self._chassis.client.call(
                to, "POST", "/participant/prepare", json=body, timeout_ms=timeout_ms, idempotent=True
            )
        except CallFailed as error:
            self._chassis.log.warning("prepare_failed", to=to, sent=not isinstance(error, NotSent), error=str(error))
            return VoteReceived(to, Vote.NO, UNAVAILABLE)
        vote = reply.json.get("vote") if reply.status == 200 else None
        if vote not in set(Vote):
            self._chassis.log.warning("prepare_refused", to=to, status=reply.status)
            return VoteReceived(to, Vote.NO, UNAVAILABLE)
        return VoteReceived(to, Vote(vote), str(reply.json.get("reason") or ""))

    async def _tell(self, to: str, message: Message) -> Event | None:
        """Tell the decision; no acknowledgement means that the retry timer will have it told again."""
        if not isinstance(message, Decide):
            raise TypeError(f"not a message to a participant: {message!r}")
        body = {**self._body(), "decision": message.decision.value}
        try:
            reply = await self._chassis.client.call(to, "POST", "/participant/decision", json=body, idempotent=True)
        except CallFailed as error:
            self._chassis.log.warning("decision_not_acknowledged", to=to, error=str(error))
            return None
        if reply.status == 200 and reply.json.get("ack") is True:
            return AckReceived(to)
        self._chassis.log.warning("decision_not_acknowledged", to=to, status=reply.status)
        return None

    def _body(self) -> dict[str, Any]:
        payload = self.errand.payload.model_dump(exclude_none=True)
        return {"gid": self.errand.gid, "kind": self.errand.kind, "payload": payload}

    # ---- ends -------------------------------------------------------------------------------------------------------

    def _end(self) -> None:
        for name in list(self._timers):
            self._cancel_timer(name)
        if not self.answer.done():
            self.answer.set_exception(Overtaken(self.errand.gid))
            self.answer.add_done_callback(_consume)
        self._ended(self)

    def _abandon(self) -> None:
        """A write or a crash point raised: what is durable is unknown here, so nothing more is said or done."""
        self._abandoned = True
        self._end()


def outcome_of(gid: str, record: TransactionRecord | None) -> Outcome:
    """What a participant that asks is told; no record means abort."""
    state = CoordinatorState(gid)
    if record is not None:
        state = replace(state, phase=record.phase, decision=record.decision)
    _, effects = handle(state, OutcomeAsked("participant"))
    for effect in effects:
        if isinstance(effect, Reply) and isinstance(effect.message, Outcome):
            return effect.message
    raise TypeError("the protocol gave no outcome")


def _consume(answer: asyncio.Future[Answer]) -> None:
    """Nobody may be waiting for this answer; without this, asyncio would complain about its exception."""
    if not answer.cancelled():
        answer.exception()
