"""One HTTP/1.1 connection to another process: one request at a time, its answer read by the parser that uvicorn uses.

It knows what a call between services needs and nothing else: no redirects, cookies, compression, proxies, pipelining.
Whatever is odd about an answer ends the connection, so that no answer is ever taken for that of another request.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

import httptools


class Broken(Exception):
    """The connection ended, or said something that is no HTTP, before the answer was complete."""


@dataclass(frozen=True, slots=True)
class Answer:
    """Status, headers (lower-case names) and body of a response."""

    status: int
    headers: Mapping[str, str]
    body: bytes


def request(method: str, target: str, host: str, headers: Mapping[str, str], body: bytes) -> bytes:
    """A request as it goes over the wire. Raises ValueError if a part of it would break out of its line."""
    lines = [f"{method} {target} HTTP/1.1", f"host: {host}", f"content-length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    head = "\r\n".join(lines)
    if head.count("\n") >= len(lines) or head.count("\r") >= len(lines) or "\0" in head or " " in target:
        raise ValueError(f"not one request: {method} {target!r}")
    return head.encode() + b"\r\n\r\n" + body


class Connection(asyncio.Protocol):
    """The connection as the event loop drives it; httptools calls the `on_` methods."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._waiting: asyncio.Future[Answer] | None = None
        self._parser: httptools.HttpResponseParser | None = None
        self._headers: dict[str, str] = {}
        self._body: list[bytes] = []
        self.usable = False
        """Whether another request may be sent."""

    async def ask(self, message: bytes) -> Answer:
        """Send a request and wait for its answer; whoever gives up leaves a closed connection. Raises Broken."""
        if self._transport is None or not self.usable:
            raise Broken("the connection is closed")
        self.usable = False
        self._headers, self._body = {}, []
        self._parser = httptools.HttpResponseParser(self)
        self._waiting = asyncio.get_running_loop().create_future()
        self._transport.write(message)
        try:
            return await self._waiting
        finally:
            self._waiting = None
            if not self.usable:
                self.close()

    def close(self) -> None:
        """Cut it off."""
        self.usable = False
        if self._transport is not None:
            self._transport.abort()

    # ---- what the event loop calls ----------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """It is open."""
        # Not asserted: uvloop's transports are none by inheritance.
        self._transport = cast("asyncio.Transport", transport)
        self.usable = True

    def data_received(self, data: bytes) -> None:
        """Bytes of an answer; of none, if nobody waits: then it is good for nothing any more."""
        if self._waiting is None or self._waiting.done() or self._parser is None:
            self.close()
            return
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            self._fail(f"the answer is no HTTP: {error}")

    def connection_lost(self, error: Exception | None) -> None:
        """It is over."""
        self._fail("the connection ended" if error is None else f"the connection broke: {error}")

    def _fail(self, why: str) -> None:
        self.usable = False
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_exception(Broken(why))

    # ---- what the parser calls --------------------------------------------------------------------------------------

    def on_header(self, name: bytes, value: bytes) -> None:
        """One header."""
        self._headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_body(self, body: bytes) -> None:
        """A part of the body."""
        self._body.append(body)

    def on_message_complete(self) -> None:
        """The answer is complete; a provisional one (1xx) is not yet the answer."""
        parser, waiting = self._parser, self._waiting
        if parser is None or waiting is None or waiting.done():
            self.usable = False  # a second answer to one request
            return
        status = parser.get_status_code()
        if status < 200:
            self._headers, self._body = {}, []
            return
        self.usable = parser.should_keep_alive()
        waiting.set_result(Answer(status, self._headers, b"".join(self._body)))
