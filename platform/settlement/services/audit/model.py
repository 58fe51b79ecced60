"""Tables of the audit trail: the records, and the one row that says where the chain ends.

Records are inserted and never changed or deleted by this service; whoever does it otherwise is found by `verify`.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Index, Integer, MetaData, String, Table, Text

metadata = MetaData()

# SQLite numbers rows by itself only for a column declared exactly INTEGER; this one we number ourselves.
SEQ = BigInteger().with_variant(Integer, "sqlite")

records = Table(
    "records",
    metadata,
    Column("seq", SEQ, primary_key=True, autoincrement=False),
    Column("event_id", String(36), nullable=False, unique=True),
    Column("type", String(64), nullable=False),
    Column("subject", String(128), nullable=False),
    # Canonical JSON, exactly as it was hashed.
    Column("data", Text, nullable=False),
    Column("occurred_at_ms", BigInteger, nullable=False),
    Column("recorded_at_ms", BigInteger, nullable=False),
    Column("prev_hash", String(64), nullable=False),
    Column("hash", String(64), nullable=False),
)
Index("records_by_type", records.c.type, records.c.seq)
Index("records_by_subject", records.c.subject, records.c.seq)
# To tell a moved record from a missing one, verification asks who follows whom.
Index("records_by_hash", records.c.hash)
Index("records_by_prev_hash", records.c.prev_hash)

# One row, id 1: locked by whoever appends, so that replicas append one after the other.
chain_head = Table(
    "chain_head",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("seq", BigInteger, nullable=False),
    Column("hash", String(64), nullable=False),
)

VIEWS = {
    "audit_trail": (
        "SELECT seq, event_id, type, subject, data, occurred_at_ms, recorded_at_ms, prev_hash, hash FROM records"
    ),
}
