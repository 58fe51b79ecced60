"""Statements: what the channel booked on one day (UTC), page by page."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import TYPE_CHECKING

from sqlalchemy import bindparam, select

from settlement.services.channel.model import entries
from settlement.services.channel.schemas import Statement, StatementEntry

if TYPE_CHECKING:
    from settlement.chassis.database import Database

DAY_MS = 86_400_000

_ENTRIES = (
    select(entries)
    .where(
        entries.c.booked_at_ms >= bindparam("from_ms"),
        entries.c.booked_at_ms < bindparam("until_ms"),
        entries.c.id > bindparam("after"),
    )
    .order_by(entries.c.id)
    .limit(bindparam("page_size"))
)


async def statement(database: Database, day: date, *, after: int, limit: int) -> Statement:
    """Up to `limit` entries of `day` with an id above `after`."""
    from_ms = int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()) * 1000
    parameters = {"from_ms": from_ms, "until_ms": from_ms + DAY_MS, "after": after, "page_size": limit + 1}
    rows = await database.read(_ENTRIES, parameters)
    shown = [StatementEntry.model_validate(dict(row._mapping)) for row in rows[:limit]]
    return Statement(day=day.isoformat(), entries=shown, next_after=shown[-1].id if len(rows) > limit else None)
