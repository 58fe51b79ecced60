"""Tables of the audit trail: the records, and the one row that says where the chain ends.

Records are inserted and never changed or deleted by this service; whoever does it otherwise is found by `verify`.
"""

from __future__ import annotations

from sqlalchemy import Column, Index, Integer, MetaData, String, Table, Text

from settlement.chassis.columns import ROW_ID, moment, whole, word

metadata = MetaData()

records = Table(
    "records",
    metadata,
    Column("seq", ROW_ID, primary_key=True, autoincrement=False),
    Column("event_id", String(36), nullable=False, unique=True),
    word("type", 64),
    word("subject", 128),
    # Canonical JSON, exactly as it was hashed.
    Column("data", Text, nullable=False),
    moment("occurred_at_ms"),
    moment("recorded_at_ms"),
    word("prev_hash", 64),
    word("hash", 64),
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
    whole("seq"),
    word("hash", 64),
)

VIEWS = {
    "audit_trail": (
        "SELECT seq, event_id, type, subject, data, occurred_at_ms, recorded_at_ms, prev_hash, hash FROM records"
    ),
}
