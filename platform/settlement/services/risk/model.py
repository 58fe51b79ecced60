"""Tables of risk: rules with their history, assessments, and one row a user that velocity rules queue at."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
)

metadata = MetaData()

# SQLite numbers rows by itself only for a column declared exactly INTEGER.
ROW_ID = BigInteger().with_variant(Integer, "sqlite")

# The rules in force. `document` is the rule as an operator wrote it, as JSON.
rules = Table(
    "rules",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("version", Integer, nullable=False),
    Column("document", Text, nullable=False),
    Column("changed_at_ms", BigInteger, nullable=False),
)

# Append-only; `change_id` grows with every change of any rule, so that replicas notice. change: created | changed |
# deleted.
rule_versions = Table(
    "rule_versions",
    metadata,
    Column("change_id", ROW_ID, primary_key=True, autoincrement=True),
    Column("name", String(64), nullable=False),
    Column("version", Integer, nullable=False),
    Column("change", String(8), nullable=False),
    Column("document", Text, nullable=False),
    Column("changed_at_ms", BigInteger, nullable=False),
    UniqueConstraint("name", "version", name="rule_versions_once"),
)

# One row a payment that was asked for; `fired` lists the rules that spoke against it, as JSON.
assessments = Table(
    "assessments",
    metadata,
    Column("assessment_id", ROW_ID, primary_key=True, autoincrement=True),
    Column("payment_key", String(64), nullable=False),
    Column("user_id", BigInteger, nullable=False),
    Column("order_no", String(64), nullable=False),
    Column("amount_minor", BigInteger, CheckConstraint("amount_minor > 0"), nullable=False),
    Column("currency", String(3), nullable=False),
    Column("method", String(16), nullable=False),
    Column("verdict", String(8), nullable=False),
    Column("fired", Text, nullable=False),
    Column("assessed_at_ms", BigInteger, nullable=False),
    UniqueConstraint("payment_key", name="assessments_once_a_payment"),
)
Index("assessments_by_user", assessments.c.user_id, assessments.c.assessed_at_ms)

# Whoever counts a user's payments holds this row: on a server, two assessments would otherwise both see one too few.
subjects = Table(
    "subjects",
    metadata,
    Column("user_id", BigInteger, primary_key=True, autoincrement=False),
    Column("assessments", BigInteger, nullable=False),
)

VIEWS: dict[str, str] = {}
