"""The participant's side of termination: whoever has been in doubt for too long asks the coordinator.

The orphan timer of the protocol is not kept in memory: the barrier row with its `voted_at_ms` is the timer, and this
worker fires those that ran out. It never decides anything alone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

from sqlalchemy import Row

from settlement.chassis.barrier import Barrier, state_of, subject_of
from settlement.chassis.http_client import CallFailed
from settlement.chassis.participant import Unresolved
from settlement.chassis.trace import Recording, bind_gid
from settlement.protocol.crashpoints import AFTER, BEFORE
from settlement.protocol.effects import ORPHAN_TIMER, Effect, Send
from settlement.protocol.events import Recovered, TimerFired
from settlement.protocol.participant import ParticipantState, handle
from settlement.protocol.records import Decision

if TYPE_CHECKING:
    from settlement.chassis.app import Chassis
    from settlement.chassis.participant_driver import ParticipantDriver
    from settlement.chassis.two_phase_metrics import ParticipantMetrics

ORPHANS_ASKED_MAX = 100
ORPHANS_AT_ONCE_MAX = 8
COORDINATOR_SERVICE = "gateway"


class Orphans:
    """The transactions that one service has been in doubt about for too long."""

    def __init__(
        self, chassis: Chassis, barrier: Barrier, driver: ParticipantDriver[Any], metrics: ParticipantMetrics
    ) -> None:
        self._metrics = metrics
        self._chassis = chassis
        self._barrier = barrier
        self._driver = driver

    async def start(self) -> None:
        """Count what a restart found in doubt, and begin to look for orphans."""
        prepared = await self._barrier.prepared_before(
            self._chassis.database, self._chassis.clock.now_ms() + 1, limit=1_000
        )
        for row in prepared:
            handle(ParticipantState(row.gid), Recovered(state_of(row.gid, row).record))
        if prepared:
            self._chassis.log.info("in_doubt_at_start", count=len(prepared))
        self._chassis.every(self._interval_ms, self.ask, "orphans")

    async def ask(self) -> None:
        """Ask the coordinator about everything prepared for longer than the orphan interval, and apply the answers."""
        before_ms = self._chassis.clock.now_ms() - self._interval_ms()
        rows = await self._barrier.prepared_before(self._chassis.database, before_ms, limit=ORPHANS_ASKED_MAX)
        if not rows:
            return
        gids, now_ms = [row.gid for row in rows], self._chassis.clock.now_ms()
        await self._chassis.database.run(lambda tx: self._barrier.asked(tx, gids, now_ms))
        self._metrics.inquiries.inc(len(gids))
        for start in range(0, len(rows), ORPHANS_AT_ONCE_MAX):
            await asyncio.gather(*(self._resolve(row) for row in rows[start : start + ORPHANS_AT_ONCE_MAX]))

    def _interval_ms(self) -> int:
        return self._chassis.settings.integer(f"{self._chassis.service}.orphan_interval_ms")

    async def _resolve(self, row: Row[Any]) -> None:
        bind_gid(row.gid)
        recovery = self._chassis.tracing.of_recovery("2pc orphan", row.gid)
        with nullcontext() if recovery is None else Recording(recovery):
            await self._ask_and_apply(row)

    async def _ask_and_apply(self, row: Row[Any]) -> None:
        state, effects = handle(state_of(row.gid, row), TimerFired(ORPHAN_TIMER))
        if not any(isinstance(effect, Send) for effect in effects):
            return
        try:
            decision = await self._ask_outcome(state, effects)
            if decision is not None:
                await self._driver.decide(subject_of(row), decision)
                self._metrics.recovered("orphan")
                self._chassis.log.info("orphan_resolved", gid=row.gid, decision=decision)
        except (CallFailed, Unresolved) as error:
            self._chassis.log.warning("orphan_unresolved", gid=row.gid, error=str(error))

    async def _ask_outcome(self, state: ParticipantState, effects: Sequence[Effect]) -> Decision | None:
        reply = None
        for effect in effects:
            await self._driver.passed(state, effect, BEFORE)
            if isinstance(effect, Send):
                path = f"/transactions/{state.gid}/outcome"
                reply = await self._chassis.client.call(
                    COORDINATOR_SERVICE, "GET", path, idempotent=True, must_arrive=True
                )
            await self._driver.passed(state, effect, AFTER)
        outcome = reply.json.get("outcome") if reply is not None and reply.status == 200 else None
        return Decision(outcome) if outcome in set(Decision) else None
