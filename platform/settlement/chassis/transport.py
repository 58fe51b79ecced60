"""How bytes get to another process, and what is certain when they do not come back.

The one distinction that matters to a coordinator: a call that was certainly not executed (`NotSent`) against one
whose fate nobody knows (`Unknown`). They are never conflated.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Protocol
from urllib.parse import urlsplit

from settlement.chassis.connection import Answer, Broken, Connection, request

__all__ = ["Answer", "CallFailed", "HttpTransport", "NotSent", "Transport", "Unknown"]

CONNECTIONS_MAX: Final = 1_000
# Shorter than the servers' keep-alive, so that we never send on a connection the server is closing.
KEEPALIVE_S: Final = 30.0
CONNECT_TIMEOUT_S_MAX: Final = 1.0


class CallFailed(Exception):
    """A call to another service brought no answer."""


class NotSent(CallFailed):
    """The call was certainly not executed: nobody to call, or the connection was refused."""


class Unknown(CallFailed):
    """The call was sent and no answer came: it may have been executed, or may yet be."""


class Transport(Protocol):
    """Sends one HTTP request, once."""

    async def send(
        self, address: str, method: str, path: str, body: bytes, headers: Mapping[str, str], timeout_s: float
    ) -> Answer:
        """Send and wait for the answer. Raises NotSent or Unknown."""
        ...

    async def close(self) -> None:
        """Close all connections."""
        ...


@dataclass(frozen=True, slots=True)
class _Kept:
    """A connection that nobody uses, and since when."""

    connection: Connection
    since_s: float


class HttpTransport:
    """The real network: kept-alive connections, by address, the one used last is used next."""

    def __init__(self) -> None:
        self._kept: dict[str, list[_Kept]] = {}
        self._open: set[Connection] = set()
        self._places = asyncio.Semaphore(CONNECTIONS_MAX)

    async def send(
        self, address: str, method: str, path: str, body: bytes, headers: Mapping[str, str], timeout_s: float
    ) -> Answer:
        """Send and wait for the answer. Raises NotSent or Unknown, ValueError for what is not one request."""
        message = request(method, path, address.partition("//")[2], headers, body)
        asked = False
        try:
            async with asyncio.timeout(timeout_s), self._places:
                connection = self._kept_connection(address) or await self._connected(address, timeout_s)
                asked = True
                try:
                    answer = await connection.ask(message)
                finally:
                    self._put_back(address, connection)
        except (TimeoutError, OSError, Broken) as error:
            what = f"{method} {address}{path}: {type(error).__name__} {error}"
            raise (Unknown(what) if asked else NotSent(what)) from error
        return answer

    def _kept_connection(self, address: str) -> Connection | None:
        kept, oldest_s = self._kept.get(address, []), asyncio.get_running_loop().time() - KEEPALIVE_S
        while kept:
            found = kept.pop()
            if found.connection.usable and found.since_s >= oldest_s:
                return found.connection
            self._drop(found.connection)
        return None

    async def _connected(self, address: str, timeout_s: float) -> Connection:
        self._tidy_up()
        url = urlsplit(address)
        secure = url.scheme == "https"
        async with asyncio.timeout(min(CONNECT_TIMEOUT_S_MAX, timeout_s)):
            _, connection = await asyncio.get_running_loop().create_connection(
                Connection, url.hostname or "", url.port or (443 if secure else 80), ssl=True if secure else None
            )
        self._open.add(connection)
        return connection

    def _put_back(self, address: str, connection: Connection) -> None:
        if connection.usable:
            now_s = asyncio.get_running_loop().time()
            self._kept.setdefault(address, []).append(_Kept(connection, now_s))
        else:
            self._drop(connection)

    def _tidy_up(self) -> None:
        """Let go of what nobody will use any more: too old, or of a replica that is gone."""
        oldest_s = asyncio.get_running_loop().time() - KEEPALIVE_S
        for address, kept in list(self._kept.items()):
            for each in [each for each in kept if each.since_s < oldest_s or not each.connection.usable]:
                kept.remove(each)
                self._drop(each.connection)
            if not kept:
                del self._kept[address]

    def _drop(self, connection: Connection) -> None:
        connection.close()
        self._open.discard(connection)

    async def close(self) -> None:
        """Close all connections."""
        for connection in list(self._open):
            self._drop(connection)
        self._kept.clear()
