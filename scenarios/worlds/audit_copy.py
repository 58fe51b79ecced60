"""Copies the audit views of a MariaDB server into the run's folder, one SQLite file a service.

So a finished run looks the same whatever it ran on: `paylab audit` reads the folder, and the server may be gone.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pymysql
from pymysql.cursors import DictCursor, SSCursor

from scenarios.worlds.base import WorldError
from scenarios.worlds.collector import UNRESOLVED

CONNECT_S = 10
READ_S = 30
ROWS_AT_ONCE = 1_000
_VIEWS = "SELECT table_name FROM information_schema.views WHERE table_schema = %s AND table_name LIKE 'audit_%%'"


@dataclass(frozen=True)
class AuditServer:
    """The server as a reader of audit views sees it; the schemas are called as the services are."""

    port: int
    user: str
    password: str = field(repr=False)
    host: str = "127.0.0.1"

    def unresolved(self) -> dict[str, int]:
        """How many transactions each service still has to finish, services with none left out."""
        with self._connected(DictCursor) as connection:
            counts = {service: self._count(connection, service, query) for service, query in UNRESOLVED.items()}
        return {service: count for service, count in counts.items() if count}

    def copy(self, services: list[str], databases: Path) -> None:
        """Write `<service>.sqlite` for every service that has audit views. Raises WorldError."""
        for service in services:
            with self._connected(SSCursor) as connection:
                views = self._views(connection, service)
                if not views:
                    continue
                with closing(sqlite3.connect(databases / f"{service}.sqlite")) as file:
                    for view in views:
                        self._copy(connection, service, view, file)
                    file.commit()

    def _copy(self, connection: Any, service: str, view: str, file: sqlite3.Connection) -> None:
        with connection.cursor() as cursor:
            cursor.execute(f"SELECT * FROM `{service}`.`{view}`")  # noqa: S608 - names from our topology and its schema
            columns = [column[0] for column in cursor.description]
            file.execute(f"CREATE TABLE {view} ({', '.join(columns)})")
            insert = f"INSERT INTO {view} VALUES ({', '.join('?' * len(columns))})"  # noqa: S608 - the same names
            while rows := cursor.fetchmany(ROWS_AT_ONCE):
                file.executemany(insert, [tuple(map(_plain, row)) for row in rows])

    def _views(self, connection: Any, service: str) -> list[str]:
        with connection.cursor() as cursor:
            cursor.execute(_VIEWS, (service,))
            return sorted(row[0] for row in cursor.fetchall())

    def _count(self, connection: Any, service: str, query: str) -> int:
        connection.select_db(service)
        with connection.cursor() as cursor:
            cursor.execute(query)
            return int(next(iter(cursor.fetchone().values())))

    @contextmanager
    def _connected(self, cursors: type) -> Iterator[Any]:
        try:
            connection = pymysql.connect(
                host=self.host,
                port=self.port,
                user=self.user,
                password=self.password,
                charset="utf8mb4",
                autocommit=True,
                connect_timeout=CONNECT_S,
                read_timeout=READ_S,
                cursorclass=cursors,
            )
        except pymysql.Error as error:
            raise WorldError(f"cannot reach the database server at {self.host}:{self.port}: {error}") from error
        try:
            yield connection
        except pymysql.Error as error:
            raise WorldError(f"cannot read the audit views at {self.host}:{self.port}: {error}") from error
        finally:
            connection.close()


def _plain(value: Any) -> Any:
    """Sums come back as Decimal, which SQLite does not know; they are whole minor units."""
    return value if value is None or isinstance(value, int | float | str | bytes) else int(value)
