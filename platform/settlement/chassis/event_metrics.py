"""Events seen from outside: consumers that are recorded and counted, and how much waits in the outbox."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import sqlalchemy as sa
from prometheus_client import Counter, Gauge

from settlement.chassis import outbox
from settlement.chassis.trace import (
    GID_FORM,
    Attributes,
    Recording,
    SpanKind,
    continued_trace,
    enter_trace,
    leave_trace,
    started,
)

if TYPE_CHECKING:
    from settlement.chassis.app import Chassis
    from settlement.chassis.database import Transaction
    from settlement.chassis.events import Event
    from settlement.chassis.inbox import Consumer

_WAITING = sa.select(
    outbox.events.c.subscriber,
    sa.func.count().label("waiting"),
    sa.func.min(outbox.events.c.created_at_ms).label("oldest_at_ms"),
).group_by(outbox.events.c.subscriber)


def watched(consumers: Mapping[str, Consumer], chassis: Chassis) -> dict[str, Consumer]:
    """The same consumers, each call counted and part of the trace that caused its event."""
    if not consumers:
        return {}
    counter = Counter(
        "paylab_events_consumed",
        "Events handled, by outcome: done or failed; one delivered again after its mark was written is not handled",
        ["type", "outcome"], registry=chassis.metrics.registry,
    )  # fmt: skip
    return {kind: _watched(consumer, chassis, counter) for kind, consumer in consumers.items()}


def _watched(consumer: Consumer, chassis: Chassis, counter: Counter) -> Consumer:
    async def consume(tx: Transaction, event: Event) -> None:
        try:
            await _in_its_trace(consumer, chassis, tx, event)
        except BaseException:
            counter.labels(event.type, "failed").inc()
            raise
        counter.labels(event.type, "done").inc()

    return consume


async def _in_its_trace(consumer: Consumer, chassis: Chassis, tx: Transaction, event: Event) -> None:
    gid = str(event.data.get("gid") or "")
    origin = chassis.tracing.continued(event.traceparent)
    if origin is None:
        token = enter_trace(continued_trace(event.traceparent, gid))
        try:
            await consumer(tx, event)
        finally:
            leave_trace(token)
        return
    parent, tracer = origin
    waited_s = max(0, chassis.clock.now_ms() - event.occurred_at_ms) / 1_000
    about: Attributes = {
        "paylab.event_id": event.event_id,
        "paylab.subject": event.subject,
        "paylab.waited_s": waited_s,
    }
    name = f"consume {event.type}"
    with Recording(started(parent, tracer, name, SpanKind.CONSUMER, about, gid if GID_FORM.fullmatch(gid) else "")):
        await consumer(tx, event)


def watch_outbox(chassis: Chassis) -> None:
    """Have the outbox looked at whenever somebody scrapes; all replicas of a service share it."""
    backlog = Gauge(
        "paylab_outbox_backlog", "Events not yet confirmed by a subscriber; of the whole service", ["subscriber"],
        registry=chassis.metrics.registry,
    )  # fmt: skip
    oldest = Gauge(
        "paylab_outbox_oldest_age_seconds", "Age of the oldest event not yet confirmed; of the whole service",
        ["subscriber"], registry=chassis.metrics.registry,
    )  # fmt: skip

    async def look_up() -> None:
        rows = await chassis.database.read(_WAITING)
        now_ms = chassis.clock.now_ms()
        backlog.clear()
        oldest.clear()
        for row in rows:
            backlog.labels(row.subscriber).set(row.waiting)
            oldest.labels(row.subscriber).set(max(0, now_ms - row.oldest_at_ms) / 1_000)

    chassis.metrics.at_exposition(look_up)
