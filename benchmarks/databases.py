"""Ways from a coroutine to a durable SQLite row: how many committed inserts a second one process makes."""

import asyncio
import sqlite3
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import aiosqlite
import sqlalchemy
import uvloop
from sqlalchemy.ext.asyncio import create_async_engine

from benchmarks.measure import Figure, Sample, interleaved
from settlement.chassis.sqlite import SqliteDatabase

ROUNDS = 5
RUN_S = 0.8
CONCURRENCY = 16
DURABLE = ("PRAGMA journal_mode=WAL", "PRAGMA synchronous=FULL")
CREATE = "CREATE TABLE IF NOT EXISTS entry (id INTEGER PRIMARY KEY, gid TEXT, amount_minor INTEGER)"
INSERT = "INSERT INTO entry (gid, amount_minor) VALUES (?, ?)"

ENTRY = sqlalchemy.Table(
    "entry",
    sqlalchemy.MetaData(),
    sqlalchemy.Column("id", sqlalchemy.Integer, primary_key=True),
    sqlalchemy.Column("gid", sqlalchemy.Text),
    sqlalchemy.Column("amount_minor", sqlalchemy.Integer),
)
ROW = {"gid": "0123456789abcdef", "amount_minor": 12_345}
Insert = Callable[[], Awaitable[None]]


async def _repeat(insert: Insert) -> Sample:
    inserted = 0
    until_s = time.perf_counter() + RUN_S

    async def one_after_another() -> None:
        nonlocal inserted
        while time.perf_counter() < until_s:
            await insert()
            inserted += 1
            # Gives way to the other coroutines, as awaiting the next request would.
            await asyncio.sleep(0)

    before_s = time.process_time()
    await asyncio.gather(*(one_after_another() for _ in range(CONCURRENCY)))
    return Sample(inserted / RUN_S, inserted / (time.process_time() - before_s))


async def _plain(path: Path) -> Sample:
    connection = sqlite3.connect(path, isolation_level=None)
    for statement in (*DURABLE, CREATE):
        connection.execute(statement)

    async def insert() -> None:
        connection.execute("BEGIN IMMEDIATE")
        connection.execute(INSERT, tuple(ROW.values()))
        connection.execute("COMMIT")

    try:
        return await _repeat(insert)
    finally:
        connection.close()


def _immediate(connection: sqlalchemy.Connection) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE")


async def _core(path: Path) -> Sample:
    engine = sqlalchemy.create_engine(f"sqlite:///{path}", connect_args={"isolation_level": None})
    sqlalchemy.event.listen(engine, "begin", _immediate)
    with engine.connect() as connection:
        for statement in (*DURABLE, CREATE):
            connection.connection.execute(statement)

        async def insert() -> None:
            with connection.begin():
                connection.execute(ENTRY.insert(), ROW)

        return await _repeat(insert)


async def _grouped(path: Path) -> Sample:
    database = SqliteDatabase(path)
    await database.create_schema([ENTRY.metadata], {})
    statement = ENTRY.insert()

    async def insert() -> None:
        async with database.transaction() as tx:
            await tx.execute(statement, ROW)

    try:
        return await _repeat(insert)
    finally:
        await database.close()


async def _aiosqlite(path: Path) -> Sample:
    turn = asyncio.Lock()
    async with aiosqlite.connect(path, isolation_level=None) as connection:
        for statement in (*DURABLE, CREATE):
            await connection.execute(statement)

        async def insert() -> None:
            async with turn:
                await connection.execute("BEGIN IMMEDIATE")
                await connection.execute(INSERT, tuple(ROW.values()))
                await connection.execute("COMMIT")

        return await _repeat(insert)


async def _async_core(path: Path) -> Sample:
    turn = asyncio.Lock()
    engine = create_async_engine(f"sqlite+aiosqlite:///{path}", connect_args={"isolation_level": None})
    sqlalchemy.event.listen(engine.sync_engine, "begin", _immediate)
    async with engine.connect() as connection:
        raw = (await connection.get_raw_connection()).driver_connection
        assert isinstance(raw, aiosqlite.Connection)
        for statement in (*DURABLE, CREATE):
            await raw.execute(statement)

        async def insert() -> None:
            async with turn, connection.begin():
                await connection.execute(ENTRY.insert(), ROW)

        sample = await _repeat(insert)
    await engine.dispose()
    return sample


def measure() -> dict[str, list[Figure]]:
    """Durable inserts a second (WAL, synchronous FULL, BEGIN IMMEDIATE), 16 coroutines taking turns."""
    ways: dict[str, Callable[[Path], Awaitable[Sample]]] = {
        "sqlite3 in the loop": _plain,
        "SQLAlchemy Core, synchronous in the loop": _core,
        "ours: Core in the loop, group commit": _grouped,
        "aiosqlite": _aiosqlite,
        "SQLAlchemy Core, asynchronous": _async_core,
    }
    with tempfile.TemporaryDirectory(prefix="paylab-bench-") as folder:

        def runner(number: int, way: Callable[[Path], Awaitable[Sample]]) -> Callable[[], Sample]:
            async def run() -> Sample:
                return await way(Path(folder) / f"way-{number}.sqlite")

            return lambda: uvloop.run(run())

        candidates = {name: runner(number, way) for number, (name, way) in enumerate(ways.items())}
        return {"SQLite from a coroutine, durable inserts": interleaved(candidates, ROUNDS)}
