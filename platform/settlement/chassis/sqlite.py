"""SQLite through SQLAlchemy Core, used on the event loop.

Statements take microseconds, a hop to a thread and back takes longer. So there is one synchronous writer connection,
serialised by a lock, and one reader connection beside it (WAL lets them overlap). Only the wait for the disk is worth a
thread, and transactions share it: `durability.py`.

Replicas of a service share the file. Waiting for another process' write lock is done by awaiting, not by SQLite's busy
handler, which would stop the event loop. BEGIN IMMEDIATE is emitted here, so that a read-modify-write takes the write
lock before it reads.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.pool import StaticPool

from settlement.chassis.database import Database, DatabaseBusy, Parameters, PoolStats, Result, T, Transaction
from settlement.chassis.database_watch import recorded
from settlement.chassis.durability import LogSync
from settlement.chassis.prepared import Statements

LOCK_WAIT_S_MAX: Final = 5.0
LOCK_RETRY_S: Final = 0.002
START_BUSY_TIMEOUT_MS: Final = 5_000


class _Connection:
    """One connection: `core` is SQLAlchemy's face of it, `raw` the driver's."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine
        self._statements = Statements(engine.dialect)
        self.core = engine.connect()
        self.raw = _raw(self.core)

    def execute(self, statement: sa.Executable, parameters: Parameters) -> Result:
        """Execute one Core statement."""
        prepared = self._statements.prepared(statement, parameters)
        if prepared is None:
            return self.core.execute(statement, parameters)
        return prepared.execute(self.raw, parameters)

    def close(self) -> None:
        """Close it; nothing may be open any more."""
        self.core.close()
        self._engine.dispose()


class SqliteTransaction(Transaction):
    """The open transaction of the one writer."""

    def __init__(self, connection: _Connection) -> None:
        self._connection = connection

    async def execute(self, statement: sa.Executable, parameters: Parameters = None) -> Result:
        """Execute one Core statement, without giving up the event loop."""
        return self._connection.execute(statement, parameters)


class SqliteDatabase(Database):
    """One SQLite file, as one replica sees it."""

    def __init__(
        self, path: Path, synchronous: str = "FULL", at_disk_failure: Callable[[OSError], object] = lambda _: None
    ) -> None:
        """After a failed sync `at_disk_failure` is called once, and no transaction succeeds any more."""
        self.path = path
        shares_syncs = synchronous == "FULL"
        pragma = "NORMAL" if shares_syncs else synchronous
        self._writer = _Connection(_engine(path, pragma))
        self._reader = _Connection(_engine(path, pragma))
        self._raw = self._writer.raw
        self._lock = asyncio.Lock()
        self._waiting = 0
        self._waits = 0
        self._log_sync = _log_sync(path, self._raw, at_disk_failure) if shares_syncs else None

    @recorded
    @asynccontextmanager
    async def transaction(self, *, durable: bool = True) -> AsyncIterator[Transaction]:
        """See Database. Raises DatabaseBusy if the write lock cannot be had."""
        async with self._turn():
            await self._begin_immediate()
            try:
                yield SqliteTransaction(self._writer)
                self._raw.execute("COMMIT")
            finally:
                # Also true after a COMMIT that failed (a full disk): leave no transaction open behind us.
                if self._raw.in_transaction:
                    self._raw.execute("ROLLBACK")
        if durable:
            await self.durable()

    async def read(self, statement: sa.Executable, parameters: Parameters = None) -> Sequence[sa.Row[Any]]:
        """All rows of a query, from the last committed state (never from an open transaction)."""
        return self._reader.execute(statement, parameters).all()

    async def run(
        self, body: Callable[[Transaction], Awaitable[T]], *, durable: bool = True, after_duplicate: bool = False
    ) -> T:
        """One transaction, once: there is one writer at a time, nothing to lose against and nothing to repeat."""
        async with self.transaction(durable=durable) as tx:
            return await body(tx)

    async def durable(self) -> None:
        """Wait for the sync that covers the log as it is now."""
        if self._log_sync is not None:
            await self._log_sync.durable()

    async def create_schema(self, metadatas: Iterable[sa.MetaData], views: Mapping[str, str]) -> None:
        """Create what is missing; replicas that start together take turns at SQLite's own busy handler."""
        self._raw.execute(f"PRAGMA busy_timeout={START_BUSY_TIMEOUT_MS}")
        self._raw.execute("BEGIN IMMEDIATE")
        try:
            for metadata in metadatas:
                metadata.create_all(self._writer.core)
            for name, select in views.items():
                self._create_view(name, select)
            self._raw.execute("COMMIT")
        finally:
            if self._raw.in_transaction:
                self._raw.execute("ROLLBACK")
            self._raw.execute("PRAGMA busy_timeout=0")

    def _create_view(self, name: str, select: str) -> None:
        wanted = f"CREATE VIEW {name} AS {select.strip()}"
        found = self._writer.core.execute(_VIEW_TEXT, {"name": name}).scalar()
        if found == wanted:
            return
        self._raw.execute(f"DROP VIEW IF EXISTS {name}")
        self._raw.execute(wanted)

    @asynccontextmanager
    async def _turn(self) -> AsyncIterator[None]:
        waits = self._lock.locked()
        self._waiting += waits
        self._waits += waits
        try:
            await self._lock.acquire()
        finally:
            self._waiting -= waits
        try:
            yield
        finally:
            self._lock.release()

    async def _begin_immediate(self) -> None:
        deadline_s = asyncio.get_running_loop().time() + LOCK_WAIT_S_MAX
        while True:
            try:
                self._raw.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError as error:
                if not _is_busy(error):
                    raise
                if asyncio.get_running_loop().time() > deadline_s:
                    raise DatabaseBusy(f"{self.path.name} is locked by another process") from error
                await asyncio.sleep(LOCK_RETRY_S)
            else:
                return

    def pool_stats(self) -> PoolStats:
        """The writer and the reader; whoever waits, waits for the writer's lock."""
        return PoolStats(size=2, in_use=int(self._lock.locked()), waiting=self._waiting, waits_total=self._waits)

    async def close(self) -> None:
        """Fold the write-ahead log into the file and close both connections."""
        if self._log_sync is not None:
            self._log_sync.close()
        self._reader.close()
        if self._raw.in_transaction:
            self._raw.execute("ROLLBACK")
        self._raw.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        self._writer.close()


_VIEW_TEXT: Final = sa.text("SELECT sql FROM sqlite_master WHERE type = 'view' AND name = :name")


def _engine(path: Path, synchronous: str) -> sa.Engine:
    # AUTOCOMMIT switches off the transaction handling of both SQLAlchemy and the DBAPI: every BEGIN is ours.
    engine = sa.create_engine(
        f"sqlite:///{path}",
        poolclass=StaticPool,
        isolation_level="AUTOCOMMIT",
        hide_parameters=True,  # errors are logged
        connect_args={"timeout": START_BUSY_TIMEOUT_MS / 1_000},
    )

    @event.listens_for(engine, "connect")
    def _configure(connection: sqlite3.Connection, _record: object) -> None:
        for pragma in ("journal_mode=WAL", f"synchronous={synchronous}", "foreign_keys=ON"):
            connection.execute(f"PRAGMA {pragma}")

    return engine


def _log_sync(path: Path, raw: sqlite3.Connection, at_failure: Callable[[OSError], object]) -> LogSync:
    # The log exists from the first write on, and until the last connection closes. Checkpoints are LogSync's.
    raw.execute(f"PRAGMA user_version = {raw.execute('PRAGMA user_version').fetchone()[0]}")
    raw.execute("PRAGMA wal_autocheckpoint = 0")
    return LogSync(path, at_failure)


def _raw(connection: sa.Connection) -> sqlite3.Connection:
    raw = connection.connection.driver_connection
    assert isinstance(raw, sqlite3.Connection)  # noqa: S101 - the engine's dialect is SQLite
    return raw


def _is_busy(error: sqlite3.OperationalError) -> bool:
    return error.sqlite_errorcode & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
