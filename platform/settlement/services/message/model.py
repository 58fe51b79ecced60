"""Tables of the message service: what users are told, and over which channel each of it went.

`event_id` is unique: an event that is delivered again long after its mark was forgotten still makes no second message.
"""

from __future__ import annotations

from sqlalchemy import Column, ColumnElement, Index, MetaData, String, Table, UniqueConstraint, and_, select

from settlement.chassis.columns import currency, moment, money, number, reference, row_id, whole, word
from settlement.chassis.retention import Retention

metadata = MetaData()

messages = Table(
    "messages",
    metadata,
    row_id(),
    Column("event_id", String(36), nullable=False, unique=True),
    whole("user_id"),
    word("kind", 24),
    reference("order_no"),
    reference("gid", optional=True),
    money("amount_minor"),
    currency(),
    word("title", 100),
    word("text", 300),
    moment("occurred_at_ms"),
    moment("created_at_ms"),
    moment("read_at_ms", optional=True),
    sqlite_autoincrement=True,  # the cursor of a page must never come to mean a newer message
)
Index("messages_by_user", messages.c.user_id, messages.c.id)
Index("messages_by_age", messages.c.created_at_ms)

# state: due | delivered | given_up. `next_at_ms` also serves as the claim of whoever is delivering.
deliveries = Table(
    "deliveries",
    metadata,
    row_id(),
    whole("message_id"),
    word("channel", 16),
    word("state", 16),
    number("attempts"),
    moment("next_at_ms"),
    moment("delivered_at_ms", optional=True),
    word("last_error", 200, optional=True),
    UniqueConstraint("message_id", "channel", name="deliveries_once_a_channel"),
)
Index("deliveries_by_state", deliveries.c.state, deliveries.c.next_at_ms)

VIEWS: dict[str, str] = {}


def _old(before_ms: int) -> ColumnElement[bool]:
    return messages.c.created_at_ms < before_ms


def _theirs(before_ms: int) -> ColumnElement[bool]:
    return deliveries.c.message_id.in_(select(messages.c.id).where(_old(before_ms)))


def _without_deliveries(before_ms: int) -> ColumnElement[bool]:
    return and_(_old(before_ms), ~select(deliveries.c.id).where(deliveries.c.message_id == messages.c.id).exists())


# Deliveries first: one without its message would name nobody.
RETENTION = (
    Retention(deliveries, "message.kept_days", _theirs),
    Retention(messages, "message.kept_days", _without_deliveries),
)
