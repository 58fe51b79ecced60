"""Tables of clearing: the entries that events brought, the days that are closed, and the batches made of them."""

from __future__ import annotations

from sqlalchemy import CheckConstraint, Column, Index, MetaData, String, Table, UniqueConstraint

from settlement.chassis.columns import currency, moment, money, number, reference, row_id, word

metadata = MetaData()

# One row a merchant, payment or refund; kind: paid | refunded. `day` (UTC) is the one it is cleared with, which is a
# later one than `at_ms` says if the event came after its day was closed.
entries = Table(
    "entries",
    metadata,
    row_id(),
    reference("gid"),
    word("merchant_id", 32),
    word("kind", 8),
    reference("order_no"),
    currency(),
    money("amount_minor", positive=True),
    moment("at_ms"),
    word("day", 10),
    UniqueConstraint("gid", "merchant_id", "currency", name="entries_once"),
)
Index("entries_by_day", entries.c.day, entries.c.merchant_id, entries.c.currency)

# state: open | closed. Entries lock the row for sharing, closing locks it alone: no entry slips in behind the sum.
days = Table(
    "days",
    metadata,
    Column("day", String(10), primary_key=True),
    word("state", 8),
    moment("closed_at_ms", optional=True),
)

# state: closing -> posted -> settled. Before there is a batch its day is open, and so are its entries.
batches = Table(
    "batches",
    metadata,
    reference("batch_id", primary_key=True),
    word("merchant_id", 32),
    word("day", 10),
    currency(),
    number("entries"),
    money("gross_minor"),
    money("refunded_minor"),
    number("fee_basis_points"),
    money("fee_minor"),
    money("net_minor"),
    word("state", 8),
    word("problem", 200),
    moment("closed_at_ms"),
    moment("posted_at_ms", optional=True),
    moment("settled_at_ms", optional=True),
    UniqueConstraint("day", "merchant_id", "currency", name="batches_once_a_day"),
    CheckConstraint("net_minor = gross_minor - refunded_minor - fee_minor", name="batches_add_up"),
)
Index("batches_by_state", batches.c.state, batches.c.batch_id)

VIEWS = {
    "audit_batches": (
        "SELECT batch_id, merchant_id, day, currency, gross_minor, refunded_minor, fee_minor, net_minor, state "
        "FROM batches"
    ),
}
