"""HTTP clients for calls between services: aiohttp against httpx, on one event loop, keep-alive."""

import asyncio
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import aiohttp
import httpx
import uvloop

from benchmarks.measure import Figure, Sample, free_port, interleaved, python_process, wait_until_answers

ROUNDS = 5
RUN_S = 0.8
CONCURRENCY = 16
BODY = {"gid": "0123456789abcdef", "kind": "payment", "amount_minor": 12_345}

Call = Callable[[], Awaitable[int]]


async def _repeat(call: Call) -> Sample:
    await call()
    answered = 0
    until_s = time.perf_counter() + RUN_S

    async def one_after_another() -> None:
        nonlocal answered
        while time.perf_counter() < until_s:
            if await call() != 200:
                raise RuntimeError("the benchmark's own server refused a call")
            answered += 1

    before_s = time.process_time()
    await asyncio.gather(*(one_after_another() for _ in range(CONCURRENCY)))
    return Sample(answered / RUN_S, answered / (time.process_time() - before_s))


async def _aiohttp(url: str) -> Sample:
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=3.0)) as session:

        async def call() -> int:
            async with session.post(url, json=BODY) as reply:
                await reply.json()
                return reply.status

        return await _repeat(call)


async def _httpx(url: str) -> Sample:
    async with httpx.AsyncClient(timeout=3.0) as session:

        async def call() -> int:
            reply = await session.post(url, json=BODY)
            reply.json()
            return reply.status_code

        return await _repeat(call)


def measure() -> dict[str, list[Figure]]:
    """Calls a second, and a CPU second of the caller: JSON out, JSON back, 16 at once."""
    with tempfile.TemporaryDirectory(prefix="paylab-bench-") as folder:
        port = free_port()
        server = ["-m", "uvicorn", "--factory", "--port", str(port), "--no-access-log", "--log-level", "warning"]
        database = {"PAYLAB_BENCH_DATABASE": str(Path(folder) / "client.sqlite")}
        with python_process([*server, "benchmarks.component_app:create"], Path(folder) / "log", database) as process:
            wait_until_answers(f"http://127.0.0.1:{port}/trivial", process)
            url = f"http://127.0.0.1:{port}/durable"
            candidates: dict[str, Callable[[], Sample]] = {
                "aiohttp": lambda: uvloop.run(_aiohttp(url)),
                "httpx": lambda: uvloop.run(_httpx(url)),
            }
            return {"internal HTTP client": interleaved(candidates, ROUNDS)}
