"""From events to counters."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import Table, Update, bindparam, update

from settlement.chassis.sql import insert_ignore
from settlement.services.statistics.model import merchant_minutes, order_minutes, payment_minutes
from settlement.services.statistics.schemas import DecidedEvent, OrderEvent

if TYPE_CHECKING:
    from settlement.chassis.database import Transaction
    from settlement.chassis.events import Event
    from settlement.chassis.inbox import Consumer

MINUTE_MS: Final = 60_000
ORDER_EVENTS: Final = ("order.created", "order.cancelled", "order.paid", "order.refunded")
DECISION_EVENTS: Final = ("payment.succeeded", "payment.failed", "refund.succeeded", "refund.failed")


class Counter:
    """One table of counters."""

    def __init__(self, table: Table) -> None:
        self._keys = tuple(column.name for column in table.primary_key)
        self._add = _adding(table, self._keys)
        self._create = insert_ignore(table)

    async def add(self, tx: Transaction, amount_minor: int, **key: Any) -> None:
        """Count one event over this amount under `key`, which names every key column."""
        step = {**{f"the_{name}": key[name] for name in self._keys}, "more_minor": amount_minor}
        if (await tx.execute(self._add, step)).rowcount == 0:
            # Nobody counted here before. If another replica creates the row first, both add to it all the same.
            await tx.execute(self._create, {**key, "events": 0, "amount_minor": 0})
            await tx.execute(self._add, step)


def _adding(table: Table, keys: tuple[str, ...]) -> Update:
    these = (table.c[name] == bindparam(f"the_{name}") for name in keys)
    more = table.c.amount_minor + bindparam("more_minor")
    return update(table).where(*these).values(events=table.c.events + 1, amount_minor=more)


_PAYMENTS, _ORDERS, _MERCHANTS = Counter(payment_minutes), Counter(order_minutes), Counter(merchant_minutes)


async def count_order(tx: Transaction, event: Event) -> None:
    """Count an `order.*` event, as a whole and for each merchant."""
    told = OrderEvent.model_validate(event.data)
    status = event.type.removeprefix("order.")
    when = {"minute_ms": minute_of(told.at_ms), "status": status, "currency": told.currency}
    await _ORDERS.add(tx, told.amount_minor, **when, method=told.method)
    # In one order for everybody, so that transactions on a database with row locks seldom wait in a circle.
    for share in sorted(told.merchants, key=lambda share: share.merchant_id):
        await _MERCHANTS.add(tx, share.amount_minor, **when, merchant_id=share.merchant_id)


async def count_decision(tx: Transaction, event: Event) -> None:
    """Count a `payment.*` or `refund.*` event."""
    told = DecidedEvent.model_validate(event.data)
    kind, _, status = event.type.partition(".")
    key = {"minute_ms": minute_of(told.decided_at_ms), "currency": told.currency, "method": told.method}
    await _PAYMENTS.add(tx, told.amount_minor, **key, kind=kind, status=status)


def minute_of(at_ms: int) -> int:
    """The beginning of the minute that a moment is in."""
    return at_ms // MINUTE_MS * MINUTE_MS


def consumers() -> dict[str, Consumer]:
    """Who counts which event."""
    return {**dict.fromkeys(ORDER_EVENTS, count_order), **dict.fromkeys(DECISION_EVENTS, count_decision)}
