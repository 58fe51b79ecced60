"""The hash chain, pure: how a record is hashed, and where a chain breaks.

    hash = SHA-256 of the canonical JSON [prev_hash, event_id, type, subject, data, occurred_at_ms, recorded_at_ms]

The first record's `prev_hash` is GENESIS. The position `seq` is not part of the hash: the links alone give the order.
So a record that was moved still proves its own content, and is told apart from one that was altered. Whoever can
write to the database can also compute a whole new chain behind the place of a change; that is found by comparing with
a checkpoint (seq and hash) that was kept elsewhere.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

GENESIS: Final = "0" * 64


class Damage(StrEnum):
    """What can be wrong with a record."""

    ALTERED = "altered"
    MISSING = "missing"
    INSERTED = "inserted"
    REORDERED = "reordered"
    REWRITTEN = "rewritten"


@dataclass(frozen=True, slots=True)
class Record:
    """One record; `data` is canonical JSON text."""

    seq: int
    event_id: str
    type: str
    subject: str
    data: str
    occurred_at_ms: int
    recorded_at_ms: int
    prev_hash: str
    hash: str

    @property
    def own_hash(self) -> str:
        """What `hash` must be."""
        return hash_of(
            self.prev_hash,
            self.event_id,
            self.type,
            self.subject,
            self.data,
            self.occurred_at_ms,
            self.recorded_at_ms,
        )


@dataclass(frozen=True, slots=True)
class Link:
    """The end of a chain, or of its part that was verified."""

    seq: int = 0
    hash: str = GENESIS

    def continued_by(self, record: Record) -> bool:
        """Whether this record, its content proven, comes next."""
        return record.seq == self.seq + 1 and record.prev_hash == self.hash and record.own_hash == record.hash


@dataclass(frozen=True, slots=True)
class Finding:
    """The first thing that is wrong: at which position, with which event (None if it is gone), and what."""

    seq: int
    event_id: str | None
    damage: Damage
    detail: str


def canonical(data: Any) -> str:
    """JSON with one spelling: sorted keys, no spaces, ASCII only. Raises ValueError for NaN."""
    return json.dumps(data, sort_keys=True, separators=(",", ":"), allow_nan=False)


def hash_of(prev_hash: str, *content: str | int) -> str:
    """The hash of a record with this content (event id, type, subject, data, both times), in hexadecimal."""
    return hashlib.sha256(canonical([prev_hash, *content]).encode("ascii")).hexdigest()


def diagnose(end: Link, record: Record, predecessor: Record | None, successor: Record | None) -> Finding:
    """What is wrong with `record`, which does not continue `end`.

    `predecessor` is the record whose hash is `record.prev_hash`, `successor` the one that names `end` as its
    predecessor; None where there is no such record.
    """
    if record.own_hash != record.hash:
        return _finding(record, Damage.ALTERED, "its content does not give its hash")
    if record.prev_hash == end.hash:
        detail = f"it stands at {record.seq} and follows the record at {end.seq}"
        return _finding(record, Damage.REORDERED, detail)
    if predecessor is not None and predecessor.seq < end.seq:
        detail = f"the record at {record.seq} follows the one at {predecessor.seq} directly"
        return Finding(predecessor.seq + 1, None, Damage.INSERTED, detail)
    if predecessor is not None:
        return _finding(record, Damage.REORDERED, f"it follows the record at {predecessor.seq}")
    if successor is not None:
        detail = f"it follows no record; the record at {end.seq} is followed by the one at {successor.seq}"
        return _finding(record, Damage.INSERTED, detail)
    detail = f"the record at {record.seq} follows one that is not there"
    if record.seq == end.seq + 1:
        detail += f"; it was removed, or the one at {end.seq} replaced"
    return Finding(end.seq + 1, None, Damage.MISSING, detail)


def _finding(record: Record, damage: Damage, detail: str) -> Finding:
    return Finding(record.seq, record.event_id, damage, detail)
