"""Transactions: all or nothing, seen by others only when committed, patient with other processes."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from settlement.chassis import durability
from settlement.chassis import sqlite as module
from settlement.chassis.database import Database, DatabaseBusy
from settlement.chassis.sql import insert_ignore
from settlement.chassis.sqlite import SqliteDatabase

metadata = sa.MetaData()
things = sa.Table("things", metadata, sa.Column("id", sa.Integer, primary_key=True), sa.Column("name", sa.String))
INSERT = sa.insert(things)
NAMES = sa.select(things.c.name).order_by(things.c.id)


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    opened = SqliteDatabase(tmp_path / "things.sqlite")
    await opened.create_schema([metadata], {"audit_things": "SELECT name FROM things"})
    yield opened
    await opened.close()


async def _names(database: Database) -> list[str]:
    return [row.name for row in await database.read(NAMES)]


async def test_a_transaction_is_seen_when_it_is_committed_and_not_before(database: Database) -> None:
    async with database.transaction() as tx:
        await tx.execute(INSERT, {"name": "a"})
        assert await asyncio.create_task(_names(database)) == []  # asked by somebody else
    assert await _names(database) == ["a"]


@pytest.mark.parametrize("error", [ValueError, asyncio.CancelledError, KeyboardInterrupt])
async def test_an_error_of_any_kind_rolls_everything_back(database: Database, error: type[BaseException]) -> None:
    with pytest.raises(error):
        async with database.transaction() as tx:
            await tx.execute(INSERT, {"name": "a"})
            raise error
    async with database.transaction() as tx:
        await tx.execute(INSERT, {"name": "b"})
    assert await _names(database) == ["b"]


@pytest.mark.parametrize("statement", [INSERT, sa.insert(things).values(id=1)], ids=["seen before", "of this occasion"])
async def test_an_error_does_not_repeat_what_was_to_be_written(database: Database, statement: sa.Insert) -> None:
    await database.write(INSERT, {"id": 1, "name": "a"})
    with pytest.raises(sa.exc.IntegrityError) as refused:
        await database.write(statement, {"id": 1, "name": "my secret"})
    assert "my secret" not in str(refused.value)


async def test_a_statement_that_fails_rolls_back_what_came_before(database: Database) -> None:
    with pytest.raises(sa.exc.IntegrityError):
        async with database.transaction() as tx:
            await tx.execute(INSERT, {"id": 1, "name": "a"})
            await tx.execute(INSERT, {"id": 1, "name": "again"})
    with pytest.raises(OverflowError):
        async with database.transaction() as tx:
            await tx.execute(INSERT, {"name": "b"})
            await tx.execute(INSERT, {"id": 2**70, "name": "c"})
    assert await _names(database) == []


async def test_concurrent_read_modify_writes_lose_nothing(database: Database) -> None:
    async with database.transaction() as tx:
        await tx.execute(INSERT, {"id": 1, "name": "0"})

    async def count_up() -> None:
        async with database.transaction() as tx:
            value = int((await tx.execute(NAMES)).scalar_one())
            await asyncio.sleep(0)
            await tx.execute(sa.update(things).values(name=str(value + 1)))

    await asyncio.gather(*(count_up() for _ in range(20)))
    assert await _names(database) == ["20"]


async def test_another_process_that_holds_the_lock_is_waited_for(database: Database) -> None:
    other = sqlite3.connect(database.path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    other.execute("INSERT INTO things (name) VALUES ('theirs')")

    async def write() -> None:
        async with database.transaction() as tx:
            await tx.execute(INSERT, {"name": "ours"})

    writing = asyncio.create_task(write())
    for _ in range(5):
        await asyncio.sleep(0)  # the event loop is not blocked meanwhile
    assert not writing.done()
    other.execute("COMMIT")
    await asyncio.wait_for(writing, 5)
    assert await _names(database) == ["theirs", "ours"]
    other.close()


async def test_a_lock_held_for_too_long_is_an_error_and_leaves_nothing(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LOCK_WAIT_S_MAX", 0.02)
    other = sqlite3.connect(database.path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(DatabaseBusy):
        async with database.transaction() as tx:
            await tx.execute(INSERT, {"name": "ours"})
    other.close()
    async with database.transaction() as tx:
        await tx.execute(INSERT, {"name": "later"})
    assert await _names(database) == ["later"]


async def test_a_commit_is_in_the_file_that_another_process_reads(database: Database) -> None:
    async with database.transaction() as tx:
        await tx.execute(INSERT, {"name": "a"})
    with sqlite3.connect(database.path) as other:
        assert other.execute("SELECT name FROM audit_things").fetchall() == [("a",)]
        assert other.execute("PRAGMA journal_mode").fetchone() == ("wal",)


async def test_closing_folds_the_log_into_the_file(tmp_path: Path) -> None:
    opened = SqliteDatabase(tmp_path / "x.sqlite")
    await opened.create_schema([metadata], {})
    async with opened.transaction() as tx:
        await tx.execute(INSERT, {"name": "a"})
    await opened.close()
    assert os.listdir(tmp_path) == ["x.sqlite"]


@pytest.mark.parametrize(("name", "number", "syncs"), [("FULL", 1, 1), ("NORMAL", 1, 0), ("OFF", 0, 0)])
async def test_durability_is_as_set(
    tmp_path: Path, name: str, number: int, syncs: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = SqliteDatabase(tmp_path / "x.sqlite", name)
    calls: list[int] = []
    monkeypatch.setattr(os, "fdatasync", calls.append)
    async with opened.transaction() as tx:
        assert (await tx.execute(sa.text("PRAGMA synchronous"))).scalar() == number
    assert len(calls) == syncs
    await opened.close()


async def test_a_transaction_ends_only_after_a_sync_that_began_after_its_commit(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, release = threading.Event(), threading.Event()
    seen_at_sync: list[int] = []

    def slow_sync(_log: int) -> None:
        with sqlite3.connect(database.path) as other:
            seen_at_sync.append(other.execute("SELECT count(*) FROM things").fetchone()[0])
        begun.set()
        release.wait(5)

    monkeypatch.setattr(os, "fdatasync", slow_sync)

    async def insert() -> None:
        async with database.transaction() as tx:
            await tx.execute(INSERT, {"name": "a"})

    first = asyncio.create_task(insert())
    while not begun.is_set():
        await asyncio.sleep(0)
    others = [asyncio.create_task(insert()) for _ in range(5)]
    while len(await _names(database)) < 6:
        await asyncio.sleep(0)
    assert not first.done()
    release.set()
    await asyncio.wait_for(asyncio.gather(first, *others), 5)
    # The five shared one sync, and it was begun when all of them were in the log.
    assert seen_at_sync == [1, 6]


async def test_a_transaction_that_need_not_be_durable_does_not_wait_for_the_disk(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    syncs: list[int] = []
    monkeypatch.setattr(os, "fdatasync", syncs.append)
    async with database.transaction(durable=False) as tx:
        await tx.execute(INSERT, {"name": "a"})
    assert (syncs, await _names(database)) == ([], ["a"])
    await database.durable()
    assert len(syncs) == 1


async def test_an_ignoring_insert_leaves_what_is_there_alone(database: Database) -> None:
    insert = insert_ignore(things)
    async with database.transaction() as tx:
        counts = [(await tx.execute(insert, {"id": 1, "name": name})).rowcount for name in ("first", "second")]
    assert (counts, await _names(database)) == ([1, 0], ["first"])


async def test_a_disk_that_refuses_is_an_error(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_log: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fdatasync", refuse)
    with pytest.raises(OSError, match="No space left"):
        async with database.transaction() as tx:
            await tx.execute(INSERT, {"name": "a"})


async def test_the_log_is_folded_into_the_file_in_the_background(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(durability, "CHECKPOINT_AFTER_PAGES", 20)
    for _ in range(300):
        async with database.transaction() as tx:
            await tx.execute(INSERT, {"name": "x" * 2_000})
    assert os.path.getsize(f"{database.path}-wal") < 300 * 4_096
    assert len(await _names(database)) == 300


async def test_a_view_whose_text_changed_is_replaced(database: Database) -> None:
    async with database.transaction() as tx:
        await tx.execute(INSERT, {"name": "a"})
    await database.create_schema([metadata], {"audit_things": "SELECT upper(name) AS name FROM things"})
    assert (await database.read(sa.text("SELECT name FROM audit_things")))[0].name == "A"
