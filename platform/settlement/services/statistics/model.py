"""Tables of the statistics service: counters and sums by minute.

Every event adds to the minute it happened in, not the one it arrived in. Adding is commutative and the inbox lets each
event through once, so neither order nor repetition of deliveries changes a figure.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, MetaData, String, Table

from settlement.chassis.columns import money, whole
from settlement.chassis.retention import Retention

metadata = MetaData()


def _counters(name: str, *keys: Column[str] | Column[int]) -> Table:
    return Table(
        name,
        metadata,
        Column("minute_ms", BigInteger, primary_key=True, autoincrement=False),
        *keys,
        Column("currency", String(3), primary_key=True),
        whole("events"),
        money("amount_minor"),
    )


# kind: payment | refund; status: succeeded | failed.
payment_minutes = _counters(
    "payment_minutes",
    Column("kind", String(8), primary_key=True),
    Column("status", String(16), primary_key=True),
    Column("method", String(16), primary_key=True),
)
# status: created | paid | refunded | cancelled.
order_minutes = _counters(
    "order_minutes",
    Column("status", String(16), primary_key=True),
    Column("method", String(16), primary_key=True),
)
# The share of each merchant in the orders of `order_minutes`.
merchant_minutes = _counters(
    "merchant_minutes",
    Column("status", String(16), primary_key=True),
    Column("merchant_id", BigInteger, primary_key=True, autoincrement=False),
)

VIEWS: dict[str, str] = {}


def _kept(minutes: Table) -> Retention:
    return Retention(minutes, "statistics.kept_days", lambda before_ms: minutes.c.minute_ms < before_ms)


RETENTION = tuple(map(_kept, metadata.sorted_tables))
