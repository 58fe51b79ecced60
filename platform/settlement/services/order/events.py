"""What the rest of the platform is told of an order."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from settlement.services.order.snapshot import shares

if TYPE_CHECKING:
    from settlement.chassis.database import Transaction
    from settlement.chassis.outbox import Outbox


async def publish(
    outbox: Outbox, tx: Transaction, event_type: str, order: Mapping[str, Any], at_ms: int, **more: Any
) -> None:
    """Record an `order.*` event in the transaction of its cause; `order` has the columns of `orders`."""
    data = {
        "user_id": order["user_id"],
        "order_no": order["order_no"],
        "amount_minor": order["total_minor"],
        "currency": order["currency"],
        "method": order["pay_method"],
        "merchants": shares(order["goods_list"]),
        "at_ms": at_ms,
        **more,
    }
    await outbox.add(tx, type=event_type, subject=order["order_no"], data=data)
