"""Tables of the gateway: transactions, idempotency keys, notifications, and what went on around the protocol."""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, CheckConstraint, Column, Index, Integer, MetaData, String, Table, Text

metadata = MetaData()

# The coordinator's record (state, decision, reason, epoch, owner, lease, attempts, heuristic, overruled) and what it is
# about. A row is never deleted: "no record" means abort.
transactions = Table(
    "transactions",
    metadata,
    Column("gid", String(64), primary_key=True),
    Column("kind", String(16), nullable=False),
    Column("idempotency_key", String(255), nullable=False),
    Column("user_id", BigInteger, nullable=False),
    Column("order_no", String(64), nullable=False),
    Column("payment_gid", String(64)),
    Column("amount_minor", BigInteger, CheckConstraint("amount_minor > 0"), nullable=False),
    Column("currency", String(3), nullable=False),
    Column("method", String(16), nullable=False),
    Column("out_trade_no", String(64), nullable=False),
    Column("refund_no", String(64)),
    Column("note", String(200)),
    Column("notify_url", String(200)),
    Column("return_url", String(200)),
    # How risk let it through: allowed | unassessed | off; empty for refunds, which are not assessed.
    Column("risk", String(16), nullable=False),
    Column("state", String(16), nullable=False),
    Column("decision", String(8)),
    Column("reason", String(64), nullable=False),
    Column("epoch", Integer, nullable=False),
    Column("owner", String(96), nullable=False),
    Column("lease_until_ms", BigInteger, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("heuristic", Boolean, nullable=False),
    Column("overruled", String(8)),
    Column("begun_at_ms", BigInteger, nullable=False),
    Column("decided_at_ms", BigInteger),
    Column("closed_at_ms", BigInteger),
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
    Column("fingerprint", String(64), nullable=False),
    Column("gid", String(64), nullable=False),
    Column("created_at_ms", BigInteger, nullable=False),
)
Index("idempotency_keys_by_age", idempotency_keys.c.created_at_ms)

# state: due | delivered | given_up. `next_at_ms` also serves as the claim of whoever is delivering.
notifications = Table(
    "notifications",
    metadata,
    Column("gid", String(64), primary_key=True),
    Column("url", String(200), nullable=False),
    Column("body", Text, nullable=False),
    Column("state", String(16), nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("next_at_ms", BigInteger, nullable=False),
    Column("delivered_at_ms", BigInteger),
    Column("last_error", String(200)),
)
Index("notifications_due", notifications.c.next_at_ms, sqlite_where=notifications.c.state == "due").ddl_if(
    dialect="sqlite"
)
Index("notifications_due_first", notifications.c.state, notifications.c.next_at_ms).ddl_if(dialect="mariadb")

_NUMBER = BigInteger().with_variant(Integer, "sqlite")

# A line for each write of a replica that had lost the transaction: what it would have written, and under which epoch.
fenced_writes = Table(
    "fenced_writes",
    metadata,
    Column("id", _NUMBER, primary_key=True),
    Column("gid", String(64), nullable=False),
    Column("owner", String(96), nullable=False),
    Column("epoch", Integer, nullable=False),
    Column("state", String(16), nullable=False),
    Column("decision", String(8)),
    Column("fenced_at_ms", BigInteger, nullable=False),
)

# What operators did, why, and what they found: state and decision before. Written with what they did.
interventions = Table(
    "interventions",
    metadata,
    Column("id", _NUMBER, primary_key=True),
    Column("gid", String(64), nullable=False),
    Column("action", String(8), nullable=False),
    Column("operator", String(64), nullable=False),
    Column("reason", String(200), nullable=False),
    Column("state_before", String(16), nullable=False),
    Column("decision_before", String(8)),
    Column("intervened_at_ms", BigInteger, nullable=False),
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
