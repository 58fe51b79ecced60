"""On real sockets: what was certainly not executed, and what nobody knows."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from settlement.chassis.transport import AiohttpTransport, NotSent, Unknown

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Server:
    """Counts the requests it gets and answers as told."""

    def __init__(self, answers: list[bytes]) -> None:
        self._answers = answers
        self.requests: list[bytes] = []
        self.address = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            try:
                head = await reader.readuntil(b"\r\n\r\n")
            except (asyncio.IncompleteReadError, ConnectionError):
                break
            self.requests.append(head.splitlines()[0])
            answer = self._answers.pop(0)
            if answer == b"close":
                break
            writer.write(answer)
        writer.close()


@asynccontextmanager
async def _server(*answers: bytes) -> AsyncIterator[Server]:
    made = Server(list(answers))
    listening = await asyncio.start_server(made.serve, "127.0.0.1", 0)
    made.address = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
    yield made
    listening.close()


@pytest.fixture
async def transport() -> AsyncIterator[AiohttpTransport]:
    made = AiohttpTransport()
    yield made
    await made.close()


OK = b"HTTP/1.1 200 OK\r\nPaylab-Replica: x-0\r\ncontent-length: 2\r\n\r\n{}"


async def test_an_answer(transport: AiohttpTransport) -> None:
    async with _server(OK) as server:
        answer = await transport.send(server.address, "GET", "/a%20b?c=%2F", b"", {}, 2.0)
    assert (answer.status, answer.body, answer.headers["paylab-replica"]) == (200, b"{}", "x-0")
    assert server.requests == [b"GET /a%20b?c=%2F HTTP/1.1"], "the target is sent as it was signed"


async def test_a_refused_connection_was_not_sent(transport: AiohttpTransport) -> None:
    async with _server() as server:
        address = server.address
    with pytest.raises(NotSent):
        await transport.send(address, "POST", "/", b"{}", {}, 2.0)


async def test_no_answer_in_time_is_unknown(transport: AiohttpTransport) -> None:
    async with _server(b"") as server:
        with pytest.raises(Unknown):
            await transport.send(server.address, "POST", "/", b"{}", {}, 0.05)
        assert len(server.requests) == 1


@pytest.mark.parametrize("answer", [b"close", b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{}", b"nonsense\r\n\r\n"])
async def test_a_broken_answer_is_unknown(transport: AiohttpTransport, answer: bytes) -> None:
    async with _server(answer, b"close") as server:
        with pytest.raises(Unknown):
            await transport.send(server.address, "POST", "/", b"{}", {}, 0.2)


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "POST"])
async def test_a_kept_connection_that_breaks_is_unknown_and_the_call_is_not_sent_again_behind_our_back(
    transport: AiohttpTransport, method: str
) -> None:
    async with _server(OK, b"close", OK) as server:
        await transport.send(server.address, "GET", "/first", b"", {}, 2.0)
        with pytest.raises(Unknown):
            await transport.send(server.address, method, "/second", b"", {}, 2.0)
        assert len(server.requests) == 2
