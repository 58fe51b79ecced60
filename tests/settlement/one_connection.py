"""Nobody who holds a database connection may ask for another: sixteen who do so at once wait for each other for ever.

SQLite forgives it, a pool does not; so the services' tests refuse it on SQLite too.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from contextvars import ContextVar
from typing import Any

import pytest

from settlement.chassis.sqlite import SqliteDatabase

_holder: ContextVar[tuple[Any, Any] | None] = ContextVar("holder", default=None)


def refuse_second_connections(monkeypatch: pytest.MonkeyPatch) -> None:
    """From here on, a read or a transaction inside a transaction of the same task raises AssertionError."""
    transaction, read = SqliteDatabase.transaction, SqliteDatabase.read

    def require_none(database: Any) -> None:
        held = _holder.get()
        # A task that was started inside a transaction inherits its context, but not its connection.
        assert held != (asyncio.current_task(), database), "a second connection is asked for inside a transaction"

    @asynccontextmanager
    async def watched_transaction(self: Any, **options: Any) -> AsyncIterator[Any]:
        require_none(self)
        async with transaction(self, **options) as tx:
            token = _holder.set((asyncio.current_task(), self))
            try:
                yield tx
            finally:
                _holder.reset(token)

    async def watched_read(self: Any, *arguments: Any) -> Any:
        require_none(self)
        return await read(self, *arguments)

    monkeypatch.setattr(SqliteDatabase, "transaction", watched_transaction)
    monkeypatch.setattr(SqliteDatabase, "read", watched_read)
