"""What events told: decided payments and refunds, settled batches; and the rows of a day's report."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import bindparam, func, select

from settlement.chassis.sql import insert_ignore
from settlement.services.reporting.model import decisions, settled_batches
from settlement.services.reporting.schemas import BatchSettled, Decided, Kind

if TYPE_CHECKING:
    from settlement.chassis.database import Database, Transaction
    from settlement.chassis.events import Event

# Event type -> (kind, status) of the decision that it tells of.
DECISION_EVENTS: Final = {
    "payment.succeeded": ("payment", "succeeded"),
    "payment.failed": ("payment", "failed"),
    "refund.succeeded": ("refund", "succeeded"),
    "refund.failed": ("refund", "failed"),
}
PAGE_SIZE: Final = 2_000

_ADD_DECISION = insert_ignore(decisions)
_ADD_BATCH = insert_ignore(settled_batches)
_GROUP = (decisions.c.kind, decisions.c.status, decisions.c.method, decisions.c.reason, decisions.c.currency)
_SUMMARY = (
    select(*_GROUP, func.count().label("transactions"), func.sum(decisions.c.amount_minor).label("amount_minor"))
    .where(decisions.c.day == bindparam("wanted"))
    .group_by(*_GROUP)
    .order_by(*_GROUP)
)
_TRANSACTION_COLUMNS = tuple(column for column in decisions.c if column.name != "day")
_TRANSACTIONS = (
    select(*_TRANSACTION_COLUMNS)
    .where(decisions.c.day == bindparam("wanted"), decisions.c.gid > bindparam("after"))
    .order_by(decisions.c.gid)
    .limit(PAGE_SIZE)
)
_CLEARING = (
    select(settled_batches).where(settled_batches.c.day == bindparam("wanted")).order_by(settled_batches.c.batch_id)
)
_ANY_DECISION = select(decisions.c.gid).where(decisions.c.day == bindparam("wanted")).limit(1)
COLUMNS: Final[dict[Kind, tuple[str, ...]]] = {
    "transactions": tuple(column.name for column in _TRANSACTION_COLUMNS),
    "summary": (*(column.name for column in _GROUP), "transactions", "amount_minor"),
    "clearing": tuple(column.name for column in settled_batches.c),
}


def day_of(at_ms: int) -> str:
    """The day (UTC) of a moment of the epoch."""
    return datetime.fromtimestamp(at_ms / 1_000, UTC).date().isoformat()


async def decided(tx: Transaction, event: Event) -> None:
    """Take a `payment.*` or `refund.*` event."""
    kind, status = DECISION_EVENTS[event.type]
    told = Decided.model_validate(event.data)
    row = told.model_dump() | {
        "kind": kind,
        "status": status,
        "payment_gid": told.payment_gid or told.gid,
        "reason": told.reason or "",
        "day": day_of(told.decided_at_ms),
    }
    await tx.execute(_ADD_DECISION, row)


async def settled(tx: Transaction, event: Event) -> None:
    """Take a `clearing.settled` event."""
    await tx.execute(_ADD_BATCH, BatchSettled.model_validate(event.data).model_dump())


async def has_decisions(database: Database, day: str) -> bool:
    """Whether anything was decided on a day."""
    return bool(await database.read(_ANY_DECISION, {"wanted": day}))


async def rows_of(database: Database, kind: Kind, day: str) -> list[dict[str, Any]]:
    """The rows of a report, in an order that is always the same."""
    if kind == "transactions":
        return await _transactions(database, day)
    statement = _SUMMARY if kind == "summary" else _CLEARING
    return _plain(await database.read(statement, {"wanted": day}))


async def _transactions(database: Database, day: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    after = ""
    while True:
        page = _plain(await database.read(_TRANSACTIONS, {"wanted": day, "after": after}))
        found += page
        if len(page) < PAGE_SIZE:
            return found
        after = page[-1]["gid"]


def _plain(rows: Sequence[Any]) -> list[dict[str, Any]]:
    # A server's SUM is a decimal number, even of integers.
    plain = [dict(row._mapping) for row in rows]
    return [{name: int(value) if name.endswith("_minor") else value for name, value in row.items()} for row in plain]
