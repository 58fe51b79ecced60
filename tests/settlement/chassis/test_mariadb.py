"""A real server: transactions, what is repeated and what never is, and what happens when the server goes away."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import closing
from types import SimpleNamespace
from typing import Any

import pymysql
import pytest
import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from settlement.chassis import mariadb as module
from settlement.chassis.database import (
    CommitUnknown,
    Conflicted,
    ConnectionLost,
    DatabaseBusy,
    DatabaseUnavailable,
    DatabaseUnusable,
    Transaction,
)
from settlement.chassis.live_settings import LiveSettings
from settlement.chassis.mariadb import MariaDatabase
from settlement.chassis.sql import insert_ignore
from settlement.chassis.telemetry import get_logger
from tests.mariadb_server import MariaServer

metadata = sa.MetaData()
things = sa.Table(
    "things",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("name", sa.String(20), nullable=False, unique=True),
    sa.Column("units", sa.BigInteger, sa.CheckConstraint("units >= 0"), nullable=False, default=0),
    sa.Column("fresh", sa.Boolean, nullable=False, default=True),
)
INSERT = sa.insert(things)
NAMES = sa.select(things.c.name).order_by(things.c.id)
VIEWS = {"audit_things": "SELECT id, 'thing ' || name AS label FROM things"}


def opened(server: MariaServer, **settings: object) -> MariaDatabase:
    given = {"database.pool_initial": 0, "database.pool_min": 0, **settings}
    return MariaDatabase(server.url("things"), LiveSettings(given), get_logger("things", "things-0"))


@pytest.fixture
async def database(mariadb: MariaServer) -> AsyncIterator[MariaDatabase]:
    made = opened(mariadb)
    await made.create_schema([metadata], VIEWS)
    yield made
    await made.close()


async def _names(database: MariaDatabase) -> list[str]:
    return [row.name for row in await database.read(NAMES)]


async def _put(tx: Transaction, name: str, units: int = 0) -> None:
    await tx.execute(INSERT, {"name": name, "units": units})


# ---- transactions ---------------------------------------------------------------------------------------------------


async def test_a_transaction_is_seen_when_it_is_committed_and_not_before(database: MariaDatabase) -> None:
    async with database.transaction() as tx:
        await _put(tx, "a")
        assert await _names(database) == []
    assert await _names(database) == ["a"]


@pytest.mark.parametrize("error", [ValueError, asyncio.CancelledError, KeyboardInterrupt])
async def test_an_error_of_any_kind_rolls_everything_back(database: MariaDatabase, error: type[BaseException]) -> None:
    with pytest.raises(error):
        async with database.transaction() as tx:
            await _put(tx, "a")
            raise error
    async with database.transaction() as tx:
        await _put(tx, "b")
    assert await _names(database) == ["b"]


async def test_a_session_is_what_the_services_expect_whatever_the_servers_defaults(database: MariaDatabase) -> None:
    (row,) = await database.read(sa.text("SELECT @@tx_isolation, @@time_zone, @@collation_connection, @@autocommit"))
    assert tuple(row) == ("READ-COMMITTED", "+00:00", "utf8mb4_nopad_bin", 1)
    (row,) = await database.read(sa.text("SELECT 'a' = 'A', 'a' = 'a ', 'a' || 'b', 'a\"b'"))
    assert tuple(row) == (0, 0, "ab", 'a"b')


async def test_names_differ_by_case_and_by_trailing_blanks(database: MariaDatabase) -> None:
    async with database.transaction() as tx:
        for name in ("key", "KEY", "key ", "kéy"):
            await _put(tx, name)
    assert len(await database.read(sa.select(things.c.id).where(things.c.name == "key"))) == 1


async def test_values_come_back_as_on_sqlite(database: MariaDatabase) -> None:
    async with database.transaction() as tx:
        await tx.execute(INSERT, [{"name": "a", "units": 2**60}, {"name": "b", "units": 1}])
    (row,) = await database.read(
        sa.select(sa.func.sum(things.c.units).label("s"), sa.func.max(things.c.fresh).label("f"))
    )
    assert (row.s, type(row.s), row.f) == (2**60 + 1, int, True)
    (label, _) = await database.read(sa.text("SELECT label FROM audit_things ORDER BY id"))
    assert label.label == "thing a"


async def test_what_the_server_refuses_is_named_as_sqlites_driver_names_it(database: MariaDatabase) -> None:
    async with database.transaction() as tx:
        await _put(tx, "a")
    refused: list[tuple[dict[str, Any], type[Exception]]] = [
        ({"name": "a"}, IntegrityError),
        ({"name": "b", "units": -1}, IntegrityError),
        ({"name": "c", "units": 2**70}, OverflowError),
        ({"name": "x" * 21}, sa.exc.DataError),
    ]
    for row, error in refused:
        with pytest.raises(error):
            async with database.transaction() as tx:
                await tx.execute(INSERT, row)
    assert await _names(database) == ["a"]


async def test_an_error_does_not_repeat_what_was_to_be_written(database: MariaDatabase) -> None:
    with pytest.raises(IntegrityError) as refused:
        async with database.transaction() as tx:
            await tx.execute(INSERT, {"name": "my secret", "units": -1})
    assert "my secret" not in str(refused.value)


async def test_an_ignoring_insert_tells_whether_it_inserted(database: MariaDatabase) -> None:
    async with database.transaction() as tx:
        counts = [(await tx.execute(insert_ignore(things), {"name": "a"})).rowcount for _ in range(2)]
    assert counts == [1, 0]


async def test_the_schema_may_be_made_by_many_at_once_and_again(mariadb: MariaServer) -> None:
    replicas = [opened(mariadb) for _ in range(4)]
    await asyncio.gather(*(replica.create_schema([metadata], VIEWS) for replica in replicas))
    await replicas[0].create_schema([metadata], {"audit_things": "SELECT name FROM things"})
    assert list(await replicas[1].read(sa.text("SELECT * FROM audit_things"))) == []
    for replica in replicas:
        await replica.close()


# ---- what is repeated -----------------------------------------------------------------------------------------------


async def _crossing(database: MariaDatabase, first: str, second: str, met: asyncio.Barrier, tries: list[str]) -> None:
    async def body(tx: Transaction) -> None:
        tries.append(first)
        await tx.execute(sa.update(things).where(things.c.name == first).values(units=things.c.units + 1))
        if len(tries) <= 2:
            await met.wait()  # both hold their first row: whatever comes next is a deadlock
        await tx.execute(sa.update(things).where(things.c.name == second).values(units=things.c.units + 1))

    await database.run(body)


async def test_a_deadlock_is_repeated(database: MariaDatabase) -> None:
    async with database.transaction() as tx:
        await tx.execute(INSERT, [{"name": "a"}, {"name": "b"}])
    met, tries = asyncio.Barrier(2), list[str]()
    await asyncio.gather(_crossing(database, "a", "b", met, tries), _crossing(database, "b", "a", met, tries))
    assert [row.units for row in await database.read(sa.select(things.c.units))] == [2, 2]
    assert len(tries) == 3


async def test_a_transaction_that_lost_a_deadlock_executes_nothing_more(database: MariaDatabase) -> None:
    async with database.transaction() as tx:
        await _put(tx, "a")
    with pytest.raises(Conflicted):
        async with database.transaction() as tx:
            await _put(tx, "b")
            with pytest.raises(Conflicted):
                await tx.execute(sa.text("SIGNAL SQLSTATE '40001' SET MYSQL_ERRNO = 1213"))
            with pytest.raises(Conflicted):
                await _put(tx, "would be committed at once")
    assert await _names(database) == ["a"]


async def _killed_inside(mariadb: MariaServer, tries: list[int], tx: Transaction) -> None:
    tries.append(1)
    await _put(tx, f"try {len(tries)}")
    if len(tries) == 1:
        assert mariadb.kill_connections("things")


async def test_a_killed_connection_is_repeated_by_run(database: MariaDatabase, mariadb: MariaServer) -> None:
    tries: list[int] = []

    async def body(tx: Transaction) -> None:
        await _killed_inside(mariadb, tries, tx)
        await _put(tx, "end")

    await database.run(body)
    assert await _names(database) == ["try 2", "end"]


async def test_a_killed_connection_is_not_repeated_by_a_transaction(
    database: MariaDatabase, mariadb: MariaServer
) -> None:
    with pytest.raises(ConnectionLost):
        async with database.transaction() as tx:
            await _killed_inside(mariadb, [], tx)
            await _put(tx, "end")
    assert await _names(database) == []


async def test_a_connection_lost_during_commit_is_unknown_and_never_repeated(
    database: MariaDatabase, mariadb: MariaServer
) -> None:
    tries: list[int] = []
    with pytest.raises(CommitUnknown):
        await database.run(lambda tx: _killed_inside(mariadb, tries, tx))
    assert tries == [1]
    assert await _names(database) in ([], ["try 1"])


async def test_idle_connections_that_died_are_not_noticed_by_anybody(
    database: MariaDatabase, mariadb: MariaServer
) -> None:
    for _ in range(2):
        mariadb.kill_connections("things")
        async with database.transaction() as tx:
            await _put(tx, str(len(await _names(database))))
        mariadb.kill_connections("things")
        assert await _names(database)
    assert await _names(database) == ["0", "1"]


async def test_a_unique_key_taken_meanwhile_is_looked_at_again(database: MariaDatabase) -> None:
    async def body(tx: Transaction) -> str:
        found = (await tx.execute(NAMES)).first()
        if found is not None:
            return "known"
        async with database.transaction() as other:
            await _put(other, "a")
        await _put(tx, "a")
        return "made"

    assert await database.run(body, after_duplicate=True) == "known"


# ---- a server in trouble --------------------------------------------------------------------------------------------


async def test_all_connections_in_use_is_busy(mariadb: MariaServer) -> None:
    database = opened(mariadb, **{"database.pool_max": 1, "database.pool_wait_max_ms": 50})
    await database.create_schema([metadata], {})
    async with database.transaction():
        with pytest.raises(DatabaseBusy):
            await database.read(NAMES)
    assert await _names(database) == []
    assert database.pool_stats().waits_total == 1
    await database.close()


async def test_a_server_that_is_gone_is_told_at_once_and_found_again(
    database: MariaDatabase, mariadb: MariaServer
) -> None:
    async with database.transaction() as tx:
        await _put(tx, "kept")
    mariadb.stop()  # SIGKILL: what was acknowledged must be there afterwards
    try:
        async with asyncio.timeout(2):
            for attempt in (lambda: database.read(NAMES), lambda: database.run(lambda tx: _put(tx, "never"))):
                with pytest.raises(DatabaseUnavailable):
                    await attempt()
    finally:
        mariadb.start()
    assert await _names(database) == ["kept"]


async def test_the_start_waits_for_the_server(mariadb: MariaServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "START_RETRY_S", 0.01)
    mariadb.stop()
    database, refused = opened(mariadb), asyncio.Semaphore(0)
    monkeypatch.setattr(database, "_log", SimpleNamespace(warning=lambda *_, **__: refused.release()))
    starting = asyncio.create_task(database.create_schema([metadata], {}))
    for _ in range(3):
        await refused.acquire()
    assert not starting.done()
    await asyncio.to_thread(mariadb.start)
    await starting
    await database.close()


async def test_a_start_without_a_server_ends(mariadb: MariaServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "START_WAIT_S_MAX", 0.0)
    nobody = MariaDatabase("mariadb://things:hidden-word@127.0.0.1:1/things", LiveSettings(), get_logger("x", "x-0"))
    with pytest.raises(DatabaseUnavailable) as told:
        await nobody.create_schema([metadata], {})
    assert "hidden-word" not in str(told.value)


async def test_a_server_that_may_forget_is_refused(mariadb: MariaServer) -> None:
    mariadb.admin("SET GLOBAL innodb_flush_log_at_trx_commit = 2")
    try:
        strict, lax = opened(mariadb), opened(mariadb, **{"database.synchronous": "NORMAL"})
        with pytest.raises(DatabaseUnusable, match="innodb_flush_log_at_trx_commit=2"):
            await strict.create_schema([metadata], {})
        await lax.create_schema([metadata], {})
    finally:
        mariadb.admin("SET GLOBAL innodb_flush_log_at_trx_commit = 1")
    await strict.close()
    await lax.close()


@pytest.mark.parametrize("url", ["nonsense", "postgresql://a:b@c/d", "mariadb://a:hidden-word@c"])
async def test_an_url_of_something_else_is_refused(url: str) -> None:
    with pytest.raises(DatabaseUnusable) as told:
        MariaDatabase(url, LiveSettings(), get_logger("x", "x-0"))
    assert "hidden-word" not in str(told.value)


async def test_an_answer_from_the_record_alone_is_preceded_by_a_commit(database: MariaDatabase) -> None:
    async def marks() -> int:
        return int((await database.read(sa.text("SELECT COALESCE(SUM(marks), 0) FROM log_marks")))[0][0])

    async with database.transaction() as tx:
        await _put(tx, "a")
    assert await marks() == 0, "its own commit flushed the log"
    async with database.transaction() as tx:
        await tx.execute(NAMES)
    assert await marks() == 1
    await database.durable()
    assert await marks() == 2


# ---- who sees what --------------------------------------------------------------------------------------------------


def _asked(server: MariaServer, user: str, sql: str) -> Any:
    with closing(pymysql.connect(host="127.0.0.1", port=server.port, user=user, password=user)) as link:
        cursor = link.cursor()
        cursor.execute(sql)
        return cursor.fetchall()


async def test_a_services_user_cannot_read_anothers_schema(database: MariaDatabase, mariadb: MariaServer) -> None:
    assert _asked(mariadb, "things", "SELECT COUNT(*) FROM things.things") == ((0,),)
    for forbidden in (
        "SELECT * FROM things.things",
        "SELECT * FROM things.audit_things",
        "INSERT INTO things.things (name, units, fresh) VALUES ('x', 0, 0)",
        "DROP DATABASE things",
        "USE things",
    ):
        with pytest.raises(pymysql.err.OperationalError, match="denied"):
            _asked(mariadb, "cart", forbidden)
    assert ("things",) not in _asked(mariadb, "cart", "SHOW DATABASES")


async def test_the_lab_reads_everything_and_writes_nothing(database: MariaDatabase, mariadb: MariaServer) -> None:
    assert _asked(mariadb, "lab", "SELECT COUNT(*) FROM things.audit_things") == ((0,),)
    with pytest.raises(pymysql.err.OperationalError, match="denied"):
        _asked(mariadb, "lab", "DELETE FROM things.things")
