"""What users do with the orders they have: look at them, cancel them; and the worker that cancels those nobody paid."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from sqlalchemy import Row, bindparam, select, update

from settlement.chassis.problems import Problem
from settlement.services.order.events import publish
from settlement.services.order.model import OrderStatus, orders
from settlement.services.order.schemas import OrderPage, OrderView
from settlement.services.order.views import order_view

if TYPE_CHECKING:
    from settlement.chassis.clock import Clock
    from settlement.chassis.database import Database, Transaction
    from settlement.chassis.outbox import Outbox

EXPIRE_BATCH = 200

_OWN = select(orders).where(orders.c.order_no == bindparam("number"), orders.c.user_id == bindparam("owner"))
_OWN_LOCKED = _OWN.with_for_update()
_NEWEST = (
    select(orders)
    .where(orders.c.user_id == bindparam("owner"), orders.c.order_no < bindparam("before"))
    .order_by(orders.c.order_no.desc())
    .limit(bindparam("page_size"))
)
_CANCEL = (
    update(orders)
    .where(orders.c.id == bindparam("order_id"), orders.c.status == OrderStatus.PENDING.value)
    .values(status=OrderStatus.CANCELLED.value, updated_at_ms=bindparam("now_ms"))
)
_EXPIRED = (
    select(orders)
    .where(orders.c.status == OrderStatus.PENDING.value, orders.c.expires_at_ms <= bindparam("now_ms"))
    .order_by(orders.c.expires_at_ms)
    .limit(EXPIRE_BATCH)
)
# Sorts after every order number, which begins with a digit.
_NO_CURSOR = "~"


class OrderService:
    """Orders of users. Every method that takes a user sees that user's orders only."""

    def __init__(self, database: Database, clock: Clock, outbox: Outbox) -> None:
        self._database = database
        self._clock = clock
        self._outbox = outbox

    async def find(self, user_id: int, order_no: str) -> OrderView:
        """One order. Problem 404 if it does not exist or is somebody else's."""
        return order_view(_only(await self._database.read(_OWN, {"number": order_no, "owner": user_id})))

    async def page(self, user_id: int, *, after: str | None, limit: int) -> OrderPage:
        """Up to `limit` orders older than `after` (an order number), newest first."""
        parameters = {"owner": user_id, "before": after or _NO_CURSOR, "page_size": limit + 1}
        rows = await self._database.read(_NEWEST, parameters)
        shown = [order_view(row) for row in rows[:limit]]
        return OrderPage(orders=shown, next_after=shown[-1].order_no if len(rows) > limit else None)

    async def cancel(self, user_id: int, order_no: str) -> OrderView:
        """Cancel a pending order; a cancelled one stays so. Problem 409 if it is being paid or was."""
        owned = {"number": order_no, "owner": user_id}

        async def change(tx: Transaction) -> OrderView:
            order = _only((await tx.execute(_OWN_LOCKED, owned)).all())
            if order.status != OrderStatus.CANCELLED and not await self._cancelled(tx, order, "by_user"):
                word = OrderStatus(order.status).name.lower()
                raise Problem(409, "order_not_cancellable", "Order cannot be cancelled", f"the order is {word}")
            return order_view(_only((await tx.execute(_OWN, owned)).all()))

        return await self._database.run(change)

    async def expire(self) -> int:
        """Cancel up to EXPIRE_BATCH pending orders whose time is over; returns how many."""
        now_ms = self._clock.now_ms()
        # Looked for outside a transaction first: most rounds find nothing and need not take the write lock.
        due = await self._database.read(_EXPIRED, {"now_ms": now_ms})
        if not due:
            return 0

        async def change(tx: Transaction) -> int:
            return sum([await self._cancelled(tx, order, "expired") for order in due])

        return await self._database.run(change)

    async def _cancelled(self, tx: Transaction, order: Row[Any], reason: str) -> bool:
        """Cancel an order that is still pending: a payment may have taken it since it was read."""
        now_ms = self._clock.now_ms()
        if (await tx.execute(_CANCEL, {"order_id": order.id, "now_ms": now_ms})).rowcount != 1:
            return False
        await publish(self._outbox, tx, "order.cancelled", order._asdict(), now_ms, reason=reason)
        return True


def _only(rows: Sequence[Row[Any]]) -> Row[Any]:
    if not rows:
        raise Problem(404, "order_not_found", "No such order", "there is no order of yours with this number")
    return rows[0]
