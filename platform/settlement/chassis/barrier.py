"""The barrier table of a participant: reading it as protocol state, writing protocol records into it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel
from sqlalchemy import Row, Table, bindparam, func, insert, select, update

from settlement.chassis.participant import Payload
from settlement.chassis.two_phase_metrics import InDoubt
from settlement.protocol.effects import Reply
from settlement.protocol.participant import ParticipantState
from settlement.protocol.records import BarrierRecord, ParticipantPhase, Vote

if TYPE_CHECKING:
    from settlement.chassis.database import Database, Transaction

_FINAL = (ParticipantPhase.COMMITTED, ParticipantPhase.ABORTED)


@dataclass(frozen=True, slots=True)
class Subject:
    """The transaction a message is about."""

    gid: str
    kind: str
    payload: Payload


@dataclass(frozen=True, slots=True)
class Replying:
    """A reply that may be sent now: everything it promises is durable."""

    state: ParticipantState
    effect: Reply


class Standing(BaseModel):
    """Where a participant stands with a transaction: its vote, what it applied, how often it had to ask. Epoch ms."""

    gid: str
    state: ParticipantPhase
    vote: Vote | None
    reason: str
    voted_at_ms: int | None
    outcome_at_ms: int | None
    inquiries: int


def standing_of(row: Row[Any]) -> Standing:
    """What a row says to those who look."""
    return Standing.model_validate({name: row._mapping[name] for name in Standing.model_fields})


def state_of(gid: str, row: Row[Any] | None) -> ParticipantState:
    """The state that a row holds; the initial one if there is none."""
    if row is None:
        return ParticipantState(gid)
    return ParticipantState(gid, ParticipantPhase(row.state), Vote(row.vote) if row.vote else None, row.reason)


def subject_of(row: Row[Any]) -> Subject:
    """What the transaction of a row is about."""
    return Subject(row.gid, row.kind, Payload.model_validate_json(row.payload))


class Barrier:
    """One service's barrier rows. Statements are built once: building costs more than executing."""

    def __init__(self, table: Table) -> None:
        self._in_doubt = select(
            func.count().label("transactions"), func.min(table.c.voted_at_ms).label("oldest_at_ms")
        ).where(table.c.state == ParticipantPhase.PREPARED.value)
        self._find = select(table).where(table.c.gid == bindparam("wanted_gid"))
        self._find_locked = self._find.with_for_update()
        self._insert = insert(table)
        self._apply = (
            update(table)
            .where(table.c.gid == bindparam("wanted_gid"))
            .values(
                state=bindparam("new_state"),
                outcome=bindparam("new_outcome"),
                outcome_at_ms=bindparam("new_outcome_at_ms"),
            )
        )
        self._asked = (
            update(table)
            .where(table.c.gid.in_(bindparam("gids", expanding=True)))
            .values(
                inquiries=table.c.inquiries + 1, asked_at_ms=func.coalesce(table.c.asked_at_ms, bindparam("now_ms"))
            )
        )
        self._of_gids = select(table).where(table.c.gid.in_(bindparam("gids", expanding=True)))
        self._prepared = (
            select(table)
            .where(table.c.state == ParticipantPhase.PREPARED.value, table.c.voted_at_ms < bindparam("before_ms"))
            .order_by(table.c.voted_at_ms)
            .limit(bindparam("rows_max"))
        )

    async def read(self, database: Database, gid: str) -> Row[Any] | None:
        """The row as last committed."""
        return next(iter(await database.read(self._find, {"wanted_gid": gid})), None)

    async def find(self, tx: Transaction, gid: str) -> Row[Any] | None:
        """The row inside a transaction, locked where the database has row locks."""
        return (await tx.execute(self._find_locked, {"wanted_gid": gid})).one_or_none()

    async def prepared_before(self, database: Database, before_ms: int, limit: int) -> Sequence[Row[Any]]:
        """Rows in doubt whose yes vote is older than `before_ms`, oldest first."""
        return await database.read(self._prepared, {"before_ms": before_ms, "rows_max": limit})

    async def read_all(self, database: Database, gids: Sequence[str]) -> Sequence[Row[Any]]:
        """The rows of these transactions, of those that have one."""
        return await database.read(self._of_gids, {"gids": list(gids)})

    async def asked(self, tx: Transaction, gids: Sequence[str], now_ms: int) -> None:
        """Note that the coordinator had to be asked about each of these."""
        await tx.execute(self._asked, {"gids": list(gids), "now_ms": now_ms})

    async def in_doubt(self, database: Database) -> InDoubt:
        """How many rows are prepared and have no outcome, and since when the oldest is."""
        (row,) = await database.read(self._in_doubt)
        return InDoubt(row.transactions, row.oldest_at_ms)

    async def write(
        self, tx: Transaction, record: BarrierRecord, kind: str, payload: Payload, row: Row[Any] | None, now_ms: int
    ) -> None:
        """Make the record the row of its gid. `row` is what `find` found in this transaction."""
        final = record.phase in _FINAL
        outcome, outcome_at_ms = (record.phase.value, now_ms) if final else (None, None)
        if row is not None:
            changes = {"new_state": record.phase.value, "new_outcome": outcome, "new_outcome_at_ms": outcome_at_ms}
            await tx.execute(self._apply, {"wanted_gid": record.gid, **changes})
            return
        values = {
            "gid": record.gid,
            "kind": kind,
            "payload": payload.model_dump_json(),
            "state": record.phase.value,
            "vote": None if record.vote is None else record.vote.value,
            "reason": record.reason,
            "voted_at_ms": None if record.vote is None else now_ms,
            "outcome": outcome,
            "outcome_at_ms": outcome_at_ms,
        }
        await tx.execute(self._insert, values)
