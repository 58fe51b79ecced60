"""Tables of reconciliation: statements as they were imported, runs, differences, and the schedule of runs."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, ColumnElement, Index, MetaData, String, Table, UniqueConstraint, and_, select

from settlement.chassis.columns import currency, moment, money, number, reference, row_id, whole, word
from settlement.chassis.retention import Retention

metadata = MetaData()

# A channel's own account of a period [from_ms, until_ms). source: pulled | uploaded. A pulled statement reaches a
# grace beyond its period at both ends: `covers_until_ms` says how far.
statements = Table(
    "statements",
    metadata,
    row_id("statement_id"),
    word("channel", 16),
    word("source", 8),
    moment("from_ms"),
    moment("until_ms"),
    moment("covers_until_ms"),
    moment("imported_at_ms"),
)

statement_lines = Table(
    "statement_lines",
    metadata,
    Column("statement_id", BigInteger, primary_key=True, autoincrement=False),
    Column("entry_id", BigInteger, primary_key=True, autoincrement=False),
    word("kind", 8),
    reference("out_trade_no"),
    reference("refund_no", optional=True),
    money("amount_minor"),
    currency(),
    moment("booked_at_ms"),
)

# state: running | finished | failed. `found` counts all differences of the run, `new` those nobody knew before.
runs = Table(
    "runs",
    metadata,
    row_id("run_id"),
    word("channel", 16),
    moment("from_ms"),
    moment("until_ms"),
    moment("grace_ms"),
    whole("statement_id", optional=True),
    word("replica", 64),
    word("state", 8),
    number("lines"),
    number("matched"),
    number("pending"),
    number("found"),
    number("new"),
    word("problem", 200),
    moment("started_at_ms"),
    moment("ended_at_ms", optional=True),
)
Index("runs_by_state", runs.c.state, runs.c.replica)

# state: open | resolved; resolved_by: operator | run (a later run of the period did not find it any more). Amounts
# are signed, and null on the side that has nothing. `identity` names what differs, so that every run finds the same.
differences = Table(
    "differences",
    metadata,
    row_id("difference_id"),
    word("channel", 16),
    word("identity", 160),
    word("kind", 16),
    word("side", 8),
    word("aspect", 8),
    reference("out_trade_no"),
    reference("refund_no", optional=True),
    money("ours_minor", optional=True),
    money("theirs_minor", optional=True),
    currency(),
    word("ours_state", 16),
    moment("at_ms"),
    whole("entry_id", optional=True),
    whole("statement_id"),
    whole("run_id"),
    word("state", 8),
    word("note", 500),
    word("resolved_by", 8),
    moment("found_at_ms"),
    moment("resolved_at_ms", optional=True),
    UniqueConstraint("channel", "identity", name="differences_once"),
)
Index("differences_by_state", differences.c.state, differences.c.difference_id)
Index("differences_by_time", differences.c.channel, differences.c.at_ms)

# Up to where every channel has been reconciled by the schedule, and when it is its turn again.
schedules = Table(
    "schedules",
    metadata,
    Column("channel", String(16), primary_key=True),
    moment("done_until_ms"),
    moment("next_at_ms"),
)

VIEWS = {
    "audit_differences": (
        "SELECT difference_id, channel, kind, side, aspect, out_trade_no, refund_no, ours_minor, theirs_minor, "
        "currency, state FROM differences"
    ),
}


# What an open difference refers to is its evidence, however old; differences themselves are kept.
def _old_statements(before_ms: int) -> ColumnElement[bool]:
    disputed = select(differences.c.statement_id).where(
        differences.c.state == "open", differences.c.statement_id == statements.c.statement_id
    )
    return and_(statements.c.imported_at_ms < before_ms, ~disputed.exists())


def _their_lines(before_ms: int) -> ColumnElement[bool]:
    return statement_lines.c.statement_id.in_(select(statements.c.statement_id).where(_old_statements(before_ms)))


def _without_lines(before_ms: int) -> ColumnElement[bool]:
    lines = select(statement_lines.c.entry_id).where(statement_lines.c.statement_id == statements.c.statement_id)
    return and_(_old_statements(before_ms), ~lines.exists())


def _old_runs(before_ms: int) -> ColumnElement[bool]:
    disputed = select(differences.c.run_id).where(differences.c.state == "open", differences.c.run_id == runs.c.run_id)
    return and_(runs.c.ended_at_ms < before_ms, ~disputed.exists())


# Lines first: a statement is its lines, and never shows a part of them.
RETENTION = (
    Retention(statement_lines, "reconciliation.kept_days", _their_lines),
    Retention(statements, "reconciliation.kept_days", _without_lines),
    Retention(runs, "reconciliation.kept_days", _old_runs),
)
