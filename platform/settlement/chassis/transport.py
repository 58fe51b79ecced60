"""How bytes get to another process, and what is certain when they do not come back.

The one distinction that matters to a coordinator: a call that was certainly not executed (`NotSent`) against one
whose fate nobody knows (`Unknown`). They are never conflated.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Protocol

import aiohttp
from yarl import URL

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


@dataclass(frozen=True, slots=True)
class Answer:
    """Status, headers (lower-case names) and body of a response."""

    status: int
    headers: Mapping[str, str]
    body: bytes


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


class AiohttpTransport:
    """The real network, through one pool of kept-alive connections."""

    def __init__(self) -> None:
        connector = aiohttp.TCPConnector(limit=CONNECTIONS_MAX, keepalive_timeout=KEEPALIVE_S)
        self._session = aiohttp.ClientSession(
            connector=connector,
            auto_decompress=False,
            cookie_jar=aiohttp.DummyCookieJar(),
            skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding"),
            raise_for_status=False,
        )
        # aiohttp would send an idempotent request again on its own; with the same nonce that is a replay (401),
        # and it would hide from us that the first one may have been executed.
        self._session._retry_connection = False

    async def send(
        self, address: str, method: str, path: str, body: bytes, headers: Mapping[str, str], timeout_s: float
    ) -> Answer:
        """Send and wait for the answer. Raises NotSent or Unknown."""
        timeout = aiohttp.ClientTimeout(total=timeout_s, sock_connect=min(CONNECT_TIMEOUT_S_MAX, timeout_s))
        # The target goes over the wire exactly as it was signed.
        url = URL(address + path, encoded=True)
        try:
            async with self._session.request(
                method, url, data=body or None, headers=headers, timeout=timeout, allow_redirects=False
            ) as response:
                lower_case = {name.lower(): value for name, value in response.headers.items()}
                return Answer(response.status, lower_case, await response.read())
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            raise NotSent(f"{address}: {error}") from error
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            raise Unknown(f"{method} {address}{path}: {type(error).__name__} {error}") from error

    async def close(self) -> None:
        """Close all connections."""
        await self._session.close()
