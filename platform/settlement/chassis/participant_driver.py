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

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Generic

from fastapi import APIRouter
from sqlalchemy import Row, Table

from settlement.chassis.barrier import Barrier, Replying, Standing, Subject, standing_of, state_of, subject_of
from settlement.chassis.orphans import Orphans
from settlement.chassis.participant import Action, Business, Outside, Revocable, Unresolved
from settlement.chassis.participant_routes import participant_routes
from settlement.chassis.problems import Problem
from settlement.chassis.two_phase_metrics import ParticipantMetrics
from settlement.protocol.crashpoints import AFTER, BEFORE, name_of
from settlement.protocol.effects import Collect, Confirm, Effect, Persist, Release, Reply, Reserve, Revoke
from settlement.protocol.events import ChargeRequested, Collected, DecisionReceived, Event, PrepareRequested, Reserved
from settlement.protocol.participant import ROLE, ParticipantState
from settlement.protocol.records import BarrierRecord, Decision, ParticipantPhase, Vote
from settlement.protocol.shipped import ARTICLE, PROTOCOLS
from settlement.protocol.transitions import ProtocolError

if TYPE_CHECKING:
    from settlement.chassis.app import Chassis
    from settlement.chassis.database import Transaction

Effects = tuple[Effect, ...]
Step = tuple[Row[Any] | None, ParticipantState, Effects]
_APPLIED_BY: dict[type[Effect], Action] = {
    Confirm: Action.CONFIRM,
    Release: Action.RELEASE,
    Revoke: Action.REVOKE,
}
__all__ = ["ParticipantDriver", "Replying", "Subject"]


class ParticipantDriver(Generic[Outside]):
    """Runs one service's `Business` under the participant's protocol."""

    def __init__(self, chassis: Chassis, business: Business[Outside], barrier: Table) -> None:
        self._chassis = chassis
        self._business = business
        self._barrier = Barrier(barrier)
        self._metrics = ParticipantMetrics(chassis.metrics.registry)
        self._metrics.watch(chassis, lambda: self._barrier.in_doubt(chassis.database))
        self._orphans = Orphans(chassis, self._barrier, self, self._metrics)

    # ---- what a service needs ---------------------------------------------------------------------------------------

    def router(self, *, takes_money: bool = False) -> APIRouter:
        """POST /participant/prepare and /participant/decision, for signed services only.

        Who takes money has POST /participant/charge too, which the article's protocol calls.
        """
        return participant_routes(self._chassis, self, takes_money=takes_money)

    async def start(self) -> None:
        """Count what a restart found in doubt, and begin to look for orphans."""
        await self._orphans.start()

    async def ask_for_orphans(self) -> None:
        """Ask the coordinator now about everything in doubt for longer than the orphan interval."""
        await self._orphans.ask()

    async def standings(self, gids: Sequence[str]) -> list[Standing]:
        """Where this participant stands with each of these transactions; those it never heard of are left out."""
        return [standing_of(row) for row in await self._barrier.read_all(self._chassis.database, gids)]

    # ---- what the coordinator may ask -------------------------------------------------------------------------------

    async def prepare(self, subject: Subject) -> Replying:
        """Hold what the transaction needs and vote, durably; a duplicate gets the first answer again.

        Raises Problem 409 if the gid is known as that of another transaction; its record is as it was.
        """
        known = await self._barrier.read(self._chassis.database, subject.gid)
        return await self._asked(subject, known, PrepareRequested())

    async def charge(self, subject: Subject) -> Replying:
        """The article's second phase: take the money at once, and for good; a duplicate gets the first answer again.

        Raises like `prepare`, and Problem 409 `protocol_not_spoken` unless the platform speaks that protocol.
        """
        if self._chassis.settings.text("gateway.protocol") != ARTICLE:
            raise Problem(409, "protocol_not_spoken", "Nobody charges without a decision here")
        known = await self._barrier.read(self._chassis.database, subject.gid)
        return await self._asked(subject, known, ChargeRequested())

    async def _asked(
        self, subject: Subject, known: Row[Any] | None, event: PrepareRequested | ChargeRequested
    ) -> Replying:
        state, effects = self._handle(state_of(subject.gid, known), event)
        if isinstance(effects[0], Reserve | Collect):
            return await self._reserve(subject, state, effects[0])
        replying = await self._repeat(state, effects)
        _refuse_another(known, subject)
        return replying

    async def decide(self, subject: Subject, decision: Decision) -> Replying:
        """Apply a decision, durably, and acknowledge; a duplicate is only acknowledged.

        Raises Unresolved if the outside half is not certain, ProtocolError if the decision is impossible here.
        """
        known = await self._barrier.read(self._chassis.database, subject.gid)
        subject = subject_of(known) if known is not None else subject
        event = DecisionReceived(decision)
        state, effects = self._handle(state_of(subject.gid, known), event)
        if type(effects[0]) in _APPLIED_BY:
            return await self._apply(subject, state, effects[0], event)
        return await self._repeat(state, effects)

    # ---- the two steps with business work ---------------------------------------------------------------------------

    async def _reserve(self, subject: Subject, reserving: ParticipantState, work: Reserve | Collect) -> Replying:
        action, answered = (Action.COLLECT, Collected) if isinstance(work, Collect) else (Action.RESERVE, Reserved)
        await self.passed(reserving, work, BEFORE)
        try:
            outside = await self._reach_out(action, subject)
        except Unresolved as error:
            return await self._refuse_uncertain(subject, answered(Vote.NO, error.reason, uncertain=True))

        async def step(tx: Transaction) -> Step:
            row = await self._barrier.find(tx, subject.gid)
            found = state_of(subject.gid, row)
            if found.phase is ParticipantPhase.INITIAL:
                granted = await self._business.reserve(tx, subject.gid, subject.kind, subject.payload, outside)
                if action is Action.COLLECT and granted.vote is Vote.YES:
                    await self._business.confirm(tx, subject.gid, subject.kind, subject.payload, outside)
                found, event = reserving, answered(granted.vote, granted.reason)
            else:
                # Somebody overtook us; what we found outside is theirs to keep or ours to release: the table knows.
                event = answered(Vote.NO, "overtaken", uncertain=True)
            await self.passed(reserving, work, AFTER)
            state, effects = self._handle(found, event)
            await self._persist(tx, subject, row, state, effects)
            return row, state, effects

        # A row that does not exist cannot be locked: of two first messages one finds the gid taken, and looks again.
        row, state, effects = await self._chassis.database.run(step, after_duplicate=True)
        if _writes(effects):
            self._metrics.voted(subject.kind, state.vote)
        return await self._finish_late(subject, row, state, effects)

    async def _refuse_uncertain(self, subject: Subject, answered: Reserved | Collected) -> Replying:
        row = await self._barrier.read(self._chassis.database, subject.gid)
        found = state_of(subject.gid, row)
        if found.phase is ParticipantPhase.INITIAL:
            found = replace(found, phase=ParticipantPhase.RESERVING)
        state, effects = self._handle(found, answered)
        self._chassis.log.warning("reservation_uncertain", gid=subject.gid, reason=answered.reason)
        return await self._finish_late(subject, row, state, effects)

    async def _apply(
        self, subject: Subject, planned: ParticipantState, work: Effect, event: DecisionReceived
    ) -> Replying:
        action = _APPLIED_BY[type(work)]
        await self.passed(planned, work, BEFORE)
        outside = await self._reach_out(action, subject)

        async def step(tx: Transaction) -> Step:
            row = await self._barrier.find(tx, subject.gid)
            told = subject_of(row) if row is not None else subject
            state, effects = self._handle(state_of(told.gid, row), event)
            if type(effects[0]) in _APPLIED_BY:  # otherwise somebody else applied it: only the reply is left
                await self._change(tx, _APPLIED_BY[type(effects[0])], told, outside)
                await self.passed(state, effects[0], AFTER)
                await self._persist(tx, told, row, state, effects)
                effects = effects[1:]
            return row, state, effects

        row, state, effects = await self._chassis.database.run(step, after_duplicate=True)
        if _writes(effects):
            self._metrics.applied(subject.kind, event.decision, self._held_ms(row))
        return await self._finish(state, effects)

    def _held_ms(self, before: Row[Any] | None) -> int | None:
        """How long was held what this row, as it was before its outcome, says; None if it held nothing."""
        if before is None or before.state != ParticipantPhase.PREPARED.value:
            return None
        return self._chassis.clock.now_ms() - int(before.voted_at_ms)

    async def _change(self, tx: Transaction, action: Action, told: Subject, outside: Outside) -> None:
        if action is Action.REVOKE:
            if not isinstance(self._business, Revocable):
                raise ProtocolError(ROLE, ParticipantPhase.COMMITTED, action, "what is done here is done for good")
            await self._business.revoke(tx, told.gid, told.kind, told.payload)
            return
        local = self._business.confirm if action is Action.CONFIRM else self._business.release
        await local(tx, told.gid, told.kind, told.payload, outside)

    def _handle(self, state: ParticipantState, event: Event) -> tuple[ParticipantState, Effects]:
        return PROTOCOLS[self._chassis.settings.text("gateway.protocol")].participant(state, event)

    async def _reach_out(self, action: Action, subject: Subject) -> Outside:
        return await self._business.reach_out(action, subject.gid, subject.kind, subject.payload)

    # ---- effects ----------------------------------------------------------------------------------------------------

    async def _persist(
        self, tx: Transaction, subject: Subject, row: Row[Any] | None, state: ParticipantState, effects: Effects
    ) -> None:
        """Run the `Persist` of a step, if it has one, inside the transaction of the business work before it."""
        for effect in effects:
            if isinstance(effect, Persist):
                await self.passed(state, effect, BEFORE)
                record = effect.record
                if not isinstance(record, BarrierRecord):
                    raise TypeError(f"a participant persists barrier records, not {record!r}")
                await self._barrier.write(tx, record, subject.kind, subject.payload, row, self._chassis.clock.now_ms())

    async def _finish_late(
        self, subject: Subject, row: Row[Any] | None, state: ParticipantState, effects: Effects
    ) -> Replying:
        """Finish a reservation; one that came home after the abort is released first, outside and here."""
        if effects and isinstance(effects[0], Release):
            await self.passed(state, effects[0], BEFORE)
            try:
                outside = await self._reach_out(Action.RELEASE, subject)
            except Unresolved as error:
                raise Problem(503, error.reason, "The late reservation is not released yet") from error
            await self._chassis.database.run(
                lambda tx: self._business.release(tx, subject.gid, subject.kind, subject.payload, outside)
            )
            await self.passed(state, effects[0], AFTER)
            effects = effects[1:]
        replying = await self._finish(state, effects)
        _refuse_another(row, subject)
        return replying

    async def _finish(self, state: ParticipantState, effects: Effects) -> Replying:
        """Run what is left once everything is durable; the reply itself is sent by the caller."""
        for effect in effects:
            if isinstance(effect, Reply):
                await self.passed(state, effect, BEFORE)
                return Replying(state, effect)
            if not isinstance(effect, Persist):  # its own "before" was passed inside the transaction
                await self.passed(state, effect, BEFORE)
            await self.passed(state, effect, AFTER)
        raise ProtocolError(ROLE, state.phase, "finishing", "there is nothing to reply")

    async def _repeat(self, state: ParticipantState, effects: Effects) -> Replying:
        """Answer from the record. It may have been read a moment before the disk had it; this waits for the disk."""
        await self._chassis.database.durable()
        return await self._finish(state, effects)

    async def passed(self, state: ParticipantState, effect: Effect, side: str) -> None:
        """Pass the crash point before or after an effect."""
        await self._chassis.crash_points.passed(name_of(ROLE, state.phase, effect, side))


def _writes(effects: Effects) -> bool:
    return any(isinstance(effect, Persist) for effect in effects)


def _refuse_another(known: Row[Any] | None, subject: Subject) -> None:
    """A vote says yes or no to what was asked: that of the record would be about something else."""
    if known is not None and subject_of(known) != subject:
        raise Problem(409, "payload_mismatch", "This gid belongs to another transaction")
