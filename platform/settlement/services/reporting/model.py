"""Tables of reporting: what events told, and the reports made of it."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Index, Integer, MetaData, String, Table, UniqueConstraint

metadata = MetaData()

# SQLite numbers rows by itself only for a column declared exactly INTEGER.
ROW_ID = BigInteger().with_variant(Integer, "sqlite")

# One row a payment or refund that was decided; kind: payment | refund, status: succeeded | failed.
decisions = Table(
    "decisions",
    metadata,
    Column("gid", String(64), primary_key=True),
    Column("kind", String(8), nullable=False),
    Column("status", String(9), nullable=False),
    Column("payment_gid", String(64), nullable=False),
    Column("order_no", String(64), nullable=False),
    Column("user_id", BigInteger, nullable=False),
    Column("amount_minor", BigInteger, nullable=False),
    Column("currency", String(3), nullable=False),
    Column("method", String(16), nullable=False),
    Column("reason", String(64), nullable=False),
    Column("decided_at_ms", BigInteger, nullable=False),
    Column("day", String(10), nullable=False),
)
Index("decisions_by_day", decisions.c.day, decisions.c.gid)

settled_batches = Table(
    "settled_batches",
    metadata,
    Column("batch_id", String(64), primary_key=True),
    Column("merchant_id", String(32), nullable=False),
    Column("day", String(10), nullable=False),
    Column("currency", String(3), nullable=False),
    Column("gross_minor", BigInteger, nullable=False),
    Column("refunded_minor", BigInteger, nullable=False),
    Column("fee_minor", BigInteger, nullable=False),
    Column("net_minor", BigInteger, nullable=False),
)
Index("settled_batches_by_day", settled_batches.c.day, settled_batches.c.batch_id)

# state: pending | ready. `asked` is unique: an operator's report gets a random one, the daily one its day and kind.
# `next_attempt_at_ms` is also the claim of whoever is making the report now.
reports = Table(
    "reports",
    metadata,
    Column("report_id", ROW_ID, primary_key=True, autoincrement=True),
    Column("asked", String(64), nullable=False),
    Column("day", String(10), nullable=False),
    Column("kind", String(16), nullable=False),
    Column("state", String(8), nullable=False),
    Column("rows", Integer, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("next_attempt_at_ms", BigInteger, nullable=False),
    Column("problem", String(200), nullable=False),
    Column("asked_at_ms", BigInteger, nullable=False),
    Column("stored_at_ms", BigInteger),
    UniqueConstraint("asked", name="reports_once"),
)
Index("reports_due", reports.c.state, reports.c.next_attempt_at_ms)

report_files = Table(
    "report_files",
    metadata,
    Column("report_id", BigInteger, primary_key=True, autoincrement=False),
    Column("format", String(8), primary_key=True),
    Column("url", String(500), nullable=False),
    Column("sha256", String(64), nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
)

VIEWS: dict[str, str] = {}
