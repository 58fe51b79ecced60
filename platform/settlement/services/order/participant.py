"""The order's half of a transaction: hold the order and its stock, then finish or give them back.

At most one transaction holds an order. The hold is the pair (status, holder_gid), taken by a conditional update, so a
second payment of the same order is refused whoever comes first, and a release by a transaction that holds nothing
changes nothing.

    payment   pending -> paying    -> paid (stock sold)          or back to pending (cancelled, if it expired meanwhile)
    refund    paid    -> refunding -> refunded (stock returned)  or back to paid

With the article's protocol also paid -> pending and refunded -> paid: the order copies whatever it is told last.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import Row, bindparam, select, update

from settlement.chassis.participant import Action, Payload, Reservation
from settlement.services.order import stock
from settlement.services.order.events import publish
from settlement.services.order.model import OrderStatus, orders
from settlement.services.order.snapshot import lines_of

if TYPE_CHECKING:
    from settlement.chassis.clock import Clock
    from settlement.chassis.database import Transaction
    from settlement.chassis.outbox import Outbox

_ORDER = select(orders).where(orders.c.order_no == bindparam("number")).with_for_update()
# Both are built once: building a statement anew for each payment costs as much as executing it.
_HOLD = (
    update(orders)
    .where(orders.c.id == bindparam("order_id"), orders.c.status == bindparam("free"), orders.c.holder_gid.is_(None))
    .values(
        status=bindparam("held"),
        holder_gid=bindparam("holder"),
        pay_method=bindparam("method"),
        out_trade_no=bindparam("trade_no"),
        updated_at_ms=bindparam("now_ms"),
    )
)
_LET_GO = (
    update(orders)
    .where(
        orders.c.id == bindparam("order_id"),
        orders.c.status == bindparam("held"),
        orders.c.holder_gid == bindparam("holder"),
    )
    .values(
        status=bindparam("next_status"),
        holder_gid=None,
        paid_gid=bindparam("paid"),
        refund_gid=bindparam("refunded"),
        updated_at_ms=bindparam("now_ms"),
    )
)
_UNSAY = {
    kind: update(orders)
    .where(orders.c.id == bindparam("order_id"), orders.c.status == bindparam("copied"))
    .values(status=bindparam("next_status"), updated_at_ms=bindparam("now_ms"), **{column: None})
    for kind, column in (("payment", "paid_gid"), ("refund", "refund_gid"))
}
_HELD = {"payment": OrderStatus.PAYING, "refund": OrderStatus.REFUNDING}


class NotHeld(Exception):
    """A commit came for an order its transaction does not hold. The protocol rules this out; nothing is changed."""


class OrderBusiness:
    """What the order service holds for a transaction. Amounts are minor units."""

    def __init__(self, clock: Clock, outbox: Outbox) -> None:
        self._clock = clock
        self._outbox = outbox

    async def reach_out(self, action: Action, gid: str, kind: str, payload: Payload) -> None:
        """Nothing to do elsewhere: an order is this database's own."""

    async def reserve(self, tx: Transaction, gid: str, kind: str, payload: Payload, outside: None) -> Reservation:
        """Hold the order, and for a payment its stock; or say why not."""
        order = await _find(tx, payload)
        if order is None:
            return Reservation.refused("order_not_found")
        if payload.amount_minor != order.total_minor or payload.currency != order.currency:
            return Reservation.refused("amount_mismatch")
        if kind == "refund":
            return await self._reserve_refund(tx, gid, order, payload)
        return await self._reserve_payment(tx, gid, order, payload)

    async def confirm(self, tx: Transaction, gid: str, kind: str, payload: Payload, outside: None) -> None:
        """Finish: paid and sold, or refunded and returned."""
        order = await _held(tx, gid, kind, payload)
        if order is None:
            raise NotHeld(f"order {payload.order_no} is not held by {gid}")
        if kind == "refund":
            await self._let_go(tx, order, OrderStatus.REFUNDED, refund_gid=gid)
            await stock.take_back(tx, lines_of(order.goods_list))
            await self._publish(tx, "order.refunded", order, gid=gid)
        else:
            await self._let_go(tx, order, OrderStatus.PAID, paid_gid=gid)
            await stock.sell(tx, lines_of(order.goods_list))
            await self._publish(tx, "order.paid", order, gid=gid)

    async def release(self, tx: Transaction, gid: str, kind: str, payload: Payload, outside: None) -> None:
        """Give back what this transaction holds, if anything."""
        order = await _held(tx, gid, kind, payload)
        if order is None:
            return
        if kind == "refund":
            await self._let_go(tx, order, OrderStatus.PAID)
            return
        expired = order.expires_at_ms <= self._clock.now_ms()
        status = OrderStatus.CANCELLED if expired else OrderStatus.PENDING
        await self._let_go(tx, order, status)
        await stock.unreserve(tx, lines_of(order.goods_list))
        if expired:
            await self._publish(tx, "order.cancelled", order, reason="expired")

    async def revoke(self, tx: Transaction, gid: str, kind: str, payload: Payload) -> None:
        """Unsay paid or refunded, as the article's protocol does; nothing, if the order has moved on since."""
        order = await _find(tx, payload)
        copied = (OrderStatus.REFUNDED, "refund_gid") if kind == "refund" else (OrderStatus.PAID, "paid_gid")
        if order is None or (order.status, order._mapping[copied[1]]) != (copied[0], gid):
            return
        status = OrderStatus.PAID if kind == "refund" else OrderStatus.PENDING
        change = {"order_id": order.id, "copied": order.status, "next_status": status.value}
        await tx.execute(_UNSAY[kind], {**change, "now_ms": self._clock.now_ms()})
        lines = lines_of(order.goods_list)
        await (stock.sell_again(tx, lines) if kind == "refund" else stock.take_back(tx, lines))

    async def _reserve_payment(self, tx: Transaction, gid: str, order: Row[Any], payload: Payload) -> Reservation:
        now_ms = self._clock.now_ms()
        if order.status != OrderStatus.PENDING or order.expires_at_ms <= now_ms:
            return Reservation.refused("order_not_payable")
        if not await stock.reserve(tx, lines_of(order.goods_list)):
            return Reservation.refused("out_of_stock")
        await self._hold(tx, gid, order, OrderStatus.PAYING, payload.method, payload.out_trade_no)
        return Reservation.granted()

    async def _reserve_refund(self, tx: Transaction, gid: str, order: Row[Any], payload: Payload) -> Reservation:
        if order.status != OrderStatus.PAID or order.paid_gid != payload.payment_gid:
            return Reservation.refused("order_not_refundable")
        await self._hold(tx, gid, order, OrderStatus.REFUNDING, order.pay_method, order.out_trade_no)
        return Reservation.granted()

    async def _hold(
        self, tx: Transaction, gid: str, order: Row[Any], status: OrderStatus, pay_method: str, out_trade_no: str
    ) -> None:
        hold = {
            "order_id": order.id,
            "free": order.status,
            "held": status.value,
            "holder": gid,
            "method": pay_method,
            "trade_no": out_trade_no,
            "now_ms": self._clock.now_ms(),
        }
        if (await tx.execute(_HOLD, hold)).rowcount != 1:
            raise NotHeld(f"order {order.order_no} was taken between reading and holding it")

    async def _let_go(
        self,
        tx: Transaction,
        order: Row[Any],
        status: OrderStatus,
        *,
        paid_gid: str | None = None,
        refund_gid: str | None = None,
    ) -> None:
        change = {
            "order_id": order.id,
            "held": order.status,
            "holder": order.holder_gid,
            "next_status": status.value,
            "paid": paid_gid or order.paid_gid,
            "refunded": refund_gid,
            "now_ms": self._clock.now_ms(),
        }
        if (await tx.execute(_LET_GO, change)).rowcount != 1:
            raise NotHeld(f"order {order.order_no} was taken between reading it and letting it go")

    async def _publish(self, tx: Transaction, event_type: str, order: Row[Any], **more: str) -> None:
        await publish(self._outbox, tx, event_type, order._asdict(), self._clock.now_ms(), **more)


async def _find(tx: Transaction, payload: Payload) -> Row[Any] | None:
    """The order, if it exists and belongs to the user who pays; another's order looks like none."""
    order = (await tx.execute(_ORDER, {"number": payload.order_no})).one_or_none()
    return order if order is not None and order.user_id == payload.user_id else None


async def _held(tx: Transaction, gid: str, kind: str, payload: Payload) -> Row[Any] | None:
    order = await _find(tx, payload)
    if order is None or order.holder_gid != gid or order.status != _HELD[kind]:
        return None
    return order
