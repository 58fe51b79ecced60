"""On real sockets: what was certainly not executed, and what nobody knows."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from settlement.chassis.transport import HttpTransport, NotSent, Unknown

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Server:
    """Counts the requests it gets and answers as told."""

    def __init__(self, answers: list[bytes]) -> None:
        self._answers = answers
        self.requests: list[bytes] = []
        self.connections = 0
        self.address = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
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
async def transport() -> AsyncIterator[HttpTransport]:
    made = HttpTransport()
    yield made
    await made.close()


OK = b"HTTP/1.1 200 OK\r\nPaylab-Replica: x-0\r\ncontent-length: 2\r\n\r\n{}"


async def test_an_answer(transport: HttpTransport) -> None:
    async with _server(OK) as server:
        answer = await transport.send(server.address, "GET", "/a%20b?c=%2F", b"", {}, 2.0)
    assert (answer.status, answer.body, answer.headers["paylab-replica"]) == (200, b"{}", "x-0")
    assert server.requests == [b"GET /a%20b?c=%2F HTTP/1.1"], "the target is sent as it was signed"


async def test_a_refused_connection_was_not_sent(transport: HttpTransport) -> None:
    async with _server() as server:
        address = server.address
    with pytest.raises(NotSent):
        await transport.send(address, "POST", "/", b"{}", {}, 2.0)


async def test_no_answer_in_time_is_unknown(transport: HttpTransport) -> None:
    async with _server(b"") as server:
        with pytest.raises(Unknown):
            await transport.send(server.address, "POST", "/", b"{}", {}, 0.05)
        assert len(server.requests) == 1


@pytest.mark.parametrize("answer", [b"close", b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{}", b"nonsense\r\n\r\n"])
async def test_a_broken_answer_is_unknown(transport: HttpTransport, answer: bytes) -> None:
    async with _server(answer, b"close") as server:
        with pytest.raises(Unknown):
            await transport.send(server.address, "POST", "/", b"{}", {}, 0.2)


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "POST"])
async def test_a_kept_connection_that_breaks_is_unknown_and_the_call_is_not_sent_again_behind_our_back(
    transport: HttpTransport, method: str
) -> None:
    async with _server(OK, b"close", OK) as server:
        await transport.send(server.address, "GET", "/first", b"", {}, 2.0)
        with pytest.raises(Unknown):
            await transport.send(server.address, method, "/second", b"", {}, 2.0)
        assert len(server.requests) == 2


async def test_connections_are_kept_and_closed_where_the_server_says_so(transport: HttpTransport) -> None:
    closing = OK.replace(b"content-length", b"connection: close\r\ncontent-length")
    async with _server(OK, OK, closing, OK) as server:
        for _ in range(4):
            assert (await transport.send(server.address, "GET", "/", b"", {}, 2.0)).body == b"{}"
    assert server.connections == 2


async def test_a_body_in_chunks_after_a_provisional_answer(transport: HttpTransport) -> None:
    chunks = b'2\r\n{"\r\n4\r\na":1\r\n1\r\n}\r\n0\r\n\r\n'
    provisional = b"HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n"
    async with _server(provisional + b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n" + chunks) as server:
        answer = await transport.send(server.address, "GET", "/", b"", {}, 2.0)
    assert (answer.status, answer.body) == (200, b'{"a":1}')
    assert "link" not in answer.headers


async def test_whoever_gives_up_leaves_no_answer_to_the_next(transport: HttpTransport) -> None:
    async with _server(b"", OK) as server:
        late = asyncio.create_task(transport.send(server.address, "GET", "/late", b"", {}, 60.0))
        while not server.requests:
            await asyncio.sleep(0)
        late.cancel()
        assert (await transport.send(server.address, "GET", "/next", b"", {}, 2.0)).status == 200
    assert server.connections == 2


async def test_an_answer_too_many_is_nobodys(transport: HttpTransport) -> None:
    other = OK.replace(b"{}", b"[]")
    async with _server(OK + other, OK) as server:
        bodies = [(await transport.send(server.address, "GET", "/", b"", {}, 2.0)).body for _ in range(2)]
    assert bodies == [b"{}", b"{}"]


@pytest.mark.parametrize(
    ("method", "path", "headers"),
    [
        ("GET", "/a b", {}),
        ("GET", "/a HTTP/1.1\r\nx: y", {}),
        ("GET\n", "/", {}),
        ("GET", "/", {"a": "b\r\nc: d"}),
        ("GET", "/", {"a\n": "b"}),
        ("GET", "/", {"a": "b\0"}),
    ],
)
async def test_nothing_breaks_out_of_its_line(
    transport: HttpTransport, method: str, path: str, headers: dict[str, str]
) -> None:
    async with _server(OK) as server:
        with pytest.raises(ValueError, match="not one request"):
            await transport.send(server.address, method, path, b"", headers, 2.0)
        assert server.requests == []
