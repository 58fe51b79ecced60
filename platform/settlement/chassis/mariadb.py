"""A schema of a MariaDB server, through SQLAlchemy Core and asyncmy.

Connections are in autocommit mode and every START TRANSACTION is ours: a read is then one round trip. Every session is
set up alike, whatever the server's own defaults: READ COMMITTED, UTC, strict, texts compared byte by byte as SQLite
does, `||` and quoted names as in the SQL standard.

What a lost connection means depends on when. Before COMMIT was sent, the server keeps nothing, and `run` may repeat.
During COMMIT nobody knows; that is `CommitUnknown`, and never repeated.

InnoDB lets others see a commit a moment before its log is flushed. Whoever writes on that ground commits later in the
same log; whoever only answers on that ground has to push the log ahead of the answer. `durable()` does so with a
commit of its own, and so does a transaction that turned out to write nothing.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

import sqlalchemy as sa
from asyncmy.constants import FIELD_TYPE
from asyncmy.converters import conversions
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool
from structlog.typing import FilteringBoundLogger

from settlement.chassis.database import (
    CommitUnknown,
    Conflicted,
    ConnectionLost,
    Database,
    DatabaseUnavailable,
    DatabaseUnusable,
    Parameters,
    PoolStats,
    T,
    Transaction,
)
from settlement.chassis.database_watch import recorded
from settlement.chassis.live_settings import LiveSettings
from settlement.chassis.pool import Pool
from settlement.chassis.sql import BROKEN, translated

START_WAIT_S_MAX: Final = 60.0
START_RETRY_S: Final = 0.5
CONNECT_S_MAX: Final = 2
STATEMENT_S_MAX: Final = 10.0
LOCK_WAIT_S_MAX: Final = 3
SCHEMA_LOCK_S_MAX: Final = 60
TEND_INTERVAL_S: Final = 1.0
ATTEMPTS_MAX: Final = 6
RETRY_BASE_S: Final = 0.005
MARK_HOLDERS: Final = 64

COLLATION: Final = "utf8mb4_nopad_bin"
_SQL_MODE: Final = (
    "STRICT_ALL_TABLES,ERROR_FOR_DIVISION_BY_ZERO,NO_ZERO_DATE,NO_ZERO_IN_DATE,NO_ENGINE_SUBSTITUTION,ANSI_QUOTES,"
    "PIPES_AS_CONCAT"
)
_SET_UP: Final = (
    f"SET collation_connection = {COLLATION}, time_zone = '+00:00', tx_isolation = 'READ-COMMITTED', "
    f"sql_mode = '{_SQL_MODE}', innodb_lock_wait_timeout = {LOCK_WAIT_S_MAX}"
)
# It repeats every row that an ignoring insert left alone as a warning.
logging.getLogger("asyncmy").setLevel(logging.ERROR)

_own: Final = sa.MetaData()
sa.Table(
    "log_marks",
    _own,
    sa.Column("holder", sa.SmallInteger, primary_key=True, autoincrement=False),
    sa.Column("marks", sa.BigInteger, nullable=False),
)
_MARK: Final = sa.text(
    "INSERT INTO log_marks (holder, marks) VALUES (:holder, 1) ON DUPLICATE KEY UPDATE marks = marks + 1"
)


@dataclass(frozen=True, slots=True)
class Session:
    """One connection: what statements go through, and what can be cut off at once."""

    connection: AsyncConnection
    driver: Any

    async def command(self, text: str, seconds_max: float = STATEMENT_S_MAX) -> sa.CursorResult[Any]:
        """Execute a text as it is. Raises like `execute`."""
        return await self._within(self.connection.exec_driver_sql(text), seconds_max)

    async def execute(self, statement: sa.Executable, parameters: Parameters = None) -> sa.CursorResult[Any]:
        """Execute a statement. Raises what `translated` makes of an error, ConnectionLost if it takes too long."""
        return await self._within(self.connection.execute(statement, parameters), STATEMENT_S_MAX)

    async def _within(self, execution: Awaitable[sa.CursorResult[Any]], seconds_max: float) -> sa.CursorResult[Any]:
        try:
            async with asyncio.timeout(seconds_max):
                return await execution
        except DBAPIError as error:
            meaning = translated(error)
            if meaning is error:
                raise
            raise meaning from error
        except BROKEN as error:
            raise ConnectionLost(f"{type(error).__name__}: {error}") from error


class MariaTransaction(Transaction):
    """An open transaction on one connection."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.wrote = False
        self._over: Exception | None = None

    async def execute(self, statement: sa.Executable, parameters: Parameters = None) -> sa.CursorResult[Any]:
        """Execute one Core statement; after Conflicted or ConnectionLost the transaction is over."""
        self.require_open()
        try:
            result = await self.session.execute(statement, parameters)
        except (Conflicted, DatabaseUnavailable) as error:
            self._over = error
            raise
        self.wrote = self.wrote or (not result.returns_rows and result.rowcount != 0) or bool(result.is_insert)
        return result

    def require_open(self) -> None:
        """Raise what ended the transaction: the server has undone it, and would commit later statements one by one."""
        if self._over is not None:
            raise type(self._over)(str(self._over)) from self._over


class MariaDatabase(Database):
    """One service's schema on a server, as one replica sees it."""

    def __init__(self, url: str, settings: LiveSettings, log: FilteringBoundLogger) -> None:
        """`url` is like mariadb://user:password@host:3306/schema. Raises DatabaseUnusable if it is not."""
        self._settings = settings
        self._log = log
        self._engine = _engine(url)
        self._pool: Pool[Session] = Pool(settings, self._connect, _alive, _discard)
        self._tending: asyncio.Task[None] | None = None

    @recorded
    @asynccontextmanager
    async def transaction(self, *, durable: bool = True) -> AsyncIterator[Transaction]:
        """See Database. Every commit waits for the server's disk; without `durable` one that wrote nothing does not."""
        session = await self._begun()
        tx = MariaTransaction(session)
        healthy = False  # whatever else interrupts us leaves a connection that nobody can trust
        try:
            try:
                yield tx
                tx.require_open()
            except Exception:
                healthy = await _rolled_back(session)
                raise
            await self._commit(session)
            healthy = True
        finally:
            await self._give_back(session, healthy)
        if durable and not tx.wrote:
            await self.durable()

    async def read(self, statement: sa.Executable, parameters: Parameters = None) -> Sequence[sa.Row[Any]]:
        """See Database. A connection that broke is replaced, for reading twice changes nothing."""
        try:
            return await self._read(statement, parameters)
        except ConnectionLost:
            return await self._read(statement, parameters)

    async def run(
        self, body: Callable[[Transaction], Awaitable[T]], *, durable: bool = True, after_duplicate: bool = False
    ) -> T:
        """See Database. At most ATTEMPTS_MAX times, with a pause in between that grows and varies."""
        for attempt in range(1, ATTEMPTS_MAX):
            try:
                async with self.transaction(durable=durable) as tx:
                    return await body(tx)
            except (Conflicted, ConnectionLost) as error:
                self._log.info("transaction_repeated", attempt=attempt, error=str(error))
            except IntegrityError:
                if not after_duplicate or attempt > 2:
                    raise
            await asyncio.sleep(random.uniform(0.5, 1.5) * RETRY_BASE_S * 2**attempt)
        async with self.transaction(durable=durable) as tx:
            return await body(tx)

    async def durable(self) -> None:
        """Commit a mark: the log is flushed in order, so everything seen until now is on the disk with it."""

        async def mark(tx: Transaction) -> None:
            await tx.execute(_MARK, {"holder": random.randrange(MARK_HOLDERS)})

        await self.run(mark, durable=False)

    async def create_schema(self, metadatas: Iterable[sa.MetaData], views: Mapping[str, str]) -> None:
        """See Database. One replica at a time, by a named lock of the server."""
        session = await self._reached()
        healthy = False
        try:
            await self._require_durable(session)
            locked = await session.command(f"SELECT GET_LOCK(CONCAT(DATABASE(), '.schema'), {SCHEMA_LOCK_S_MAX})",
                                           SCHEMA_LOCK_S_MAX + STATEMENT_S_MAX)  # fmt: skip
            if locked.scalar() != 1:
                raise DatabaseUnavailable("another replica is busy with the schema")
            await _create(session, metadatas, views)
            await session.command("DO RELEASE_LOCK(CONCAT(DATABASE(), '.schema'))")
            healthy = True
        finally:
            await self._give_back(session, healthy)
        await self._pool.fill(self._settings.integer("database.pool_initial"))
        if self._tending is None:
            self._tending = asyncio.create_task(self._tend(), name="pool")

    async def close(self) -> None:
        """See Database."""
        if self._tending is not None:
            self._tending.cancel()
        await self._pool.close()
        await self._engine.dispose()

    def pool_stats(self) -> PoolStats:
        """See Database."""
        return self._pool.stats()

    # ---- connections ------------------------------------------------------------------------------------------------

    async def _connect(self) -> Session:
        try:
            async with asyncio.timeout(CONNECT_S_MAX):
                connection = await self._engine.connect()
                raw = await connection.get_raw_connection()
                # Not by the driver's init_command: SQLAlchemy's own SET NAMES comes after that.
                await connection.exec_driver_sql(_SET_UP)
        except (DBAPIError, *BROKEN) as error:
            reason = error.orig if isinstance(error, DBAPIError) else error
            raise DatabaseUnavailable(f"{self._engine.url!r}: {reason!r}") from error
        return Session(connection, raw.driver_connection)

    async def _give_back(self, session: Session, healthy: bool) -> None:
        if not healthy:
            self._pool.suspect()
        await self._pool.release(session, healthy)

    async def _begun(self) -> Session:
        """A connection with a new transaction; a connection that broke while it was idle is replaced."""
        try:
            return await self._begun_once()
        except ConnectionLost:
            return await self._begun_once()

    async def _begun_once(self) -> Session:
        session = await self._pool.acquire()
        try:
            await session.command("START TRANSACTION")
        except BaseException:
            await self._give_back(session, healthy=False)
            raise
        return session

    async def _commit(self, session: Session) -> None:
        try:
            await session.command("COMMIT")
        except Conflicted:
            raise  # an answer, and it is no: undone
        except Exception as error:
            self._log.error("commit_unknown", error=str(error))
            raise CommitUnknown(str(error)) from error

    async def _read(self, statement: sa.Executable, parameters: Parameters) -> Sequence[sa.Row[Any]]:
        session = await self._pool.acquire()
        healthy = False
        try:
            rows = (await session.execute(statement, parameters)).fetchall()
            healthy = True
        except (DBAPIError, OverflowError):
            healthy = True  # an answer of the server
            raise
        finally:
            await self._give_back(session, healthy)
        return rows

    async def _tend(self) -> None:
        while True:
            await asyncio.sleep(TEND_INTERVAL_S)
            try:
                await self._pool.tend()
            except DatabaseUnavailable as error:
                self._log.warning("database_unreachable", error=str(error))

    # ---- the start --------------------------------------------------------------------------------------------------

    async def _reached(self) -> Session:
        loop = asyncio.get_running_loop()
        deadline_s = loop.time() + START_WAIT_S_MAX
        while True:
            try:
                return await self._pool.acquire()
            except DatabaseUnavailable as error:
                if loop.time() >= deadline_s:
                    raise
                self._log.warning("waiting_for_database", error=str(error))
            await asyncio.sleep(START_RETRY_S)

    async def _require_durable(self, session: Session) -> None:
        flushed = (await session.command("SELECT @@GLOBAL.innodb_flush_log_at_trx_commit")).scalar()
        if flushed == 1:
            return
        problem = f"the server runs with innodb_flush_log_at_trx_commit={flushed}: a power cut would take back payments"
        if self._settings.text("database.synchronous") == "FULL":
            raise DatabaseUnusable(f"{problem}; set it to 1, or database.synchronous to something other than FULL")
        self._log.warning("database_not_durable", problem=problem)


async def _create(session: Session, metadatas: Iterable[sa.MetaData], views: Mapping[str, str]) -> None:
    if (await session.command("SELECT @@collation_database")).scalar() != COLLATION:
        await session.command(f"ALTER DATABASE CHARACTER SET utf8mb4 COLLATE {COLLATION}")
    for metadata in (*metadatas, _own):
        await session.connection.run_sync(metadata.create_all)
    for name, select in views.items():
        await session.command(f"CREATE OR REPLACE SQL SECURITY INVOKER VIEW {name} AS {select.strip()}")


async def _rolled_back(session: Session) -> bool:
    """Whether the connection is as good as new."""
    try:
        await session.command("ROLLBACK")
    except Exception:  # noqa: BLE001 - the connection is closed instead, and the server rolls back then
        return False
    return True


async def _alive(session: Session) -> bool:
    try:
        await session.command("DO 1", seconds_max=CONNECT_S_MAX)
    except Exception:  # noqa: BLE001 - whatever it is, this connection is not good
        return False
    return True


async def _discard(session: Session) -> None:
    # Cut, not closed in good order: it may be in the middle of a statement, and the server rolls back either way.
    try:
        session.driver.close()
        await session.connection.invalidate()
        await session.connection.close()
    except Exception:  # noqa: BLE001, S110 - there is nobody left to be told, and nothing to be done
        pass


def _engine(url: str) -> AsyncEngine:
    try:
        given = sa.make_url(url)
    except sa.exc.ArgumentError as error:
        problem = "the database's URL is not one; expected mariadb://user:password@host:3306/schema"
        raise DatabaseUnusable(problem) from error
    if given.get_backend_name() not in ("mariadb", "mysql") or not given.database:
        raise DatabaseUnusable(f"not the URL of a schema on a MariaDB server: {given!r}")
    return create_async_engine(
        given.set(drivername="mariadb+asyncmy"),
        poolclass=NullPool,
        isolation_level="AUTOCOMMIT",
        hide_parameters=True,  # errors are logged
        connect_args={
            "charset": "utf8mb4",
            "connect_timeout": CONNECT_S_MAX,
            "sql_mode": f"'{_SQL_MODE}'",  # at once, because SQLAlchemy looks at it when it first connects
            "conv": {**conversions, FIELD_TYPE.NEWDECIMAL: _number},
        },
    )


def _number(text: str | bytes) -> int | float:
    """SUM() of integers is a DECIMAL to the server; here, as on SQLite, it is an integer."""
    word = text.decode() if isinstance(text, bytes) else text
    return float(word) if "." in word else int(word)
