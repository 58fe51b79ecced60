"""Tables of reporting: what events told, and the reports made of it."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Index, MetaData, String, Table, UniqueConstraint

from settlement.chassis.columns import currency, moment, money, number, reference, row_id, whole, word

metadata = MetaData()

# One row a payment or refund that was decided; kind: payment | refund, status: succeeded | failed.
decisions = Table(
    "decisions",
    metadata,
    reference("gid", primary_key=True),
    word("kind", 8),
    word("status", 9),
    reference("payment_gid"),
    reference("order_no"),
    whole("user_id"),
    money("amount_minor"),
    currency(),
    word("method", 16),
    word("reason", 64),
    moment("decided_at_ms"),
    word("day", 10),
)
Index("decisions_by_day", decisions.c.day, decisions.c.gid)

settled_batches = Table(
    "settled_batches",
    metadata,
    reference("batch_id", primary_key=True),
    word("merchant_id", 32),
    word("day", 10),
    currency(),
    money("gross_minor"),
    money("refunded_minor"),
    money("fee_minor"),
    money("net_minor"),
)
Index("settled_batches_by_day", settled_batches.c.day, settled_batches.c.batch_id)

# state: pending | ready. `asked` is unique: an operator's report gets a random one, the daily one its day and kind.
# `next_attempt_at_ms` is also the claim of whoever is making the report now.
reports = Table(
    "reports",
    metadata,
    row_id("report_id"),
    word("asked", 64),
    word("day", 10),
    word("kind", 16),
    word("state", 8),
    number("rows"),
    number("attempts"),
    moment("next_attempt_at_ms"),
    word("problem", 200),
    moment("asked_at_ms"),
    moment("stored_at_ms", optional=True),
    UniqueConstraint("asked", name="reports_once"),
)
Index("reports_due", reports.c.state, reports.c.next_attempt_at_ms)

report_files = Table(
    "report_files",
    metadata,
    Column("report_id", BigInteger, primary_key=True, autoincrement=False),
    Column("format", String(8), primary_key=True),
    word("url", 500),
    word("sha256", 64),
    whole("size_bytes"),
)

VIEWS: dict[str, str] = {}
