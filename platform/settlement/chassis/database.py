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
from typing import Any, Final, TypeVar

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.pool import StaticPool

from settlement.chassis.durability import LogSync

LOCK_WAIT_S_MAX: Final = 5.0
LOCK_RETRY_S: Final = 0.002
START_BUSY_TIMEOUT_MS: Final = 5_000

Parameters = Mapping[str, Any] | Sequence[Mapping[str, Any]] | None


T = TypeVar("T")


class DatabaseBusy(Exception):
    """Another process held the write lock for longer than LOCK_WAIT_S_MAX; nothing was executed."""


class CommitUnknown(Exception):
    """The connection was lost during COMMIT: the transaction is durable or it never was; only the records can tell.

    Never raised for SQLite, where a COMMIT has happened or has failed.
    """


class Transaction:
    """An open write transaction.

    On SQLite nothing else runs in between: `execute` returns without having given up the event loop. On a server other
    transactions do, of this process too; what was read holds only if it was read `with_for_update`.
    """

    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection

    async def execute(self, statement: sa.Executable, parameters: Parameters = None) -> sa.CursorResult[Any]:
        """Execute one Core statement; the result is buffered. Raises sqlalchemy.exc.IntegrityError and the like."""
        return self._connection.execute(statement, parameters)


class Database:
    """One SQLite file, as one replica sees it."""

    def __init__(
        self, path: Path, synchronous: str = "FULL", at_disk_failure: Callable[[OSError], object] = lambda _: None
    ) -> None:
        """After a failed sync `at_disk_failure` is called once, and no transaction succeeds any more."""
        self.path = path
        shares_syncs = synchronous == "FULL"
        pragma = "NORMAL" if shares_syncs else synchronous
        self._engine = _engine(path, pragma)
        self._writer = self._engine.connect()
        self._reader_engine = _engine(path, pragma)
        self._reader = self._reader_engine.connect()
        self._raw = _raw(self._writer)
        self._lock = asyncio.Lock()
        self._log_sync = _log_sync(path, self._raw, at_disk_failure) if shares_syncs else None

    @asynccontextmanager
    async def transaction(self, *, durable: bool = True) -> AsyncIterator[Transaction]:
        """A write transaction: commits (durably) at the end of the block, rolls back if the block raises.

        Without `durable` it does not wait for the disk, where the database can be told so by transaction: it is
        committed and safe from a crash of the process, and a power cut may take it back until `durable()` was called.
        Await nothing but the database inside. Raises DatabaseBusy if the write lock cannot be had.
        """
        async with self._lock:
            await self._begin_immediate()
            try:
                yield Transaction(self._writer)
                self._raw.execute("COMMIT")
            finally:
                # Also true after a COMMIT that failed (a full disk): leave no transaction open behind us.
                if self._raw.in_transaction:
                    self._raw.execute("ROLLBACK")
        if durable:
            await self.durable()

    async def read(self, statement: sa.Executable, parameters: Parameters = None) -> Sequence[sa.Row[Any]]:
        """All rows of a query, from the last committed state (never from an open transaction)."""
        return self._reader.execute(statement, parameters).fetchall()

    async def run(self, body: Callable[[Transaction], Awaitable[T]], *, durable: bool = True) -> T:
        """What `body` returns, from a transaction of its own that is repeated where that is safe and can help.

        That is a deadlock, a lock wait timeout, or a connection lost before COMMIT was sent. So `body` may run more
        than once and must have no effect outside its transaction. Raises like `transaction`.
        """
        # SQLite has one writer at a time: nothing to lose against, nothing to repeat.
        async with self.transaction(durable=durable) as tx:
            return await body(tx)

    async def durable(self) -> None:
        """Return when everything read or committed so far is on the disk, by whichever replica it was written.

        For answers that follow from a record alone: what was read may have been committed a moment before the disk
        had it, and who is told of it must not find it gone after a power cut.
        """
        if self._log_sync is not None:
            await self._log_sync.durable()

    async def create_schema(self, metadatas: Iterable[sa.MetaData], views: Mapping[str, str]) -> None:
        """Create the tables and views that are missing; a view whose text changed is replaced.

        Call before serving: replicas that start together take turns at SQLite's own busy handler.
        """
        self._raw.execute(f"PRAGMA busy_timeout={START_BUSY_TIMEOUT_MS}")
        self._raw.execute("BEGIN IMMEDIATE")
        try:
            for metadata in metadatas:
                metadata.create_all(self._writer)
            for name, select in views.items():
                self._create_view(name, select)
            self._raw.execute("COMMIT")
        finally:
            if self._raw.in_transaction:
                self._raw.execute("ROLLBACK")
            self._raw.execute("PRAGMA busy_timeout=0")

    def _create_view(self, name: str, select: str) -> None:
        wanted = f"CREATE VIEW {name} AS {select.strip()}"
        found = self._writer.execute(_VIEW_TEXT, {"name": name}).scalar()
        if found == wanted:
            return
        self._raw.execute(f"DROP VIEW IF EXISTS {name}")
        self._raw.execute(wanted)

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

    async def close(self) -> None:
        """Fold the write-ahead log into the file and close both connections."""
        if self._log_sync is not None:
            self._log_sync.close()
        self._reader.close()
        self._reader_engine.dispose()
        if self._raw.in_transaction:
            self._raw.execute("ROLLBACK")
        self._raw.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        self._writer.close()
        self._engine.dispose()


_VIEW_TEXT: Final = sa.text("SELECT sql FROM sqlite_master WHERE type = 'view' AND name = :name")


def _engine(path: Path, synchronous: str) -> sa.Engine:
    # AUTOCOMMIT switches off the transaction handling of both SQLAlchemy and the DBAPI: every BEGIN is ours.
    engine = sa.create_engine(
        f"sqlite:///{path}",
        poolclass=StaticPool,
        isolation_level="AUTOCOMMIT",
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
