"""Events that their consumer could not take, set aside until an operator replays or discards them.

A failure is counted in the consumer's own database. So an outage of that database is no failure of the event (what
cannot be counted is simply delivered again), a replay is one transaction with the event's effect, and dead letters are
there whichever way events are carried, Redis or not.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import sqlalchemy as sa
from prometheus_client import Gauge

from settlement.chassis.clock import Clock
from settlement.chassis.columns import moment, number, row_id, word
from settlement.chassis.database import Database, Transaction
from settlement.chassis.events import Event
from settlement.chassis.live_settings import LiveSettings
from settlement.chassis.metrics import Metrics
from settlement.chassis.retention import Retention

ERROR_LENGTH_MAX: Final = 500
PAGE_MAX: Final = 500

metadata: Final = sa.MetaData()
dead_letters: Final = sa.Table(
    "dead_letters",
    metadata,
    row_id(),
    sa.Column("event_id", sa.String(36), nullable=False, unique=True),
    word("type", 64),
    word("subject", 128),
    sa.Column("data", sa.Text, nullable=False),
    moment("occurred_at_ms"),
    word("traceparent", 55),
    number("attempts"),
    word("error", ERROR_LENGTH_MAX),
    moment("failed_at_ms"),
    # 0 while the event is still tried again.
    sa.Column("dead", sa.SmallInteger, nullable=False),
)
_THIS: Final = dead_letters.c.event_id == sa.bindparam("of_event")
# An event that failed and then succeeded leaves its count behind, as long as its mark is kept.
RETENTION: Final = (
    Retention(
        dead_letters,
        "events.consumed_kept_days",
        lambda ms: sa.and_(dead_letters.c.dead == 0, dead_letters.c.failed_at_ms < ms),
    ),
    Retention(
        dead_letters,
        "events.dead_letters_kept_days",
        lambda ms: sa.and_(dead_letters.c.dead == 1, dead_letters.c.failed_at_ms < ms),
    ),
)
_COUNTED: Final = sa.select(dead_letters.c.attempts, dead_letters.c.dead).where(_THIS).with_for_update()
_COUNT_AGAIN: Final = sa.update(dead_letters).where(_THIS)
_DEAD: Final = (
    sa.select(dead_letters)
    .where(dead_letters.c.dead == 1)
    .where(dead_letters.c.id > sa.bindparam("after"))
    .order_by(dead_letters.c.id)
    .limit(sa.bindparam("count", type_=sa.Integer))
)
_DEAD_OF: Final = (
    sa.select(dead_letters)
    .where(dead_letters.c.dead == 1)
    .where(dead_letters.c.event_id.in_(sa.bindparam("event_ids", expanding=True)))
    .order_by(dead_letters.c.id)
)
_HOW_MANY: Final = sa.select(sa.func.count()).select_from(dead_letters).where(dead_letters.c.dead == 1)


@dataclass(frozen=True)
class DeadLetter:
    """An event that failed `attempts` times, the last time at `failed_at_ms` with `error`. `id` orders them."""

    id: int
    event: Event
    attempts: int
    error: str
    failed_at_ms: int


class DeadLetters:
    """The dead letters of one service, in its database."""

    def __init__(self, database: Database, settings: LiveSettings, clock: Clock) -> None:
        self._database = database
        self._settings = settings
        self._clock = clock

    def expose(self, metrics: Metrics) -> None:
        """Show how many there are."""
        gauge = Gauge("paylab_dead_letters", "Events set aside for an operator", registry=metrics.registry)

        async def look_up() -> None:
            gauge.set(await self.count())

        metrics.at_exposition(look_up)

    async def failed(self, event: Event, error: Exception) -> bool:
        """Count a failure; true if the event is a dead letter by now and need not be delivered again."""
        text = f"{type(error).__name__}: {error}"[:ERROR_LENGTH_MAX]
        attempts_max = self._settings.integer("events.attempts_max")

        async def count(tx: Transaction) -> bool:
            counted = (await tx.execute(_COUNTED, {"of_event": event.event_id})).one_or_none()
            attempts = 1 if counted is None else counted.attempts + 1
            dead = attempts >= attempts_max or (counted is not None and bool(counted.dead))
            values = {"attempts": attempts, "dead": int(dead), "error": text, "failed_at_ms": self._clock.now_ms()}
            if counted is None:
                await tx.execute(sa.insert(dead_letters), {**_columns_of(event), **values})
            else:
                await tx.execute(_COUNT_AGAIN.values(values), {"of_event": event.event_id})
            return dead

        return await self._database.run(count)

    async def remove(self, tx: Transaction, event_ids: Sequence[str]) -> int:
        """Forget these dead letters in the caller's transaction; returns how many there were."""
        if not event_ids:
            return 0
        condition = dead_letters.c.event_id.in_(event_ids)
        return (await tx.execute(sa.delete(dead_letters).where(condition, dead_letters.c.dead == 1))).rowcount

    async def page(self, after: int = 0, count: int = PAGE_MAX) -> list[DeadLetter]:
        """The oldest dead letters with an `id` above `after`."""
        rows = await self._database.read(_DEAD, {"after": after, "count": count})
        return [_letter(row) for row in rows]

    async def of(self, event_ids: Sequence[str]) -> list[DeadLetter]:
        """The dead letters among these events."""
        return [_letter(row) for row in await self._database.read(_DEAD_OF, {"event_ids": list(event_ids)})]

    async def discard_all(self) -> int:
        """Forget every dead letter; returns how many there were."""
        return (await self._database.write(sa.delete(dead_letters).where(dead_letters.c.dead == 1))).rowcount

    async def count(self) -> int:
        """How many dead letters there are."""
        return int((await self._database.read(_HOW_MANY))[0][0])


def _columns_of(event: Event) -> dict[str, Any]:
    return {
        "event_id": event.event_id,
        "type": event.type,
        "subject": event.subject,
        "data": json.dumps(event.data),
        "occurred_at_ms": event.occurred_at_ms,
        "traceparent": event.traceparent,
    }


def _letter(row: sa.Row[Any]) -> DeadLetter:
    event = Event(row.event_id, row.type, row.subject, json.loads(row.data), row.occurred_at_ms, row.traceparent)
    return DeadLetter(row.id, event, row.attempts, row.error, row.failed_at_ms)
