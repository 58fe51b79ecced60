"""Tables of clearing: the entries that events brought, the days that are closed, and the batches made of them."""

from __future__ import annotations

from sqlalchemy import BigInteger, CheckConstraint, Column, Index, Integer, MetaData, String, Table, UniqueConstraint

metadata = MetaData()

# SQLite numbers rows by itself only for a column declared exactly INTEGER.
ROW_ID = BigInteger().with_variant(Integer, "sqlite")

# One row a merchant, payment or refund; kind: paid | refunded. `day` (UTC) is the one it is cleared with, which is a
# later one than `at_ms` says if the event came after its day was closed.
entries = Table(
    "entries",
    metadata,
    Column("id", ROW_ID, primary_key=True, autoincrement=True),
    Column("gid", String(64), nullable=False),
    Column("merchant_id", String(32), nullable=False),
    Column("kind", String(8), nullable=False),
    Column("order_no", String(64), nullable=False),
    Column("currency", String(3), nullable=False),
    Column("amount_minor", BigInteger, CheckConstraint("amount_minor > 0"), nullable=False),
    Column("at_ms", BigInteger, nullable=False),
    Column("day", String(10), nullable=False),
    UniqueConstraint("gid", "merchant_id", "currency", name="entries_once"),
)
Index("entries_by_day", entries.c.day, entries.c.merchant_id, entries.c.currency)

# state: open | closed. Entries lock the row for sharing, closing locks it alone: no entry slips in behind the sum.
days = Table(
    "days",
    metadata,
    Column("day", String(10), primary_key=True),
    Column("state", String(8), nullable=False),
    Column("closed_at_ms", BigInteger),
)

# state: closing -> posted -> settled. Before there is a batch its day is open, and so are its entries.
batches = Table(
    "batches",
    metadata,
    Column("batch_id", String(64), primary_key=True),
    Column("merchant_id", String(32), nullable=False),
    Column("day", String(10), nullable=False),
    Column("currency", String(3), nullable=False),
    Column("entries", Integer, nullable=False),
    Column("gross_minor", BigInteger, nullable=False),
    Column("refunded_minor", BigInteger, nullable=False),
    Column("fee_basis_points", Integer, nullable=False),
    Column("fee_minor", BigInteger, nullable=False),
    Column("net_minor", BigInteger, nullable=False),
    Column("state", String(8), nullable=False),
    Column("problem", String(200), nullable=False),
    Column("closed_at_ms", BigInteger, nullable=False),
    Column("posted_at_ms", BigInteger),
    Column("settled_at_ms", BigInteger),
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
