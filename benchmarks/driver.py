"""A closed HTTP load with next to no cost of its own: raw sockets on uvloop, keep-alive, one request at a time each."""

import asyncio
import time

import uvloop

CONNECTIONS = 16


async def _connection(port: int, request: bytes, until_s: float) -> int:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    answered = 0
    while time.perf_counter() < until_s:
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 2"):
            raise RuntimeError(f"unexpected answer: {head[:80]!r}")
        length = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0])
        await reader.readexactly(length)
        answered += 1
    writer.close()
    return answered


async def _drive(port: int, request: bytes, duration_s: float) -> int:
    until_s = time.perf_counter() + duration_s
    counts = await asyncio.gather(*(_connection(port, request, until_s) for _ in range(CONNECTIONS)))
    return sum(counts)


def drive(port: int, method: str, path: str, duration_s: float) -> int:
    """Requests answered with 2xx within `duration_s` seconds; anything else raises RuntimeError."""
    request = f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 0\r\n\r\n".encode()
    return uvloop.run(_drive(port, request, duration_s))
