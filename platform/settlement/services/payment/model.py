"""Tables of the payment service: payments, the ledger, customers' balances; and the views that an audit reads.

`postings` is the truth and append-only. `accounts` repeats, for customers only, what their postings sum up to, so
that a payment by balance is one guarded update instead of a sum over a history; the merchant's and the channels'
accounts have no such row, because every payment would queue for it.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, CheckConstraint, Column, Index, MetaData, String, Table

from settlement.chassis.columns import currency, moment, money, reference, row_id, whole, word
from settlement.chassis.participant import audit_votes_view, barrier_table

metadata = MetaData()
barrier = barrier_table(metadata)

# One row a transaction, payment or refund. States of a payment: held -> captured -> refunding -> refunded, or voided;
# of a refund: held -> captured, or voided. `payment_gid` of a payment is its own gid.
payments = Table(
    "payments",
    metadata,
    reference("gid", primary_key=True),
    reference("payment_gid"),
    word("kind", 16),
    whole("user_id"),
    reference("order_no"),
    word("method", 16),
    word("channel", 16, optional=True),
    reference("out_trade_no"),
    reference("refund_no", optional=True),
    money("amount_minor", positive=True),
    currency(),
    word("state", 16),
    moment("created_at_ms"),
    moment("updated_at_ms"),
)
Index("payments_by_payment", payments.c.payment_gid)
Index("payments_by_channel", payments.c.channel, payments.c.created_at_ms, payments.c.gid)

postings = Table(
    "postings",
    metadata,
    row_id("posting_id"),
    reference("gid"),
    word("account", 64),
    currency(),
    money("amount_minor"),
    word("layer", 8),
    moment("posted_at_ms"),
)
Index("postings_by_gid", postings.c.gid)

accounts = Table(
    "accounts",
    metadata,
    Column("account", String(64), primary_key=True),
    Column("currency", String(3), primary_key=True),
    money("posted_minor"),
    Column("held_minor", BigInteger, CheckConstraint("held_minor >= 0"), nullable=False),
    moment("opened_at_ms"),
    CheckConstraint("posted_minor >= held_minor", name="never_overdrawn"),
)

# One row a batch that clearing had paid out; its postings carry the batch's id as their gid.
payouts = Table(
    "payouts",
    metadata,
    reference("batch_id", primary_key=True),
    word("merchant_id", 32),
    currency(),
    money("gross_minor"),
    money("refunded_minor"),
    money("fee_minor"),
    moment("booked_at_ms"),
)

VIEWS = {
    "audit_votes": audit_votes_view("payment"),
    "audit_postings": "SELECT posting_id, gid, account, currency, amount_minor, layer, posted_at_ms FROM postings",
    "audit_payments": (
        "SELECT gid, payment_gid, kind, method, channel, out_trade_no, amount_minor, currency, state FROM payments"
    ),
}
