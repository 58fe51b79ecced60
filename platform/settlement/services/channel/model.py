"""Tables of the channel: one row a charge, one a refund, and the ledger of entries that statements are drawn from."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    UniqueConstraint,
)

metadata = MetaData()

# SQLite numbers rows by itself only for a column declared exactly INTEGER.
ROW_ID = BigInteger().with_variant(Integer, "sqlite")

# `asked_minor` is what the request named; what was authorized, captured and refunded follows from what happened to it.
# A tombstone (state `cancelled`) has no amount and no currency: nobody ever asked for any.
charges = Table(
    "charges",
    metadata,
    Column("id", ROW_ID, primary_key=True, autoincrement=True),
    Column("channel", String(16), nullable=False),
    Column("out_trade_no", String(64), nullable=False),
    Column("state", String(16), nullable=False),
    Column("asked_minor", BigInteger, nullable=False),
    Column("authorized_minor", BigInteger, nullable=False),
    Column("captured_minor", BigInteger, nullable=False),
    Column("refunded_minor", BigInteger, nullable=False),
    Column("currency", String(3), nullable=False),
    Column("created_at_ms", BigInteger, nullable=False),
    Column("updated_at_ms", BigInteger, nullable=False),
    UniqueConstraint("channel", "out_trade_no", name="charges_once_a_number"),
    CheckConstraint("captured_minor <= authorized_minor", name="never_captured_above_authorized"),
    CheckConstraint("refunded_minor >= 0 AND refunded_minor <= captured_minor", name="never_refunded_above_captured"),
)

refunds = Table(
    "refunds",
    metadata,
    Column("id", ROW_ID, primary_key=True, autoincrement=True),
    Column("channel", String(16), nullable=False),
    Column("refund_no", String(64), nullable=False),
    Column("out_trade_no", String(64), nullable=False),
    Column("amount_minor", BigInteger, CheckConstraint("amount_minor > 0"), nullable=False),
    Column("refunded_at_ms", BigInteger, nullable=False),
    UniqueConstraint("channel", "refund_no", name="refunds_once_a_number"),
)

# Append-only. Amounts are signed: money that came in is positive, money given back negative.
entries = Table(
    "entries",
    metadata,
    Column("id", ROW_ID, primary_key=True, autoincrement=True),
    Column("kind", String(16), nullable=False),
    Column("channel", String(16), nullable=False),
    Column("out_trade_no", String(64), nullable=False),
    Column("refund_no", String(64)),
    Column("amount_minor", BigInteger, nullable=False),
    Column("currency", String(3), nullable=False),
    Column("booked_at_ms", BigInteger, nullable=False),
)
Index("entries_by_time", entries.c.booked_at_ms, entries.c.id)

# What statements show wrongly on purpose: a line of the ledger is hidden, another one is shown, or both.
planted_lines = Table(
    "planted_lines",
    metadata,
    Column("id", ROW_ID, primary_key=True, autoincrement=True),
    Column("hides_entry_id", BigInteger),
    Column("kind", String(16)),
    Column("channel", String(16)),
    Column("out_trade_no", String(64)),
    Column("refund_no", String(64)),
    Column("amount_minor", BigInteger),
    Column("currency", String(3)),
    Column("booked_at_ms", BigInteger),
)

VIEWS = {
    "audit_charges": (
        "SELECT channel, out_trade_no, state, authorized_minor, captured_minor, refunded_minor, currency, "
        "updated_at_ms FROM charges"
    ),
}
