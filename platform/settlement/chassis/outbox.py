"""Transactional outbox: an event is written in the transaction that causes it, and pushed at least once afterwards.

One row per event and subscriber, deleted when the subscriber confirmed it. Subscribers record the event id in the
transaction of their effect, so that a second delivery does nothing. Replicas of a service share the table: each
delivers what it wrote itself, and after ORPHAN_AFTER_MS also what others left lying (they may be dead).
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import sqlalchemy as sa
from structlog.typing import FilteringBoundLogger

from settlement.chassis.clock import Clock
from settlement.chassis.database import Database, Transaction
from settlement.chassis.http_client import CallFailed, ServiceClient
from settlement.chassis.live_settings import LiveSettings
from settlement.chassis.sql import insert_ignore
from settlement.chassis.trace import current_trace
from settlement.topology import SUBSCRIPTIONS

ORPHAN_AFTER_MS: Final = 5_000
RETRY_AFTER_MS: Final = 500
CONSUMED_KEPT_MS: Final = 7 * 86_400_000

metadata: Final = sa.MetaData()
events: Final = sa.Table(
    "outbox_events",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("event_id", sa.String(36), nullable=False),
    sa.Column("subscriber", sa.String(32), nullable=False),
    sa.Column("type", sa.String(64), nullable=False),
    sa.Column("subject", sa.String(128), nullable=False),
    sa.Column("data", sa.Text, nullable=False),
    sa.Column("traceparent", sa.String(55), nullable=False),
    sa.Column("replica", sa.String(64), nullable=False),
    sa.Column("created_at_ms", sa.BigInteger, nullable=False),
    sa.Column("next_attempt_at_ms", sa.BigInteger, nullable=False),
)
consumed: Final = sa.Table(
    "consumed_events",
    metadata,
    sa.Column("event_id", sa.String(36), primary_key=True),
    sa.Column("consumed_at_ms", sa.BigInteger, nullable=False),
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
    .order_by(events.c.id)
    .limit(sa.bindparam("count", type_=sa.Integer))
)
_CONSUME: Final = insert_ignore(consumed)


@dataclass(frozen=True)
class Event:
    """Something that happened, in the past tense: `type` like `order.created`, `subject` what it happened to."""

    event_id: str
    type: str
    subject: str
    data: dict[str, Any]
    occurred_at_ms: int


Consumer = Callable[[Transaction, Event], Awaitable[None]]


class Outbox:
    """Writes events into the caller's transaction and relays them to the subscribers."""

    def __init__(
        self,
        replica: str,
        database: Database,
        client: ServiceClient,
        settings: LiveSettings,
        clock: Clock,
        log: FilteringBoundLogger,
    ) -> None:
        self._replica = replica
        self._database = database
        self._client = client
        self._settings = settings
        self._clock = clock
        self._log = log

    async def add(self, tx: Transaction, *, type: str, subject: str, data: dict[str, Any]) -> None:  # noqa: A002
        """Record an event for every service that subscribed to its type (see topology.SUBSCRIPTIONS)."""
        now_ms = self._clock.now_ms()
        event_id = str(uuid.uuid4())
        for subscriber in SUBSCRIPTIONS.get(type, ()):
            row = {"event_id": event_id, "subscriber": subscriber, "type": type, "subject": subject,
                   "data": json.dumps(data), "traceparent": current_trace().traceparent(),
                   "replica": self._replica, "created_at_ms": now_ms, "next_attempt_at_ms": now_ms}  # fmt: skip
            await tx.execute(_ADD, row)

    async def relay(self) -> int:
        """Deliver what is due, one batch per subscriber; returns how many events were confirmed."""
        now_ms = self._clock.now_ms()
        due = await self._database.read(
            _DUE,
            {
                "now_ms": now_ms,
                "replica": self._replica,
                "orphaned_before_ms": now_ms - ORPHAN_AFTER_MS,
                "count": self._settings.integer("outbox.batch_size_max"),
            },
        )
        confirmed = 0
        for subscriber in dict.fromkeys(row.subscriber for row in due):
            confirmed += await self._deliver(subscriber, [row for row in due if row.subscriber == subscriber])
        return confirmed

    async def _deliver(self, subscriber: str, rows: Sequence[sa.Row[Any]]) -> int:
        body = {"events": [_wire_form(row) for row in rows]}
        accepted: set[str] = set()
        try:
            reply = await self._client.call(subscriber, "POST", "/events", json=body, idempotent=True)
            if reply.status == 200:
                accepted = set(reply.json["accepted"])
            else:
                self._log.warning("events_refused", subscriber=subscriber, status=reply.status)
        except CallFailed as error:
            self._log.warning("events_not_delivered", subscriber=subscriber, error=str(error))
        done = [row.id for row in rows if row.event_id in accepted]
        missed = [row.id for row in rows if row.event_id not in accepted]
        async with self._database.transaction() as tx:
            if done:
                await tx.execute(_DELETE, {"ids": done})
            if missed:
                await tx.execute(_POSTPONE, {"ids": missed, "at_ms": self._clock.now_ms() + RETRY_AFTER_MS})
        return len(done)


class Inbox:
    """Takes delivered events, each in one transaction with the mark that it was consumed."""

    def __init__(
        self, database: Database, consumers: dict[str, Consumer], clock: Clock, log: FilteringBoundLogger
    ) -> None:
        self._database = database
        self._consumers = consumers
        self._clock = clock
        self._log = log

    async def take(self, batch: Sequence[Event]) -> list[str]:
        """Consume a batch; returns the ids of the events that need not be delivered again."""
        return [event.event_id for event in batch if await self._consumed(event)]

    async def _consumed(self, event: Event) -> bool:
        consumer = self._consumers.get(event.type)
        if consumer is None:
            return True  # nobody here wants it: a delivery repeated for ever would change nothing
        try:
            async with self._database.transaction() as tx:
                mark = {"event_id": event.event_id, "consumed_at_ms": self._clock.now_ms()}
                if (await tx.execute(_CONSUME, mark)).rowcount:
                    await consumer(tx, event)
        except Exception:  # noqa: BLE001 - one bad event must not hold up the others; it is delivered again
            self._log.exception("event_not_consumed", event_id=event.event_id, type=event.type)
            return False
        return True

    async def forget_old(self) -> None:
        """Drop marks so old that nobody can still deliver their events."""
        before = self._clock.now_ms() - CONSUMED_KEPT_MS
        async with self._database.transaction() as tx:
            await tx.execute(sa.delete(consumed).where(consumed.c.consumed_at_ms < before))


def _wire_form(row: sa.Row[Any]) -> dict[str, Any]:
    return {
        "event_id": row.event_id,
        "type": row.type,
        "subject": row.subject,
        "data": json.loads(row.data),
        "occurred_at_ms": row.created_at_ms,
    }
