"""Interpreter of the participant's protocol for a real service: SQL below, HTTP above.

How a service uses it:

    # model.py
    metadata = MetaData()
    barrier = barrier_table(metadata)                      # from settlement.chassis.participant
    VIEWS = {"audit_votes": audit_votes_view("order"), ...}

    # api.py
    driver = ParticipantDriver(chassis, OrderBusiness(chassis), barrier)
    router.include_router(driver.router())                 # POST /participant/prepare and /participant/decision, signed
    ServiceApp(router=router, start=driver.start, ...)     # recovery, then the orphan worker

`ParticipantDriver.start` is a coroutine function without arguments; await it in your own `start` if you have one.

How it works. The state lives in the database alone, so that any replica can answer any message. Every step is taken
optimistically: plan it on the state just read, do the outside half with no transaction open, then open the
transaction, read the state again and let the protocol judge the event on *that* state. Whoever overtook us meanwhile
(an abort, a duplicate) has thereby been heard. The orphan timer is not kept in memory either: the barrier row with
its `voted_at_ms` is the timer, and a worker fires those that ran out.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Generic, Literal

from fastapi import APIRouter, Depends
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict
from sqlalchemy import Row, Table
from starlette.background import BackgroundTask

from settlement.chassis.barrier import Barrier
from settlement.chassis.http_client import CallFailed
from settlement.chassis.participant import Action, Business, Gid, Outside, Payload, Unresolved
from settlement.chassis.problems import Problem
from settlement.chassis.security import signed_service
from settlement.chassis.trace import bind_gid
from settlement.protocol.crashpoints import AFTER, BEFORE, name_of
from settlement.protocol.messages import (
    ORPHAN_TIMER,
    BarrierRecord,
    Confirm,
    Decision,
    DecisionReceived,
    Effect,
    ParticipantPhase,
    Persist,
    PrepareRequested,
    Recovered,
    Release,
    Reply,
    Reserve,
    Reserved,
    Send,
    TimerFired,
    Vote,
    Voted,
)
from settlement.protocol.participant import ROLE, ParticipantState, handle
from settlement.protocol.transitions import ProtocolError

if TYPE_CHECKING:
    from settlement.chassis.app import Chassis
    from settlement.chassis.database import Transaction

ORPHANS_ASKED_MAX = 100
ORPHANS_AT_ONCE_MAX = 8
COORDINATOR_SERVICE = "gateway"

Effects = tuple[Effect, ...]


class PrepareBody(BaseModel):
    """The body of POST /participant/prepare."""

    model_config = ConfigDict(extra="forbid")

    gid: Gid
    kind: Literal["payment", "refund"]
    payload: Payload


class DecisionBody(PrepareBody):
    """The body of POST /participant/decision."""

    decision: Decision


@dataclass(frozen=True, slots=True)
class Subject:
    """The transaction a message is about."""

    gid: str
    kind: str
    payload: Payload


@dataclass(frozen=True, slots=True)
class Replying:
    """A reply that may be sent now: everything it promises is durable."""

    state: ParticipantState
    effect: Reply


class ParticipantDriver(Generic[Outside]):
    """Runs one service's `Business` under the participant's protocol."""

    def __init__(self, chassis: Chassis, business: Business[Outside], barrier: Table) -> None:
        self._chassis = chassis
        self._business = business
        self._barrier = Barrier(barrier)

    # ---- what the coordinator may ask -------------------------------------------------------------------------------

    async def prepare(self, subject: Subject) -> Replying:
        """Hold what the transaction needs and vote, durably; a duplicate gets the first answer again."""
        state, effects = handle(self._stored(subject.gid), PrepareRequested())
        if isinstance(effects[0], Reserve):
            return await self._reserve(subject, state)
        return await self._finish(state, effects)

    async def decide(self, subject: Subject, decision: Decision) -> Replying:
        """Apply a decision, durably, and acknowledge; a duplicate is only acknowledged.

        Raises Unresolved if the outside half is not certain, ProtocolError if the decision is impossible here.
        """
        known = self._barrier.read(self._chassis.database, subject.gid)
        subject = _subject_of(known) if known is not None else subject
        event = DecisionReceived(decision)
        state, effects = handle(_state_of(subject.gid, known), event)
        if isinstance(effects[0], Confirm | Release):
            return await self._apply(subject, state, effects[0], event)
        return await self._finish(state, effects)

    # ---- the two steps with business work ---------------------------------------------------------------------------

    async def _reserve(self, subject: Subject, reserving: ParticipantState) -> Replying:
        await self._pass(reserving, Reserve(), BEFORE)
        try:
            outside = await self._reach_out(Action.RESERVE, subject)
        except Unresolved as error:
            return await self._refuse_uncertain(subject, error.reason)
        async with self._chassis.database.transaction() as tx:
            row = self._barrier.find(tx, subject.gid)
            found = _state_of(subject.gid, row)
            if found.phase is ParticipantPhase.INITIAL:
                granted = self._business.reserve(tx, subject.gid, subject.kind, subject.payload, outside)
                found, event = reserving, Reserved(granted.vote, granted.reason)
            else:
                # Somebody overtook us; what we found outside is theirs to keep or ours to release: the table knows.
                event = Reserved(Vote.NO, "overtaken", uncertain=True)
            await self._pass(reserving, Reserve(), AFTER)
            state, effects = handle(found, event)
            await self._persist(tx, subject, row, state, effects)
        return await self._finish_late(subject, state, effects)

    async def _refuse_uncertain(self, subject: Subject, reason: str) -> Replying:
        found = self._stored(subject.gid)
        if found.phase is ParticipantPhase.INITIAL:
            found = replace(found, phase=ParticipantPhase.RESERVING)
        state, effects = handle(found, Reserved(Vote.NO, reason, uncertain=True))
        self._chassis.log.warning("reservation_uncertain", gid=subject.gid, reason=reason)
        return await self._finish_late(subject, state, effects)

    async def _apply(self, subject: Subject, planned: ParticipantState, work: Effect, event: DecisionReceived) -> Replying:
        action = Action.CONFIRM if isinstance(work, Confirm) else Action.RELEASE
        await self._pass(planned, work, BEFORE)
        outside = await self._reach_out(action, subject)
        async with self._chassis.database.transaction() as tx:
            row = self._barrier.find(tx, subject.gid)
            if row is not None:
                subject = _subject_of(row)
            state, effects = handle(_state_of(subject.gid, row), event)
            if isinstance(effects[0], Confirm | Release):  # otherwise somebody else applied it: only the reply is left
                local = self._business.confirm if action is Action.CONFIRM else self._business.release
                local(tx, subject.gid, subject.kind, subject.payload, outside)
                await self._pass(state, effects[0], AFTER)
                await self._persist(tx, subject, row, state, effects)
                effects = effects[1:]
        return await self._finish(state, effects)

    async def _reach_out(self, action: Action, subject: Subject) -> Outside:
        return await self._business.reach_out(action, subject.gid, subject.kind, subject.payload)

    # ---- effects ----------------------------------------------------------------------------------------------------

    async def _persist(
        self, tx: Transaction, subject: Subject, row: Row[Any] | None, state: ParticipantState, effects: Effects
    ) -> None:
        """Run the `Persist` of a step, if it has one, inside the transaction of the business work before it."""
        for effect in effects:
            if isinstance(effect, Persist):
                await self._pass(state, effect, BEFORE)
                record = effect.record
                if not isinstance(record, BarrierRecord):
                    raise TypeError(f"a participant persists barrier records, not {record!r}")
                self._barrier.write(tx, record, subject.kind, subject.payload, row, self._chassis.clock.now_ms())

    async def _finish_late(self, subject: Subject, state: ParticipantState, effects: Effects) -> Replying:
        """Finish a reservation; one that came home after the abort is released first, outside and here."""
        if effects and isinstance(effects[0], Release):
            await self._pass(state, effects[0], BEFORE)
            try:
                outside = await self._reach_out(Action.RELEASE, subject)
            except Unresolved as error:
                raise Problem(503, error.reason, "The late reservation is not released yet") from error
            async with self._chassis.database.transaction() as tx:
                self._business.release(tx, subject.gid, subject.kind, subject.payload, outside)
            await self._pass(state, effects[0], AFTER)
            effects = effects[1:]
        return await self._finish(state, effects)

    async def _finish(self, state: ParticipantState, effects: Effects) -> Replying:
        """Run what is left once everything is durable; the reply itself is sent by the caller."""
        for effect in effects:
            if isinstance(effect, Reply):
                await self._pass(state, effect, BEFORE)
                return Replying(state, effect)
            if not isinstance(effect, Persist):  # its own "before" was passed inside the transaction
                await self._pass(state, effect, BEFORE)
            await self._pass(state, effect, AFTER)
        raise ProtocolError(ROLE, state.phase, "finishing", "there is nothing to reply")

    async def _pass(self, state: ParticipantState, effect: Effect, side: str) -> None:
        await self._chassis.crash_points.passed(name_of(ROLE, state.phase, effect, side))

    # ---- recovery and termination -----------------------------------------------------------------------------------

    async def start(self) -> None:
        """Count what a restart found in doubt, and begin to look for orphans."""
        prepared = self._barrier.prepared_before(self._chassis.database, self._chassis.clock.now_ms() + 1, limit=1_000)
        for row in prepared:
            handle(ParticipantState(row.gid), Recovered(_state_of(row.gid, row).record))
        if prepared:
            self._chassis.log.info("in_doubt_at_start", count=len(prepared))
        self._chassis.every(self._orphan_interval_ms, self.ask_for_orphans, "orphans")

    async def ask_for_orphans(self) -> None:
        """Ask the coordinator about everything prepared for longer than the orphan interval, and apply the answers."""
        before_ms = self._chassis.clock.now_ms() - self._orphan_interval_ms()
        rows = self._barrier.prepared_before(self._chassis.database, before_ms, limit=ORPHANS_ASKED_MAX)
        for start in range(0, len(rows), ORPHANS_AT_ONCE_MAX):
            await asyncio.gather(*(self._resolve_orphan(row) for row in rows[start : start + ORPHANS_AT_ONCE_MAX]))

    def _orphan_interval_ms(self) -> int:
        return self._chassis.settings.integer(f"{self._chassis.service}.orphan_interval_ms")

    async def _resolve_orphan(self, row: Row[Any]) -> None:
        bind_gid(row.gid)
        state, effects = handle(_state_of(row.gid, row), TimerFired(ORPHAN_TIMER))
        if not any(isinstance(effect, Send) for effect in effects):
            return
        try:
            decision = await self._ask_outcome(state, effects)
            if decision is not None:
                await self.decide(_subject_of(row), decision)
                self._chassis.log.info("orphan_resolved", gid=row.gid, decision=decision)
        except (CallFailed, Unresolved) as error:
            self._chassis.log.warning("orphan_unresolved", gid=row.gid, error=str(error))

    async def _ask_outcome(self, state: ParticipantState, effects: Sequence[Effect]) -> Decision | None:
        reply = None
        for effect in effects:
            await self._pass(state, effect, BEFORE)
            if isinstance(effect, Send):
                path = f"/transactions/{state.gid}/outcome"
                reply = await self._chassis.client.call(COORDINATOR_SERVICE, "GET", path, idempotent=True)
            await self._pass(state, effect, AFTER)
        outcome = reply.json.get("outcome") if reply is not None and reply.status == 200 else None
        return Decision(outcome) if outcome in set(Decision) else None

    # ---- HTTP -------------------------------------------------------------------------------------------------------

    def router(self) -> APIRouter:
        """POST /participant/prepare and /participant/decision, for signed services only."""
        router = APIRouter(dependencies=[Depends(signed_service)])

        @router.post("/participant/prepare")
        async def prepare(body: PrepareBody) -> JSONResponse:
            return await self._answer_prepare(Subject(body.gid, body.kind, body.payload))

        @router.post("/participant/decision")
        async def decision(body: DecisionBody) -> JSONResponse:
            return await self._answer_decision(Subject(body.gid, body.kind, body.payload), body.decision)

        return router

    async def _answer_prepare(self, subject: Subject) -> JSONResponse:
        bind_gid(subject.gid)
        replying = await self.prepare(subject)
        voted = replying.effect.message
        if not isinstance(voted, Voted):
            raise TypeError(f"a prepare is answered with a vote, not {voted!r}")
        self._chassis.log.info("voted", gid=subject.gid, vote=voted.vote, reason=voted.reason)
        body = {"vote": voted.vote.value, "reason": voted.reason}
        return JSONResponse(body, background=self._after(replying))

    async def _answer_decision(self, subject: Subject, decision: Decision) -> JSONResponse:
        bind_gid(subject.gid)
        try:
            replying = await self.decide(subject, decision)
        except ProtocolError as error:
            self._chassis.log.error("protocol_violation", gid=subject.gid, error=str(error))
            raise Problem(409, "protocol_violation", "This decision is impossible here", str(error)) from error
        except Unresolved as error:
            self._chassis.log.warning("decision_unresolved", gid=subject.gid, reason=error.reason)
            raise Problem(503, error.reason, "The decision could not be applied yet; send it again") from error
        self._chassis.log.info("applied", gid=subject.gid, decision=decision.value)
        return JSONResponse({"ack": True}, background=self._after(replying))

    def _after(self, replying: Replying) -> BackgroundTask:
        """The crash point that only a process whose answer has left it passes."""
        return BackgroundTask(self._pass, replying.state, replying.effect, AFTER)

    def _stored(self, gid: str) -> ParticipantState:
        return _state_of(gid, self._barrier.read(self._chassis.database, gid))


def _state_of(gid: str, row: Row[Any] | None) -> ParticipantState:
    if row is None:
        return ParticipantState(gid)
    return ParticipantState(gid, ParticipantPhase(row.state), Vote(row.vote) if row.vote else None, row.reason)


def _subject_of(row: Row[Any]) -> Subject:
    return Subject(row.gid, row.kind, Payload.model_validate_json(row.payload))
