"""Appending to the trail, reading it, and walking its chain."""

from __future__ import annotations

import asyncio
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import Row, bindparam, func, insert, select, update

from settlement.chassis.sql import insert_ignore
from settlement.services.audit.chain import Damage, Finding, Link, Record, canonical, diagnose, hash_of
from settlement.services.audit.model import chain_head, records

if TYPE_CHECKING:
    from settlement.chassis.app import Chassis
    from settlement.chassis.database import Transaction
    from settlement.chassis.events import Event

HEAD_ID: Final = 1
PAGE: Final = 500

_FIRST_HEAD = insert_ignore(chain_head)
_HEAD = select(chain_head.c.seq, chain_head.c.hash).where(chain_head.c.id == HEAD_ID)
_LOCK_HEAD = _HEAD.with_for_update()
_MOVE_HEAD = update(chain_head).where(chain_head.c.id == HEAD_ID).values(seq=bindparam("to"), hash=bindparam("at"))
_KNOWN = select(records.c.seq).where(records.c.event_id == bindparam("wanted"))
_APPEND = insert(records)
_HIGHEST = select(func.max(records.c.seq))
_AT = select(records).where(records.c.seq == bindparam("wanted"))
_AFTER = select(records).where(records.c.seq > bindparam("after")).order_by(records.c.seq).limit(bindparam("size"))
_UP_TO = _AFTER.where(records.c.seq <= bindparam("last"))
_BY_HASH = select(records).where(records.c.hash == bindparam("wanted")).limit(1)
_BY_PREV = select(records).where(records.c.prev_hash == bindparam("wanted")).order_by(records.c.seq).limit(1)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a walk found: how many records it proved, where it stopped, and the first thing that is wrong."""

    proven: int
    end: Link
    head: Link
    finding: Finding | None


class Trail:
    """The records of this platform."""

    def __init__(self, chassis: Chassis) -> None:
        self._chassis = chassis
        self._database = chassis.database

    async def begin(self) -> None:
        """Write the head of an empty chain, if there is none yet; replicas may all call this at the same time."""

        async def write(tx: Transaction) -> None:
            await tx.execute(_FIRST_HEAD, {"id": HEAD_ID, **asdict(Link())})

        await self._database.run(write)

    async def append(self, tx: Transaction, event: Event) -> None:
        """Add an event to the end of the chain; nothing happens if it is in the trail already."""
        # Locked before all else: from here on the end of the chain, and what is in it, is ours to read.
        head = _link((await tx.execute(_LOCK_HEAD)).one())
        if (await tx.execute(_KNOWN, {"wanted": event.event_id})).one_or_none() is not None:
            return
        content: dict[str, str | int] = {
            "event_id": event.event_id,
            "type": event.type,
            "subject": event.subject,
            "data": canonical(event.data),
            "occurred_at_ms": event.occurred_at_ms,
            "recorded_at_ms": self._chassis.clock.now_ms(),
        }
        new = Link(head.seq + 1, hash_of(head.hash, *content.values()))
        await tx.execute(_APPEND, {**content, "seq": new.seq, "prev_hash": head.hash, "hash": new.hash})
        await tx.execute(_MOVE_HEAD, {"to": new.seq, "at": new.hash})

    async def head(self) -> Link:
        """Where the chain ends: a checkpoint to be kept elsewhere."""
        rows = await self._database.read(_HEAD)
        # Who deleted the head's row finds every record standing behind an empty chain.
        return _link(rows[0]) if rows else Link()

    async def page(
        self,
        *,
        after: int,
        limit: int,
        type: str | None,  # noqa: A002
        subject: str | None,
    ) -> tuple[list[Record], int | None]:
        """Up to `limit` records behind position `after`, and the cursor of the next page (None on the last)."""
        query = _AFTER
        if type is not None:
            query = query.where(records.c.type == type)
        if subject is not None:
            query = query.where(records.c.subject == subject)
        rows = await self._database.read(query, {"after": after, "size": limit + 1})
        shown = [_record(row) for row in rows[:limit]]
        return shown, shown[-1].seq if len(rows) > limit else None

    async def verify(self, *, after: int, limit: int, checkpoint: Link | None) -> Verdict:
        """Walk up to `limit` records behind position `after`, whose own record is taken as good.

        Records appended meanwhile are not looked at. `checkpoint` is an earlier head that was kept elsewhere.
        """
        # In this order: what is appended in between moves the head beyond the highest record, never the other way.
        highest: int = (await self._database.read(_HIGHEST))[0][0] or 0
        head = await self.head()
        start = await self._start(after)
        if start is None:
            gone = Finding(after, None, Damage.MISSING, f"the walk was to begin behind {after}, which is not there")
            return Verdict(0, Link(), head, gone)
        end, finding = await self._walk(start, min(head.seq, start.seq + limit), checkpoint)
        if finding is None and end.seq == head.seq:
            finding = await self._beyond(end, head, highest) or _short_of(checkpoint, end)
        return Verdict(end.seq - start.seq, end, head, finding)

    async def _start(self, after: int) -> Link | None:
        if after == 0:
            return Link()
        rows = await self._database.read(_AT, {"wanted": after})
        return _link(rows[0]) if rows else None

    async def _walk(self, end: Link, last: int, checkpoint: Link | None) -> tuple[Link, Finding | None]:
        """Prove record after record; the last one proven, and what is wrong with the next."""
        while end.seq < last:
            rows = await self._database.read(_UP_TO, {"after": end.seq, "size": PAGE, "last": last})
            if not rows:
                detail = f"the chain goes on to {last}, its records end at {end.seq}"
                return end, Finding(end.seq + 1, None, Damage.MISSING, detail)
            for record in map(_record, rows):
                if not end.continued_by(record):
                    return end, await self._diagnosed(end, record)
                if checkpoint is not None and checkpoint.seq == record.seq and checkpoint.hash != record.hash:
                    detail = "its hash is not that of the checkpoint: the chain was written anew up to here"
                    return end, Finding(record.seq, record.event_id, Damage.REWRITTEN, detail)
                end = Link(record.seq, record.hash)
            await asyncio.sleep(0)  # a long walk lets others have their turn
        return end, None

    async def _diagnosed(self, end: Link, record: Record) -> Finding:
        before = await self._database.read(_BY_HASH, {"wanted": record.prev_hash})
        behind = await self._database.read(_BY_PREV, {"wanted": end.hash})
        found = diagnose(end, record, *(_record(rows[0]) if rows else None for rows in (before, behind)))
        if found.damage is not Damage.INSERTED or found.event_id is not None:
            return found
        (intruder,) = await self._database.read(_AT, {"wanted": found.seq})
        return replace(found, event_id=intruder.event_id)

    async def _beyond(self, end: Link, head: Link, highest: int) -> Finding | None:
        """What is wrong behind the last record."""
        if end.hash != head.hash:
            return Finding(end.seq, None, Damage.REWRITTEN, "the last record is not the one that the head names")
        if highest > head.seq:
            (row,) = await self._database.read(_AFTER, {"after": head.seq, "size": 1})
            detail = f"the chain ends at {head.seq}"
            return Finding(row.seq, row.event_id, Damage.INSERTED, detail)
        return None


def _short_of(checkpoint: Link | None, end: Link) -> Finding | None:
    if checkpoint is None or checkpoint.seq <= end.seq:
        return None
    return Finding(end.seq + 1, None, Damage.MISSING, f"the checkpoint is at {checkpoint.seq}, the chain ends before")


def _link(row: Row[Any]) -> Link:
    return Link(row.seq, row.hash)


def _record(row: Row[Any]) -> Record:
    return Record(**row._mapping)
