"""Tables of the channel: one row a charge, one a refund, and the ledger of entries that statements are drawn from."""

from __future__ import annotations

from sqlalchemy import CheckConstraint, Index, MetaData, Table, UniqueConstraint

from settlement.chassis.columns import currency, moment, money, reference, row_id, whole, word

metadata = MetaData()

# `asked_minor` is what the request named; what was authorized, captured and refunded follows from what happened to it.
# A tombstone (state `cancelled`) has no amount and no currency: nobody ever asked for any.
charges = Table(
    "charges",
    metadata,
    row_id(),
    word("channel", 16),
    reference("out_trade_no"),
    word("state", 16),
    money("asked_minor"),
    money("authorized_minor"),
    money("captured_minor"),
    money("refunded_minor"),
    currency(),
    moment("created_at_ms"),
    moment("updated_at_ms"),
    UniqueConstraint("channel", "out_trade_no", name="charges_once_a_number"),
    CheckConstraint("captured_minor <= authorized_minor", name="never_captured_above_authorized"),
    CheckConstraint("refunded_minor >= 0 AND refunded_minor <= captured_minor", name="never_refunded_above_captured"),
)

refunds = Table(
    "refunds",
    metadata,
    row_id(),
    word("channel", 16),
    reference("refund_no"),
    reference("out_trade_no"),
    money("amount_minor", positive=True),
    moment("refunded_at_ms"),
    UniqueConstraint("channel", "refund_no", name="refunds_once_a_number"),
)

# Append-only. Amounts are signed: money that came in is positive, money given back negative.
entries = Table(
    "entries",
    metadata,
    row_id(),
    word("kind", 16),
    word("channel", 16),
    reference("out_trade_no"),
    reference("refund_no", optional=True),
    money("amount_minor"),
    currency(),
    moment("booked_at_ms"),
)
Index("entries_by_time", entries.c.booked_at_ms, entries.c.id)

# What statements show wrongly on purpose: a line of the ledger is hidden, another one is shown, or both.
planted_lines = Table(
    "planted_lines",
    metadata,
    row_id(),
    whole("hides_entry_id", optional=True),
    word("kind", 16, optional=True),
    word("channel", 16, optional=True),
    reference("out_trade_no", optional=True),
    reference("refund_no", optional=True),
    money("amount_minor", optional=True),
    currency(optional=True),
    moment("booked_at_ms", optional=True),
)

VIEWS = {
    "audit_charges": (
        "SELECT channel, out_trade_no, state, authorized_minor, captured_minor, refunded_minor, currency, "
        "updated_at_ms FROM charges"
    ),
}
