"""From an event to what its user is told. Pure: the same event always makes the same notice."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from settlement.services.message.schemas import Decided, OrderCreated

if TYPE_CHECKING:
    from settlement.chassis.events import Event

# Event type -> kind of the notice and its title.
TITLES: Final = {
    "order.created": ("order_created", "Order received"),
    "payment.succeeded": ("payment_succeeded", "Payment received"),
    "payment.failed": ("payment_failed", "Payment failed"),
    "refund.succeeded": ("refund_succeeded", "Refund made"),
    "refund.failed": ("refund_failed", "Refund failed"),
}
_WITHOUT_DECIMALS: Final = frozenset({"JPY"})


@dataclass(frozen=True, slots=True)
class Notice:
    """What one user is told of one event; the amount is in minor units."""

    user_id: int
    kind: str
    order_no: str
    gid: str | None
    amount_minor: int
    currency: str
    title: str
    text: str


def notice_of(event: Event) -> Notice:
    """The notice of an event of TITLES. Raises KeyError for another type, ValidationError for data that do not fit."""
    kind, title = TITLES[event.type]
    if event.type == "order.created":
        order = OrderCreated.model_validate(event.data)
        amount = amount_text(order.total_minor, order.currency)
        text = f"Your order {order.order_no} over {amount} was created and waits for its payment."
        return Notice(order.user_id, kind, order.order_no, None, order.total_minor, order.currency, title, text)
    told = Decided.model_validate(event.data)
    text = _sentence(kind, told)
    return Notice(told.user_id, kind, told.order_no, told.gid, told.amount_minor, told.currency, title, text)


def _sentence(kind: str, told: Decided) -> str:
    amount = amount_text(told.amount_minor, told.currency)
    why = f" ({told.reason})" if told.reason else ""
    return {
        "payment_succeeded": f"Your payment of {amount} for order {told.order_no} by {told.method} was received.",
        "payment_failed": f"Your payment of {amount} for order {told.order_no} failed{why}; nothing was charged.",
        "refund_succeeded": f"{amount} for order {told.order_no} go back to your {told.method}.",
        "refund_failed": f"The refund of {amount} for order {told.order_no} failed{why}; nothing was moved.",
    }[kind]


def amount_text(amount_minor: int, currency: str) -> str:
    """`1234, "CNY"` as `12.34 CNY`."""
    if currency in _WITHOUT_DECIMALS:
        return f"{amount_minor} {currency}"
    return f"{amount_minor // 100}.{amount_minor % 100:02d} {currency}"
