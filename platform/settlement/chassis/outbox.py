"""Transactional outbox: an event is written in the transaction that causes it, and carried on at least once afterwards.

How it travels is the carrier's business (`relay_http`, `streams`): one row per event and recipient, deleted when the
carrier had it confirmed. Subscribers record the event id in the transaction of their effect (`inbox`), so that a second
delivery does nothing. Replicas of a service share the table: each delivers what it wrote itself, and after
ORPHAN_AFTER_MS also what others left lying (they may be dead).
"""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import Sequence
from typing import Any, Final

import sqlalchemy as sa
from structlog.typing import FilteringBoundLogger

from settlement.chassis.clock import Clock
from settlement.chassis.columns import moment, row_id, word
from settlement.chassis.database import Database, Transaction
from settlement.chassis.events import Carrier, Event
from settlement.chassis.live_settings import LiveSettings
from settlement.chassis.trace import current_trace
from settlement.topology import ORPHAN_AFTER_MS

RETRY_AFTER_MS: Final = 500
# A recipient that failed is left alone for this many times as long as the failure took.
PATIENCE: Final = 2
# An event has several recipients, so a page of rows must have room for some batches, or none of them is ever full.
RECIPIENTS_A_PAGE: Final = 8

metadata: Final = sa.MetaData()
events: Final = sa.Table(
    "outbox_events",
    metadata,
    row_id(),
    word("event_id", 36),
    word("subscriber", 32),
    word("type", 64),
    word("subject", 128),
    sa.Column("data", sa.Text, nullable=False),
    word("traceparent", 55),
    word("replica", 64),
    moment("created_at_ms"),
    moment("next_attempt_at_ms"),
)
_ADD: Final = sa.insert(events)
_DELETE: Final = sa.delete(events).where(events.c.id.in_(sa.bindparam("ids", expanding=True)))
_POSTPONE: Final = (
    sa.update(events)
    .where(events.c.id.in_(sa.bindparam("ids", expanding=True)))
    .values(next_attempt_at_ms=sa.bindparam("at_ms"))
)
_DUE: Final = (
    sa.select(events)
    .where(events.c.next_attempt_at_ms <= sa.bindparam("now_ms"))
    .where(
        sa.or_(
            events.c.replica == sa.bindparam("replica"),
            events.c.created_at_ms <= sa.bindparam("orphaned_before_ms"),
        )
    )
    .where(events.c.subscriber.not_in(sa.bindparam("held_back", expanding=True)))
    .order_by(events.c.id)
    .limit(sa.bindparam("count", type_=sa.Integer))
)


class Outbox:
    """Writes events into the caller's transaction, and relays them afterwards."""

    def __init__(
        self,
        replica: str,
        database: Database,
        carrier: Carrier,
        settings: LiveSettings,
        clock: Clock,
        log: FilteringBoundLogger,
    ) -> None:
        self._replica = replica
        self._database = database
        self._carrier = carrier
        self._settings = settings
        self._clock = clock
        self._log = log
        self._held_back: dict[str, int] = {}

    async def add(self, tx: Transaction, *, type: str, subject: str, data: dict[str, Any]) -> None:  # noqa: A002
        """Record an event for every service that subscribed to its type (see topology.SUBSCRIPTIONS)."""
        now_ms = self._clock.now_ms()
        event = {"event_id": str(uuid.uuid4()), "type": type, "subject": subject,
                 "data": json.dumps(data), "traceparent": current_trace().traceparent(),
                 "replica": self._replica, "created_at_ms": now_ms, "next_attempt_at_ms": now_ms}  # fmt: skip
        rows = [{**event, "subscriber": subscriber} for subscriber in self._carrier.recipients(type)]
        if rows:
            await tx.execute(_ADD, rows)

    async def relay(self) -> int:
        """Deliver what is due, to all recipients at once; returns how many rows were confirmed."""
        confirmed, size = 0, self._settings.integer("outbox.batch_size_max")
        while self._carrier.ready():
            due = await self._due(size * RECIPIENTS_A_PAGE)
            recipients = dict.fromkeys(row.subscriber for row in due)
            batches = {name: [row for row in due if row.subscriber == name][:size] for name in recipients}
            confirmed += sum(await asyncio.gather(*(self._deliver(name, rows) for name, rows in batches.items())))
            # A full page was in part somebody's who cannot be reached: behind it there may be others' events. Each
            # round confirms, postpones or holds back something, so there is a last one.
            if len(due) < size * RECIPIENTS_A_PAGE and sum(map(len, batches.values())) == len(due):
                break
        return confirmed

    async def _due(self, count: int) -> Sequence[sa.Row[Any]]:
        now_ms = self._clock.now_ms()
        self._held_back = {name: until_ms for name, until_ms in self._held_back.items() if until_ms > now_ms}
        return await self._database.read(
            _DUE,
            {
                "now_ms": now_ms,
                "replica": self._replica,
                "orphaned_before_ms": now_ms - ORPHAN_AFTER_MS,
                "held_back": list(self._held_back),
                "count": count,
            },
        )

    async def _deliver(self, recipient: str, rows: Sequence[sa.Row[Any]]) -> int:
        begun_ms = self._clock.monotonic_ms()
        accepted = await self._carrier.deliver(recipient, [_event(row) for row in rows])
        if not accepted:
            # Who lets us wait is left alone the longer, and whatever waits for them holds up nobody else.
            pause_ms = max(RETRY_AFTER_MS, round(PATIENCE * (self._clock.monotonic_ms() - begun_ms)))
            self._held_back[recipient] = self._clock.now_ms() + pause_ms
        done = [row.id for row in rows if row.event_id in accepted]
        missed = [row.id for row in rows if row.event_id not in accepted]

        async def body(tx: Transaction) -> None:
            if done:
                await tx.execute(_DELETE, {"ids": done})
            if missed:
                await tx.execute(_POSTPONE, {"ids": missed, "at_ms": self._clock.now_ms() + RETRY_AFTER_MS})

        await self._database.run(body)
        return len(done)


def _event(row: sa.Row[Any]) -> Event:
    return Event(row.event_id, row.type, row.subject, json.loads(row.data), row.created_at_ms, row.traceparent)
