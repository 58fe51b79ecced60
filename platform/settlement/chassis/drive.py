"""One transaction on its way through the coordinator's protocol: the pure state, an inbox, timers, calls.

Events are handled one at a time and effects run strictly in order, so nobody is told anything before it is durable.
A write that comes too late (the epoch has changed) stops the effects and fences the drive: it tells nobody anything
any more. A drive whose write raised knows neither what is durable nor what is not; it is abandoned, and whoever claims
its lease afterwards finds out from the record. If it was the commit itself that was lost, that happens at once.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from settlement.chassis.coordination import Errand, Insert, Journal, Overtaken
from settlement.chassis.database import CommitUnknown
from settlement.chassis.drive_spans import DriveSpans
from settlement.chassis.http_client import CallFailed, NotSent
from settlement.chassis.trace import Trace
from settlement.protocol.coordinator import ROLE, CoordinatorState
from settlement.protocol.crashpoints import AFTER, BEFORE, name_of
from settlement.protocol.effects import CancelTimer, Effect, Persist, Reply, Send, SetTimer
from settlement.protocol.events import AckReceived, Event, Fenced, TimerFired, VoteReceived
from settlement.protocol.lease import Lease, renew
from settlement.protocol.messages import Answer, Charge, Decide, Message, Prepare
from settlement.protocol.records import CoordinatorPhase, TransactionRecord, Vote

if TYPE_CHECKING:
    from settlement.chassis.app import Chassis
    from settlement.chassis.two_phase_metrics import CoordinatorMetrics
    from settlement.protocol.shipped import Protocol

UNAVAILABLE = "participant_unavailable"
# Where a message is asked by, and whether asking twice asks once.
_ASKED: dict[type[Message], tuple[str, bool]] = {
    Prepare: ("/participant/prepare", True),
    Charge: ("/participant/charge", False),
}
_OVER = (CoordinatorPhase.CLOSED, CoordinatorPhase.EXHAUSTED, CoordinatorPhase.FENCED)


class Drive:
    """One transaction on its way. `answer` is set by the `Reply` effect, after the decision is durable."""

    def __init__(
        self,
        chassis: Chassis,
        journal: Journal,
        errand: Errand,
        protocol: Protocol,
        state: CoordinatorState,
        lease: Lease,
        ended: Callable[[Drive], None],
        metrics: CoordinatorMetrics,
        insert: Insert | None = None,
        recovery: Trace | None = None,
    ) -> None:
        self.errand = errand
        self.state = state
        self.answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._chassis = chassis
        self._journal = journal
        self._protocol = protocol
        self._lease = lease
        self._ended = ended
        self._insert = insert
        self._inbox: deque[Event] = deque()
        self._running = False
        self._abandoned = False
        self.commit_unknown = False
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._calling: set[tuple[str, Message]] = set()
        self._metrics = metrics
        self._spans = DriveSpans(recovery)
        self._begun_s: float | None = None

    async def feed(self, event: Event) -> None:
        """Handle an event, after those already waiting. Raises what a journal or a crash point raises."""
        self._inbox.append(event)
        if self._running:
            return
        self._running = True
        try:
            while self._inbox and not self._abandoned:
                await self._step(self._inbox.popleft())
        except BaseException as error:
            self.commit_unknown = isinstance(error, CommitUnknown)
            self._abandon()
            raise
        finally:
            self._running = False

    async def _step(self, event: Event) -> None:
        self.state, effects = self._protocol.coordinator(self.state, event)
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
        with self._spans.writing(record.phase):
            stored = await self._store(record)
        if stored:
            self._count(record)
        return stored

    def _count(self, record: TransactionRecord) -> None:
        if record.phase is CoordinatorPhase.PREPARING:
            self._begun_s = time.monotonic()
            self._metrics.begun(self.errand.kind)
        elif record.phase is CoordinatorPhase.DECIDED and record.attempts:
            self._metrics.retries.inc()
        elif record.phase is CoordinatorPhase.EXHAUSTED:
            self._metrics.gave_up.inc()

    async def _store(self, record: TransactionRecord) -> bool:
        run = self._chassis.database.run
        if record.phase is CoordinatorPhase.PREPARING:
            insert = self._insert
            if insert is None:
                raise TypeError("only a new transaction begins")
            await run(lambda tx: insert(tx, record, self._lease))
            return True
        lease_ms = self._chassis.settings.integer("gateway.lease_ms")
        lease = renew(self._lease, self._chassis.clock.now_ms(), lease_ms)
        if not await run(lambda tx: self._journal.update(tx, record, lease)):
            self._metrics.fenced.inc()
            return False
        self._lease = lease
        return True

    def _reply(self, message: Message) -> None:
        if isinstance(message, Answer) and not self.answer.done():
            self.answer.set_result(message)
            took_s = None if self._begun_s is None else time.monotonic() - self._begun_s
            self._metrics.decided(self.errand.kind, message.decision, took_s)
            self._spans.decided(message.decision, message.reason)
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
        if (to, message) in self._calling or self._chassis.stopping.is_set():
            return
        self._calling.add((to, message))
        self._chassis.spawn(self._deliver(to, message), f"{type(message).__name__} {self.errand.gid}")

    async def _deliver(self, to: str, message: Message) -> None:
        self._spans.enter(preparing=isinstance(message, Prepare))
        try:
            event = await (self._tell(to, message) if isinstance(message, Decide) else self._ask(to, message))
        finally:
            self._calling.discard((to, message))
        if event is not None and not self._abandoned:
            await self.feed(event)

    async def _ask(self, to: str, message: Message) -> Event:
        """Ask for a vote. Whoever cannot be asked counts as a no: until the decision, abort is always safe.

        (With the article's `Charge` it is not safe at all, and that is how the article has it.)
        """
        path, repeatable = _ASKED[type(message)]
        timeout_ms = self.state.timing.prepare_timeout_ms
        body = self._body()
        try:
            reply = await self._chassis.client.call(
                to, "POST", path, json=body, timeout_ms=timeout_ms, idempotent=repeatable
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
            reply = await self._chassis.client.call(
                to, "POST", "/participant/decision", json=body, idempotent=self._protocol.repeats, must_arrive=True
            )
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
        self._spans.ended(self.state.phase)
        if not self.answer.done():
            self.answer.set_exception(Overtaken(self.errand.gid))
            self.answer.add_done_callback(consume)
        self._ended(self)

    def _abandon(self) -> None:
        """A write or a crash point raised: what is durable is unknown here, so nothing more is said or done."""
        self._abandoned = True
        self._end()


def consume(answer: asyncio.Future[Answer]) -> None:
    """Mark an answer as seen: nobody may be waiting for it, and asyncio would complain about its exception."""
    if not answer.cancelled():
        answer.exception()
