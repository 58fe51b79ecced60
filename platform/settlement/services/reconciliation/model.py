"""Tables of reconciliation: statements as they were imported, runs, differences, and the schedule of runs."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Index, Integer, MetaData, String, Table, UniqueConstraint

metadata = MetaData()

# SQLite numbers rows by itself only for a column declared exactly INTEGER.
ROW_ID = BigInteger().with_variant(Integer, "sqlite")

# A channel's own account of a period [from_ms, until_ms). source: pulled | uploaded. A pulled statement reaches a
# grace beyond its period at both ends: `covers_until_ms` says how far.
statements = Table(
    "statements",
    metadata,
    Column("statement_id", ROW_ID, primary_key=True, autoincrement=True),
    Column("channel", String(16), nullable=False),
    Column("source", String(8), nullable=False),
    Column("from_ms", BigInteger, nullable=False),
    Column("until_ms", BigInteger, nullable=False),
    Column("covers_until_ms", BigInteger, nullable=False),
    Column("imported_at_ms", BigInteger, nullable=False),
)

statement_lines = Table(
    "statement_lines",
    metadata,
    Column("statement_id", BigInteger, primary_key=True, autoincrement=False),
    Column("entry_id", BigInteger, primary_key=True, autoincrement=False),
    Column("kind", String(8), nullable=False),
    Column("out_trade_no", String(64), nullable=False),
    Column("refund_no", String(64)),
    Column("amount_minor", BigInteger, nullable=False),
    Column("currency", String(3), nullable=False),
    Column("booked_at_ms", BigInteger, nullable=False),
)

# state: running | finished | failed. `found` counts all differences of the run, `new` those nobody knew before.
runs = Table(
    "runs",
    metadata,
    Column("run_id", ROW_ID, primary_key=True, autoincrement=True),
    Column("channel", String(16), nullable=False),
    Column("from_ms", BigInteger, nullable=False),
    Column("until_ms", BigInteger, nullable=False),
    Column("grace_ms", BigInteger, nullable=False),
    Column("statement_id", BigInteger),
    Column("replica", String(64), nullable=False),
    Column("state", String(8), nullable=False),
    Column("lines", Integer, nullable=False),
    Column("matched", Integer, nullable=False),
    Column("pending", Integer, nullable=False),
    Column("found", Integer, nullable=False),
    Column("new", Integer, nullable=False),
    Column("problem", String(200), nullable=False),
    Column("started_at_ms", BigInteger, nullable=False),
    Column("ended_at_ms", BigInteger),
)
Index("runs_by_state", runs.c.state, runs.c.replica)

# state: open | resolved; resolved_by: operator | run (a later run of the period did not find it any more). Amounts
# are signed, and null on the side that has nothing. `identity` names what differs, so that every run finds the same.
differences = Table(
    "differences",
    metadata,
    Column("difference_id", ROW_ID, primary_key=True, autoincrement=True),
    Column("channel", String(16), nullable=False),
    Column("identity", String(160), nullable=False),
    Column("kind", String(16), nullable=False),
    Column("side", String(8), nullable=False),
    Column("aspect", String(8), nullable=False),
    Column("out_trade_no", String(64), nullable=False),
    Column("refund_no", String(64)),
    Column("ours_minor", BigInteger),
    Column("theirs_minor", BigInteger),
    Column("currency", String(3), nullable=False),
    Column("ours_state", String(16), nullable=False),
    Column("at_ms", BigInteger, nullable=False),
    Column("entry_id", BigInteger),
    Column("statement_id", BigInteger, nullable=False),
    Column("run_id", BigInteger, nullable=False),
    Column("state", String(8), nullable=False),
    Column("note", String(500), nullable=False),
    Column("resolved_by", String(8), nullable=False),
    Column("found_at_ms", BigInteger, nullable=False),
    Column("resolved_at_ms", BigInteger),
    UniqueConstraint("channel", "identity", name="differences_once"),
)
Index("differences_by_state", differences.c.state, differences.c.difference_id)
Index("differences_by_time", differences.c.channel, differences.c.at_ms)

# Up to where every channel has been reconciled by the schedule, and when it is its turn again.
schedules = Table(
    "schedules",
    metadata,
    Column("channel", String(16), primary_key=True),
    Column("done_until_ms", BigInteger, nullable=False),
    Column("next_at_ms", BigInteger, nullable=False),
)

VIEWS = {
    "audit_differences": (
        "SELECT difference_id, channel, kind, side, aspect, out_trade_no, refund_no, ours_minor, theirs_minor, "
        "currency, state FROM differences"
    ),
}
