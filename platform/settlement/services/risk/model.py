"""Tables of risk: rules with their history, assessments, and one row a user that velocity rules queue at."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Index, MetaData, String, Table, Text, UniqueConstraint

from settlement.chassis.columns import currency, moment, money, number, reference, row_id, whole, word
from settlement.chassis.retention import Retention

metadata = MetaData()

# The rules in force. `document` is the rule as an operator wrote it, as JSON.
rules = Table(
    "rules",
    metadata,
    Column("name", String(64), primary_key=True),
    number("version"),
    Column("document", Text, nullable=False),
    moment("changed_at_ms"),
)

# Append-only; `change_id` grows with every change of any rule, so that replicas notice. change: created | changed |
# deleted.
rule_versions = Table(
    "rule_versions",
    metadata,
    row_id("change_id"),
    word("name", 64),
    number("version"),
    word("change", 8),
    Column("document", Text, nullable=False),
    moment("changed_at_ms"),
    UniqueConstraint("name", "version", name="rule_versions_once"),
)

# One row a payment that was asked for; `fired` lists the rules that spoke against it, as JSON.
assessments = Table(
    "assessments",
    metadata,
    row_id("assessment_id"),
    word("payment_key", 64),
    whole("user_id"),
    reference("order_no"),
    money("amount_minor", positive=True),
    currency(),
    word("method", 16),
    word("verdict", 8),
    Column("fired", Text, nullable=False),
    moment("assessed_at_ms"),
    UniqueConstraint("payment_key", name="assessments_once_a_payment"),
)
Index("assessments_by_user", assessments.c.user_id, assessments.c.assessed_at_ms)

Index("assessments_by_age", assessments.c.assessed_at_ms)

# Whoever counts a user's payments holds this row: on a server, two assessments would otherwise both see one too few.
subjects = Table(
    "subjects",
    metadata,
    Column("user_id", BigInteger, primary_key=True, autoincrement=False),
    whole("assessments"),
)

VIEWS: dict[str, str] = {}

RETENTION = (Retention(assessments, "risk.kept_days", lambda before_ms: assessments.c.assessed_at_ms < before_ms),)
