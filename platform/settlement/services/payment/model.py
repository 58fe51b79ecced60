"""Tables of the payment service: payments, the ledger, customers' balances; and the views that an audit reads.

`postings` is the truth and append-only. `accounts` repeats, for customers only, what their postings sum up to, so
that a payment by balance is one guarded update instead of a sum over a history; the merchant's and the channels'
accounts have no such row, because every payment would queue for it.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, CheckConstraint, Column, Index, Integer, MetaData, String, Table

from settlement.chassis.participant import audit_votes_view, barrier_table

metadata = MetaData()
barrier = barrier_table(metadata)

# SQLite numbers rows by itself only for a column declared exactly INTEGER.
ROW_ID = BigInteger().with_variant(Integer, "sqlite")

# One row a transaction, payment or refund. States of a payment: held -> captured -> refunding -> refunded, or voided;
# of a refund: held -> captured, or voided. `payment_gid` of a payment is its own gid.
payments = Table(
    "payments",
    metadata,
    Column("gid", String(64), primary_key=True),
    Column("payment_gid", String(64), nullable=False),
    Column("kind", String(16), nullable=False),
    Column("user_id", BigInteger, nullable=False),
    Column("order_no", String(64), nullable=False),
    Column("method", String(16), nullable=False),
    Column("channel", String(16)),
    Column("out_trade_no", String(64), nullable=False),
    Column("refund_no", String(64)),
    Column("amount_minor", BigInteger, CheckConstraint("amount_minor > 0"), nullable=False),
    Column("currency", String(3), nullable=False),
    Column("state", String(16), nullable=False),
    Column("created_at_ms", BigInteger, nullable=False),
    Column("updated_at_ms", BigInteger, nullable=False),
)
Index("payments_by_payment", payments.c.payment_gid)
Index("payments_by_channel", payments.c.channel, payments.c.created_at_ms, payments.c.gid)

postings = Table(
    "postings",
    metadata,
    Column("posting_id", ROW_ID, primary_key=True, autoincrement=True),
    Column("gid", String(64), nullable=False),
    Column("account", String(64), nullable=False),
    Column("currency", String(3), nullable=False),
    Column("amount_minor", BigInteger, nullable=False),
    Column("layer", String(8), nullable=False),
    Column("posted_at_ms", BigInteger, nullable=False),
)
Index("postings_by_gid", postings.c.gid)

accounts = Table(
    "accounts",
    metadata,
    Column("account", String(64), primary_key=True),
    Column("currency", String(3), primary_key=True),
    Column("posted_minor", BigInteger, nullable=False),
    Column("held_minor", BigInteger, CheckConstraint("held_minor >= 0"), nullable=False),
    Column("opened_at_ms", BigInteger, nullable=False),
    CheckConstraint("posted_minor >= held_minor", name="never_overdrawn"),
)

# One row a batch that clearing had paid out; its postings carry the batch's id as their gid.
payouts = Table(
    "payouts",
    metadata,
    Column("batch_id", String(64), primary_key=True),
    Column("merchant_id", String(32), nullable=False),
    Column("currency", String(3), nullable=False),
    Column("gross_minor", BigInteger, nullable=False),
    Column("refunded_minor", BigInteger, nullable=False),
    Column("fee_minor", BigInteger, nullable=False),
    Column("booked_at_ms", BigInteger, nullable=False),
)

VIEWS = {
    "audit_votes": audit_votes_view("payment"),
    "audit_postings": "SELECT posting_id, gid, account, currency, amount_minor, layer, posted_at_ms FROM postings",
    "audit_payments": (
        "SELECT gid, payment_gid, kind, method, channel, out_trade_no, amount_minor, currency, state FROM payments"
    ),
}
