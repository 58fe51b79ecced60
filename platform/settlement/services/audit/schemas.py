"""What operators see of the audit trail. Times are epoch milliseconds."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from settlement.services.audit.chain import Finding, Link


class RecordView(BaseModel):
    """A record; `data` is a text instead of an object if somebody tampered with it."""

    seq: int
    event_id: str
    type: str
    subject: str
    data: dict[str, Any] | str
    occurred_at_ms: int
    recorded_at_ms: int
    prev_hash: str
    hash: str


class RecordPage(BaseModel):
    """A page of records in their order; `next_after` is the cursor of the next page, null on the last."""

    records: list[RecordView]
    next_after: int | None


class VerdictView(BaseModel):
    """What a walk proved; `next_after` leads on while there is more, `broken` is the first thing that is wrong."""

    intact: bool
    proven: int
    next_after: int | None
    head: Link
    broken: Finding | None
