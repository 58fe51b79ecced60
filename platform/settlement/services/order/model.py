"""Tables of the order service: goods, their stock, and orders; and the views that an audit reads.

Columns follow the article's `orders` table where it gives them. Hardened: the total is an integer of minor units with
its currency beside it, times are epoch milliseconds, the order number and a user's idempotency key are unique, and
the database itself refuses stock that is negative or does not add up.
"""

from __future__ import annotations

from enum import IntEnum

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Index,
    MetaData,
    SmallInteger,
    String,
    Table,
    Text,
    UniqueConstraint,
)

from settlement.chassis.columns import ROW_ID, currency, moment, money, reference, row_id, whole, word
from settlement.chassis.participant import audit_votes_view, barrier_table


class OrderStatus(IntEnum):
    """The article's 0, 1 and 2, and the states it lacks: those of an order that a transaction holds, and refunds."""

    PENDING = 0
    PAID = 1
    CANCELLED = 2
    PAYING = 3
    REFUNDING = 4
    REFUNDED = 5


metadata = MetaData()
barrier = barrier_table(metadata)

goods = Table(
    "goods",
    metadata,
    Column("id", ROW_ID, primary_key=True),
    word("name", 100),
    money("price_minor", positive=True),
    currency(),
    whole("merchant_id"),
)

stock = Table(
    "stock",
    metadata,
    Column("goods_id", ROW_ID, primary_key=True, autoincrement=False),
    whole("initial_units"),
    Column("available_units", BigInteger, CheckConstraint("available_units >= 0"), nullable=False),
    Column("reserved_units", BigInteger, CheckConstraint("reserved_units >= 0"), nullable=False),
    Column("sold_units", BigInteger, CheckConstraint("sold_units >= 0"), nullable=False),
    CheckConstraint("available_units + reserved_units + sold_units = initial_units", name="stock_adds_up"),
)

orders = Table(
    "orders",
    metadata,
    row_id(),
    Column("order_no", String(50), nullable=False, unique=True),
    whole("user_id"),
    Column("goods_list", Text, nullable=False),
    money("total_minor", positive=True),
    currency(),
    Column("status", SmallInteger, nullable=False),
    word("pay_method", 20),
    word("channel", 50, optional=True),
    reference("out_trade_no", optional=True),
    word("notify_url", 200, optional=True),
    word("return_url", 200, optional=True),
    moment("created_at_ms"),
    moment("updated_at_ms"),
    moment("expires_at_ms"),
    # The one transaction that holds the order now; NULL unless the status is PAYING or REFUNDING.
    reference("holder_gid", optional=True),
    reference("paid_gid", optional=True),
    reference("refund_gid", optional=True),
    # The version of the user's cart the order was made from; NULL if it was not.
    whole("cart_version", optional=True),
    word("idempotency_key", 255, optional=True),
    word("request_sha256", 64, optional=True),
    UniqueConstraint("user_id", "idempotency_key", name="orders_once_a_key"),
)
Index("orders_by_user", orders.c.user_id, orders.c.order_no)
Index("orders_by_cart", orders.c.user_id, orders.c.cart_version)
Index("orders_by_expiry", orders.c.status, orders.c.expires_at_ms)

# One row a user who ever ordered from the cart: the lock that such orders take turns at.
cart_turns = Table("cart_turns", metadata, Column("user_id", BigInteger, primary_key=True, autoincrement=False))

_STATUS_WORDS = " ".join(f"WHEN {status.value} THEN '{status.name.lower()}'" for status in OrderStatus)

VIEWS = {
    "audit_votes": audit_votes_view("order"),
    "audit_orders": (
        f"SELECT order_no, user_id, CASE status {_STATUS_WORDS} END AS status, total_minor, currency, "  # noqa: S608
        "paid_gid, refund_gid, created_at_ms FROM orders"
    ),
    "audit_stock": "SELECT goods_id, initial_units, available_units, reserved_units, sold_units FROM stock",
}
