"""Statements: what the channel booked in a period, page by page, with the errors that were planted into them."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import String, bindparam, or_, select

from settlement.services.channel.model import entries, planted_lines
from settlement.services.channel.schemas import ChannelName, PeriodStatement, Statement, StatementEntry

if TYPE_CHECKING:
    from settlement.chassis.database import Database

DAY_MS: Final = 86_400_000
# Planted lines are numbered from here on: after every line of the ledger, and never like one.
PLANTED_FROM: Final = 2**52

_HIDDEN = select(planted_lines.c.hides_entry_id).where(planted_lines.c.hides_entry_id.is_not(None))
_OF_CHANNEL = bindparam("of_channel", type_=String)
_ENTRIES = (
    select(entries)
    .where(
        entries.c.booked_at_ms >= bindparam("from_ms"),
        entries.c.booked_at_ms < bindparam("until_ms"),
        entries.c.id > bindparam("after"),
        or_(_OF_CHANNEL == "", entries.c.channel == _OF_CHANNEL),
        entries.c.id.not_in(_HIDDEN),
    )
    .order_by(entries.c.id)
    .limit(bindparam("page_size"))
)
_PLANTED = (
    select(planted_lines)
    .where(
        planted_lines.c.booked_at_ms >= bindparam("from_ms"),
        planted_lines.c.booked_at_ms < bindparam("until_ms"),
        planted_lines.c.id > bindparam("after"),
        or_(_OF_CHANNEL == "", planted_lines.c.channel == _OF_CHANNEL),
    )
    .order_by(planted_lines.c.id)
    .limit(bindparam("page_size"))
)


async def statement(database: Database, day: date, *, after: int, limit: int) -> Statement:
    """Up to `limit` lines of `day` (UTC), of all channels, with an id above `after`."""
    from_ms = int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()) * 1000
    shown, next_after = await _page(database, "", from_ms, from_ms + DAY_MS, after, limit)
    return Statement(day=day.isoformat(), entries=shown, next_after=next_after)


async def period_statement(
    database: Database, channel: ChannelName, from_ms: int, until_ms: int, *, after: int, limit: int
) -> PeriodStatement:
    """Up to `limit` lines of one channel booked in [from_ms, until_ms), with an id above `after`."""
    shown, next_after = await _page(database, channel, from_ms, until_ms, after, limit)
    return PeriodStatement(channel=channel, from_ms=from_ms, until_ms=until_ms, entries=shown, next_after=next_after)


async def _page(
    database: Database, channel: str, from_ms: int, until_ms: int, after: int, limit: int
) -> tuple[list[StatementEntry], int | None]:
    """A page and where the next one begins; None if there is none."""
    asked: dict[str, Any] = {"of_channel": channel, "from_ms": from_ms, "until_ms": until_ms, "page_size": limit + 1}
    lines: list[dict[str, Any]] = []
    if after < PLANTED_FROM:
        lines = [dict(row._mapping) for row in await database.read(_ENTRIES, {**asked, "after": after})]
    if len(lines) <= limit:
        asked |= {"after": max(0, after - PLANTED_FROM), "page_size": limit + 1 - len(lines)}
        planted = [dict(row._mapping) for row in await database.read(_PLANTED, asked)]
        lines += [{**line, "id": PLANTED_FROM + line["id"]} for line in planted]
    shown = [StatementEntry.model_validate(line) for line in lines[:limit]]
    return shown, shown[-1].id if len(lines) > limit else None
