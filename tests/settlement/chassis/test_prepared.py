"""A statement that comes again is executed another way, and nobody can tell."""

from __future__ import annotations

import gc
import weakref
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from settlement.chassis.database import Database
from settlement.chassis.prepared import Statements
from settlement.chassis.sqlite import SqliteDatabase

metadata = sa.MetaData()
things = sa.Table(
    "things",
    metadata,
    sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True),
    sa.Column("name", sa.String(20), unique=True),
    sa.Column("good", sa.Boolean, nullable=False),
    sa.Column("units", sa.BigInteger, nullable=False, server_default="7"),
)
others = sa.Table("others", metadata, sa.Column("id", sa.Integer, primary_key=True), sa.Column("name", sa.String(20)))
defaulted = sa.Table(
    "defaulted",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("made", sa.String, default=lambda: "x"),
)
TIMES = range(1, 5)


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    opened = SqliteDatabase(tmp_path / "things.sqlite")
    await opened.create_schema([metadata], {})
    async with opened.transaction() as tx:
        rows = [
            {"id": number, "name": f"n{number}", "good": number % 2 == 0, "units": number} for number in range(1, 9)
        ]
        await tx.execute(sa.insert(things), rows)
        await tx.execute(sa.insert(others), [{"id": number, "name": f"o{number}"} for number in range(1, 9)])
    yield opened
    await opened.close()


WANTED = sa.bindparam("wanted")
QUERIES: list[tuple[sa.Executable, dict[str, Any]]] = [
    (sa.select(things).where(things.c.id == WANTED), {"wanted": 2}),
    (sa.select(things).where(things.c.good.is_(True), things.c.units > 3).order_by(things.c.id).limit(2), {}),
    (sa.select(things, others).join(others, others.c.id == things.c.id).where(things.c.id == WANTED), {"wanted": 3}),
    (sa.select(things.c.good.label("count"), sa.func.sum(things.c.units)).group_by(things.c.good), {}),
    (sa.select(things.c.name).where(things.c.id.in_(sa.bindparam("ids", expanding=True))), {"ids": [1, 5]}),
    (sa.select(things.c.id).where(things.c.name == WANTED), {"wanted": "nobody"}),
    (sa.text("SELECT id, name AS called FROM things WHERE id = :wanted"), {"wanted": 4}),
]


@pytest.mark.parametrize(("query", "parameters"), QUERIES)
async def test_rows_stay_what_they_were(database: Database, query: sa.Executable, parameters: dict[str, Any]) -> None:
    first, *later = [await database.read(query, parameters) for _ in TIMES]
    for rows in later:
        assert rows == first
        assert [dict(row._mapping) for row in rows] == [dict(row._mapping) for row in first]
        assert [[type(value) for value in row] for row in rows] == [[type(value) for value in row] for row in first]


async def test_a_list_may_have_another_length_each_time(database: Database) -> None:
    query = sa.select(things.c.id).where(things.c.id.in_(sa.bindparam("ids", expanding=True))).order_by(things.c.id)
    for wanted in ([1, 2], [3], [], [4, 5, 6]):
        assert [row.id for row in await database.read(query, {"ids": wanted})] == wanted


async def test_what_changed_is_counted_and_what_was_inserted_is_numbered(database: Database) -> None:
    add = sa.insert(things)
    double = sa.update(things).where(things.c.units > WANTED).values(units=things.c.units * 2)
    for number in TIMES:
        async with database.transaction() as tx:
            assert (await tx.execute(double, {"wanted": 8 * 2 ** (number - 1) - 1})).rowcount == 1
            assert (await tx.execute(add, {"name": f"new {number}", "good": True})).lastrowid == 8 + number
            rows = [{"name": f"{number} {letter}", "good": False, "id": -100 * number - ord(letter)} for letter in "ab"]
            assert (await tx.execute(add, rows)).rowcount == 2
    fresh = await database.read(sa.select(things).where(things.c.name == "new 4"))
    assert [(row.good, row.units) for row in fresh] == [(True, 7)]


async def test_a_value_is_left_out_or_given_as_the_parameters_say(database: Database) -> None:
    add = sa.insert(things)
    for number in TIMES:
        async with database.transaction() as tx:
            await tx.execute(add, {"name": f"without {number}", "good": True})
            await tx.execute(add, {"name": f"with {number}", "good": True, "units": 1})
    units = sa.select(things.c.units).where(things.c.name.like("with%")).order_by(things.c.name)
    assert [row.units for row in await database.read(units)] == [1, 1, 1, 1, 7, 7, 7, 7]


async def test_a_default_of_the_table_is_computed_each_time(database: Database) -> None:
    add = sa.insert(defaulted)
    for number in TIMES:
        async with database.transaction() as tx:
            await tx.execute(add, {"id": number})
    assert [row.made for row in await database.read(sa.select(defaulted))] == ["x"] * 4


async def test_errors_are_still_sqlalchemys(database: Database) -> None:
    add = sa.insert(things)
    for _ in TIMES:
        with pytest.raises(sa.exc.IntegrityError, match="UNIQUE constraint failed"):
            async with database.transaction() as tx:
                await tx.execute(add, {"name": "n1", "good": True})
        with pytest.raises(OverflowError):
            async with database.transaction() as tx:
                await tx.execute(add, {"name": "large", "good": True, "units": 2**63})
        with pytest.raises(sa.exc.StatementError, match="wanted"):
            await database.read(QUERIES[0][0], {})


def test_a_statement_is_forgotten_with_whoever_built_it() -> None:
    statements = Statements(sa.create_engine("sqlite://").dialect)
    query = sa.select(things.c.id)
    assert [statements.prepared(query, None) is None for _ in TIMES] == [True, False, False, False]
    watched = weakref.ref(query)
    del query
    gc.collect()
    assert watched() is None
