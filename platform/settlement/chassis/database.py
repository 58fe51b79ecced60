"""A service's own database, as the services see it: awaited statements inside transactions, awaited reads beside them.

Two databases stand behind it, chosen when the process starts: a SQLite file (`sqlite.py`) or a schema of a MariaDB
server (`mariadb.py`). The services are written once, for the weaker promise of the two: READ COMMITTED, where other
transactions run between any two statements. So what a transaction reads in order to change it, it reads
`with_for_update`, or changes by one guarded UPDATE; and unique keys decide who came first.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import sqlalchemy as sa

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

    from settlement.chassis.live_settings import LiveSettings

Parameters = Mapping[str, Any] | Sequence[Mapping[str, Any]] | None
T = TypeVar("T")


class DatabaseBusy(Exception):
    """A lock or a connection could not be had in time; nothing of the transaction was kept."""


class Conflicted(DatabaseBusy):
    """The server ended this transaction in favour of another: a deadlock, or a row lock held for too long."""


class DatabaseUnavailable(Exception):
    """The server cannot be reached; nothing of the transaction was kept."""


class ConnectionLost(DatabaseUnavailable):
    """The connection broke before COMMIT was sent; the server keeps nothing of the transaction."""


class CommitUnknown(Exception):
    """The connection was lost during COMMIT: the transaction is durable or it never was; only the records can tell.

    Never raised for SQLite, where a COMMIT has happened or has failed.
    """


class DatabaseUnusable(Exception):
    """The database cannot serve as it is set up; the message says why. Raised at the start only."""


@dataclass(frozen=True, slots=True)
class PoolStats:
    """Connections: how many there are, how many are in use, who waits for one now, and how many ever had to."""

    size: int
    in_use: int
    waiting: int
    waits_total: int


class Result(Protocol):
    """What a statement gave: the part of SQLAlchemy's Result that both databases have. All of it is there already."""

    @property
    def rowcount(self) -> int:
        """How many rows were changed."""

    @property
    def lastrowid(self) -> int:
        """The number that the database gave to the one row that was inserted."""

    def __iter__(self) -> Iterator[sa.Row[Any]]: ...

    def all(self) -> Sequence[sa.Row[Any]]:
        """All rows."""

    def one(self) -> sa.Row[Any]:
        """The only row. Raises sqlalchemy.exc.NoResultFound or MultipleResultsFound."""

    def one_or_none(self) -> sa.Row[Any] | None:
        """The only row, if there is one. Raises sqlalchemy.exc.MultipleResultsFound."""

    def first(self) -> sa.Row[Any] | None:
        """The first row, if there is one."""

    def scalar(self) -> Any:
        """The first value of the first row, or None."""

    def scalar_one(self) -> Any:
        """The first value of the only row. Raises like `one`."""

    def scalar_one_or_none(self) -> Any:
        """The first value of the only row, or None. Raises like `one_or_none`."""


class Transaction(ABC):
    """An open write transaction.

    On SQLite nothing else runs in between: `execute` returns without having given up the event loop. On a server other
    transactions do, of this process too; what was read holds only if it was read `with_for_update`.
    """

    @abstractmethod
    async def execute(self, statement: sa.Executable, parameters: Parameters = None) -> Result:
        """Execute one Core statement; the result is buffered. Raises sqlalchemy.exc.IntegrityError and the like.

        On a server also Conflicted and ConnectionLost, after which the transaction takes no more statements.
        """


class Database(ABC):
    """One service's database, as one replica sees it."""

    @abstractmethod
    def transaction(self, *, durable: bool = True) -> AbstractAsyncContextManager[Transaction]:
        """A write transaction: commits (durably) at the end of the block, rolls back if the block raises.

        Without `durable` it does not wait for the disk, where the database can be told so by transaction: it is
        committed and safe from a crash of the process, and a power cut may take it back until `durable()` was called.
        Await nothing but the database inside. Raises DatabaseBusy, DatabaseUnavailable, CommitUnknown. Nothing is
        repeated here: services use `run` and `write`.
        """

    @abstractmethod
    async def read(self, statement: sa.Executable, parameters: Parameters = None) -> Sequence[sa.Row[Any]]:
        """All rows of a query, from the last committed state (never from an open transaction)."""

    @abstractmethod
    async def run(
        self, body: Callable[[Transaction], Awaitable[T]], *, durable: bool = True, after_duplicate: bool = False
    ) -> T:
        """What `body` returns, from a transaction of its own that is repeated where that is safe and can help.

        That is a deadlock, a lock wait timeout, or a connection lost before COMMIT was sent; with `after_duplicate`
        also a unique key that somebody else took in the meantime (the next attempt will find their row). So `body` may
        run more than once and must have no effect outside its transaction. Raises like `transaction`.
        """

    async def write(self, statement: sa.Executable, parameters: Parameters = None) -> Result:
        """One statement as a transaction of its own, repeated like `run`. Raises like `transaction`."""
        return await self.run(lambda tx: tx.execute(statement, parameters))

    @abstractmethod
    async def durable(self) -> None:
        """Return when everything read or committed so far is on the disk, by whichever replica it was written.

        For answers that follow from a record alone: what was read may have been committed a moment before the disk
        had it, and who is told of it must not find it gone after a power cut.
        """

    @abstractmethod
    async def create_schema(self, metadatas: Iterable[sa.MetaData], views: Mapping[str, str]) -> None:
        """Create the tables and views that are missing; a view whose text changed is replaced.

        Call before serving; replicas may start together. A server that is not there yet is waited for. Raises
        DatabaseUnavailable if it does not come, DatabaseUnusable if it would not keep what it acknowledges.
        """

    @abstractmethod
    async def close(self) -> None:
        """Close every connection; nothing may be open any more."""

    @abstractmethod
    def pool_stats(self) -> PoolStats:
        """The connections of this replica at the moment."""


def open_database(
    url: str | None,
    file: Path,
    settings: LiveSettings,
    log: FilteringBoundLogger,
    at_disk_failure: Callable[[OSError], object],
) -> Database:
    """The database of one replica: the server's schema that `url` names, or else the SQLite `file`.

    Nothing is connected to a server yet: `create_schema` does that. After a failed sync of the file `at_disk_failure`
    is called once, and no transaction succeeds any more.
    """
    # Imported here: an embedded replica shall not pay for a server's driver.
    if url is not None:
        from settlement.chassis.mariadb import MariaDatabase

        return MariaDatabase(url, settings, log)
    from settlement.chassis.sqlite import SqliteDatabase

    return SqliteDatabase(file, settings.text("database.synchronous"), at_disk_failure)
