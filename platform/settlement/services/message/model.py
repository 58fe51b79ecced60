"""Tables of the message service: what users are told, and over which channel each of it went.

`event_id` is unique: an event that is delivered again long after its mark was forgotten still makes no second message.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Index, Integer, MetaData, String, Table, UniqueConstraint

metadata = MetaData()

# SQLite numbers rows by itself only for a column declared exactly INTEGER.
ROW_ID = BigInteger().with_variant(Integer, "sqlite")

messages = Table(
    "messages",
    metadata,
    Column("id", ROW_ID, primary_key=True, autoincrement=True),
    Column("event_id", String(36), nullable=False, unique=True),
    Column("user_id", BigInteger, nullable=False),
    Column("kind", String(24), nullable=False),
    Column("order_no", String(64), nullable=False),
    Column("gid", String(64)),
    Column("amount_minor", BigInteger, nullable=False),
    Column("currency", String(3), nullable=False),
    Column("title", String(100), nullable=False),
    Column("text", String(300), nullable=False),
    Column("occurred_at_ms", BigInteger, nullable=False),
    Column("created_at_ms", BigInteger, nullable=False),
    Column("read_at_ms", BigInteger),
    sqlite_autoincrement=True,  # the cursor of a page must never come to mean a newer message
)
Index("messages_by_user", messages.c.user_id, messages.c.id)
Index("messages_by_age", messages.c.created_at_ms)

# state: due | delivered | given_up. `next_at_ms` also serves as the claim of whoever is delivering.
deliveries = Table(
    "deliveries",
    metadata,
    Column("id", ROW_ID, primary_key=True, autoincrement=True),
    Column("message_id", BigInteger, nullable=False),
    Column("channel", String(16), nullable=False),
    Column("state", String(16), nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("next_at_ms", BigInteger, nullable=False),
    Column("delivered_at_ms", BigInteger),
    Column("last_error", String(200)),
    UniqueConstraint("message_id", "channel", name="deliveries_once_a_channel"),
)
Index("deliveries_by_state", deliveries.c.state, deliveries.c.next_at_ms)

VIEWS: dict[str, str] = {}
