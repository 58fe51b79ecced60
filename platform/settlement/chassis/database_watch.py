"""Databases seen from outside: transactions as spans, connections as gauges."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import wraps
from typing import TYPE_CHECKING, Any

from prometheus_client import Counter, Gauge

from settlement.chassis.trace import SpanKind, current_trace, span

if TYPE_CHECKING:
    from settlement.chassis.database import Database, Transaction
    from settlement.chassis.metrics import Metrics

Opening = Callable[..., AbstractAsyncContextManager[Any]]


def recorded(opening: Opening) -> Opening:
    """A method that opens transactions, with a span from asking for the connection until the commit is durable."""

    @wraps(opening)
    def opened(database: Any, *, durable: bool = True) -> AbstractAsyncContextManager[Any]:
        transaction = opening(database, durable=durable)
        return transaction if current_trace().span is None else _under_span(transaction, durable)

    return opened


@asynccontextmanager
async def _under_span(opening: AbstractAsyncContextManager[Transaction], durable: bool) -> AsyncIterator[Transaction]:
    with span("transaction", SpanKind.CLIENT, {"paylab.durable": durable}):
        async with opening as tx:
            yield tx


def watch_pool(database: Database, metrics: Metrics) -> None:
    """Have the connections counted whenever somebody scrapes."""
    connections = Gauge(
        "paylab_database_connections", "Connections to the database, by state: in_use or idle", ["state"],
        registry=metrics.registry,
    )  # fmt: skip
    waiting = Gauge("paylab_database_waiting", "Who waits for a connection now", registry=metrics.registry)
    waits = Counter("paylab_database_waits", "How often somebody had to wait for one", registry=metrics.registry)
    seen = 0

    async def look_up() -> None:
        nonlocal seen
        stats = database.pool_stats()
        connections.labels("in_use").set(stats.in_use)
        connections.labels("idle").set(max(0, stats.size - stats.in_use))
        waiting.set(stats.waiting)
        waits.inc(max(0, stats.waits_total - seen))
        seen = stats.waits_total

    metrics.at_exposition(look_up)
