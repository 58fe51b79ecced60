"""Tables of the gateway: transactions, idempotency keys, notifications, and what went on around the protocol."""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, ColumnElement, Index, MetaData, String, Table, Text, and_, select

from settlement.chassis.columns import currency, moment, money, number, reference, row_id, whole, word
from settlement.chassis.retention import Retention

metadata = MetaData()

# The coordinator's record (state, decision, reason, epoch, owner, lease, attempts, heuristic, overruled) and what it is
# about. A row is never deleted: "no record" means abort.
transactions = Table(
    "transactions",
    metadata,
    reference("gid", primary_key=True),
    word("kind", 16),
    word("idempotency_key", 255),
    whole("user_id"),
    reference("order_no"),
    reference("payment_gid", optional=True),
    money("amount_minor", positive=True),
    currency(),
    word("method", 16),
    reference("out_trade_no"),
    reference("refund_no", optional=True),
    word("note", 200, optional=True),
    word("notify_url", 200, optional=True),
    word("return_url", 200, optional=True),
    # How risk let it through: allowed | unassessed | off; empty for refunds, which are not assessed.
    word("risk", 16),
    word("state", 16),
    word("decision", 8, optional=True),
    word("reason", 64),
    number("epoch"),
    word("owner", 96),
    moment("lease_until_ms"),
    number("attempts"),
    Column("heuristic", Boolean, nullable=False),
    word("overruled", 8, optional=True),
    moment("begun_at_ms"),
    moment("decided_at_ms", optional=True),
    moment("closed_at_ms", optional=True),
)
# Only what is unfinished is ever searched for, so only that is in the index.
Index(
    "transactions_unfinished",
    transactions.c.lease_until_ms,
    sqlite_where=transactions.c.state.in_(["preparing", "decided"]),
).ddl_if(dialect="sqlite")
# A server has no partial indexes.
Index("transactions_unfinished_first", transactions.c.state, transactions.c.lease_until_ms).ddl_if(dialect="mariadb")
Index("transactions_by_state", transactions.c.state, transactions.c.begun_at_ms)
Index("transactions_by_key", transactions.c.user_id, transactions.c.idempotency_key)

# One row a key and user. The answer is not stored: it follows from the transaction, whose decision never changes.
idempotency_keys = Table(
    "idempotency_keys",
    metadata,
    Column("user_id", BigInteger, primary_key=True),
    Column("idempotency_key", String(255), primary_key=True),
    word("fingerprint", 64),
    reference("gid"),
    moment("created_at_ms"),
)
Index("idempotency_keys_by_age", idempotency_keys.c.created_at_ms)

# state: due | delivered | given_up. `next_at_ms` also serves as the claim of whoever is delivering.
notifications = Table(
    "notifications",
    metadata,
    reference("gid", primary_key=True),
    word("url", 200),
    Column("body", Text, nullable=False),
    word("state", 16),
    number("attempts"),
    moment("next_at_ms"),
    moment("delivered_at_ms", optional=True),
    word("last_error", 200, optional=True),
)
Index("notifications_by_state", notifications.c.state, notifications.c.next_at_ms)

# A line for each write of a replica that had lost the transaction: what it would have written, and under which epoch.
fenced_writes = Table(
    "fenced_writes",
    metadata,
    row_id(),
    reference("gid"),
    word("owner", 96),
    number("epoch"),
    word("state", 16),
    word("decision", 8, optional=True),
    moment("fenced_at_ms"),
)

# What operators did, why, and what they found: state and decision before. Written with what they did.
interventions = Table(
    "interventions",
    metadata,
    row_id(),
    reference("gid"),
    word("action", 8),
    word("operator", 64),
    word("reason", 200),
    word("state_before", 16),
    word("decision_before", 8, optional=True),
    moment("intervened_at_ms"),
)
Index("interventions_by_gid", interventions.c.gid)

VIEWS = {
    "audit_decisions": (
        "SELECT gid, kind, idempotency_key, user_id, order_no, payment_gid, amount_minor, currency, method, state, "
        "decision, reason, epoch, owner, begun_at_ms, decided_at_ms, closed_at_ms, attempts AS retries, heuristic, "
        "overruled FROM transactions"
    ),
    "audit_fenced": "SELECT id, gid, owner, epoch, state, decision, fenced_at_ms FROM fenced_writes",
    "audit_interventions": (
        "SELECT id, gid, action, operator, reason, state_before, decision_before, intervened_at_ms FROM interventions"
    ),
}


def _old_keys(before_ms: int) -> ColumnElement[bool]:
    """Past their time, and their transaction is not on its way any more."""
    on_its_way = select(transactions.c.gid).where(
        transactions.c.gid == idempotency_keys.c.gid, transactions.c.state != "closed"
    )
    return and_(idempotency_keys.c.created_at_ms < before_ms, ~on_its_way.exists())


def _done(before_ms: int) -> ColumnElement[bool]:
    finished = notifications.c.state.in_(["delivered", "given_up"])
    return and_(finished, notifications.c.next_at_ms < before_ms)


RETENTION = (
    Retention(idempotency_keys, "gateway.idempotency_ttl_s", _old_keys),
    Retention(notifications, "gateway.notifications_kept_days", _done),
)
