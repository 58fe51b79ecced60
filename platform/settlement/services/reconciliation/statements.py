"""Statements as they were imported, kept as evidence for the differences found in them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from sqlalchemy import Row, bindparam, func, insert, select

from settlement.chassis.problems import Problem
from settlement.chassis.sql import insert_ignore
from settlement.services.reconciliation.comparing import Line
from settlement.services.reconciliation.model import statement_lines, statements

if TYPE_CHECKING:
    from settlement.chassis.clock import Clock
    from settlement.chassis.database import Database, Transaction

LINES_AT_ONCE = 500

_INSERT = insert(statements)
_ONE = select(statements).where(statements.c.statement_id == bindparam("wanted"))
_ADD_LINE = insert_ignore(statement_lines)
_LINES = select(statement_lines).where(statement_lines.c.statement_id == bindparam("wanted")).order_by("entry_id")
_COUNT = select(func.count()).select_from(statement_lines).where(statement_lines.c.statement_id == bindparam("wanted"))


class Statements:
    """The imported statements."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def import_lines(
        self, channel: str, source: str, from_ms: int, until_ms: int, covers_until_ms: int, lines: Sequence[Line]
    ) -> int:
        """Store a statement with its lines; returns its id."""
        row = {"channel": channel, "source": source, "from_ms": from_ms, "until_ms": until_ms}
        row |= {"covers_until_ms": covers_until_ms, "imported_at_ms": self._clock.now_ms()}
        statement_id = (await self._database.write(_INSERT, row)).lastrowid
        await self.add(statement_id, lines)
        return statement_id

    async def add(self, statement_id: int, lines: Sequence[Line]) -> int:
        """Add lines, once per entry id; returns how many the statement has now."""
        for part in _parts(lines):
            await self._database.run(lambda tx, part=part: _add(tx, statement_id, part))  # type: ignore[misc]
        return int((await self._database.read(_COUNT, {"wanted": statement_id}))[0][0])

    async def find(self, statement_id: int) -> Row[Any]:
        """A statement. Raises Problem 404."""
        rows = await self._database.read(_ONE, {"wanted": statement_id})
        if not rows:
            raise Problem(404, "statement_not_found", "No such statement", str(statement_id))
        return rows[0]

    async def lines(self, statement_id: int) -> list[Line]:
        """All lines of a statement, in their order."""
        rows = await self._database.read(_LINES, {"wanted": statement_id})
        return [Line(**{name: row._mapping[name] for name in Line.__slots__}) for row in rows]

    async def describe(self, statement_id: int) -> dict[str, Any]:
        """A statement as an operator sees it."""
        row = await self.find(statement_id)
        count = (await self._database.read(_COUNT, {"wanted": statement_id}))[0][0]
        return {**row._mapping, "lines": count}


async def _add(tx: Transaction, statement_id: int, part: Sequence[Line]) -> None:
    for line in part:
        await tx.execute(_ADD_LINE, {"statement_id": statement_id, **asdict(line)})


def _parts(lines: Sequence[Line]) -> Iterator[Sequence[Line]]:
    for start in range(0, len(lines), LINES_AT_ONCE):
        yield lines[start : start + LINES_AT_ONCE]
