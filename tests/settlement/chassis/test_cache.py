"""Caches: computed once however many ask, never stale by version, dispensable."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any, Final

import pytest
from prometheus_client import CollectorRegistry

from settlement.chassis.cache import ENTRIES_MAX, Cache, LocalCache, LookUps, RedisCache, cache_of
from settlement.chassis.clock import SystemClock
from settlement.chassis.live_settings import LiveSettings
from settlement.chassis.redis import SharedRedis
from settlement.chassis.telemetry import get_logger
from tests.redis_server import RedisServer

MakeCache = Callable[..., Cache]

# A test process may stand still for longer than a lock lives outside: what it computed is then rightly not kept.
PATIENT_MS: Final = 60_000


class Work:
    """Something costly, counted; it waits until it is let go on."""

    def __init__(self, result: bytes = b"value") -> None:
        self.result = result
        self.times = 0
        self.fails = False
        self.go_on = asyncio.Event()
        self.go_on.set()

    async def __call__(self) -> bytes:
        self.times += 1
        result = self.result
        await self.go_on.wait()
        if self.fails:
            raise RuntimeError("database gone")
        return result


@pytest.fixture(params=["local", "redis"])
async def cache(request: pytest.FixtureRequest) -> AsyncIterator[Cache]:
    """Each kind of cache in turn."""
    if request.param == "local":
        yield cache_of("test", None, SystemClock(), CollectorRegistry())
        return
    async for made in _redis_caches(request.getfixturevalue("redis_server")):
        yield made()


@pytest.fixture
async def replica(redis_server: RedisServer) -> AsyncIterator[MakeCache]:
    """Makes the shared cache of one more replica."""
    async for made in _redis_caches(redis_server):
        yield made


async def _redis_caches(server: RedisServer) -> AsyncIterator[MakeCache]:
    connections: list[SharedRedis] = []

    def make(lock_ms: int = PATIENT_MS) -> Cache:
        registry = CollectorRegistry()
        connections.append(
            SharedRedis(server.url, LiveSettings({"redis.timeout_ms": 10_000}), registry, get_logger("test", "test-0"))
        )
        return RedisCache("test", connections[-1], SystemClock(), LookUps(registry), lock_ms)

    yield make
    for connection in connections:
        await connection.close()


async def test_a_value_is_computed_once_for_each_version(cache: Cache) -> None:
    work = Work(b"one")
    assert [await cache.get_or_compute("k", work, 60_000, 1) for _ in range(3)] == [b"one"] * 3
    work.result = b"two"
    assert await cache.get_or_compute("k", work, 60_000, 1) == b"one"
    assert [await cache.get_or_compute("k", work, 60_000, 2) for _ in range(2)] == [b"two"] * 2
    assert work.times == 2
    work.result = b"one of twelve"  # 1 is the beginning of 12
    assert await cache.get_or_compute("k", work, 60_000, 12) == b"one of twelve"


async def test_any_bytes_come_back_as_they_were(cache: Cache) -> None:
    every = bytes(range(256)) + b"7:"
    for value in (every, b""):
        await cache.invalidate("k")
        work = Work(value)
        assert [await cache.get_or_compute("k", work, 60_000) for _ in range(2)] == [value, value]
        assert work.times == 1


async def test_a_value_lives_no_longer_than_it_may(cache: Cache) -> None:
    work = Work()
    await cache.get_or_compute("k", work, 20)
    async with asyncio.timeout(5):
        while work.times == 1:
            await cache.get_or_compute("k", work, 20)


async def test_what_was_invalidated_while_it_was_computed_is_not_kept(cache: Cache) -> None:
    old, new = Work(b"old"), Work(b"new")
    old.go_on.clear()
    asked_before = asyncio.create_task(cache.get_or_compute("k", old, 60_000))
    while not old.times:
        await asyncio.sleep(0)
    await cache.invalidate("k")
    old.go_on.set()
    assert await asked_before == b"old"
    assert await cache.get_or_compute("k", new, 60_000) == b"new"


async def test_fifty_readers_at_once_compute_once(cache: Cache) -> None:
    work = Work()
    work.go_on.clear()
    readers = [asyncio.create_task(cache.get_or_compute("k", work, 60_000)) for _ in range(50)]
    while not work.times:
        await asyncio.sleep(0)
    readers.pop().cancel()  # one who gives up takes nothing from the others
    work.go_on.set()
    assert await asyncio.gather(*readers) == [b"value"] * 49
    assert work.times == 1


async def test_a_failed_computation_fails_those_who_waited_and_is_not_remembered(cache: Cache) -> None:
    work = Work()
    work.fails = True
    results = await asyncio.gather(*(cache.get_or_compute("k", work, 60_000) for _ in range(3)), return_exceptions=True)
    assert [str(result) for result in results] == ["database gone"] * 3
    work.fails = False
    async with asyncio.timeout(PATIENT_MS / 2_000):  # nobody waits for the lock of the one who failed
        assert await cache.get_or_compute("k", work, 60_000) == b"value"


async def test_what_fails_at_one_replica_is_computed_at_another_that_waited_for_it(replica: MakeCache) -> None:
    here, there, failing, work = replica(), replica(), Work(), Work()
    failing.go_on.clear()
    failing.fails = True
    failed = asyncio.create_task(here.get_or_compute("k", failing, 60_000))
    while not failing.times:
        await asyncio.sleep(0)
    async with asyncio.timeout(PATIENT_MS / 2_000):
        waited = asyncio.create_task(there.get_or_compute("k", work, 60_000))
        failing.go_on.set()
        assert await waited == b"value"
    with pytest.raises(RuntimeError, match="database gone"):
        await failed


async def test_fifty_readers_at_two_replicas_compute_once(replica: MakeCache) -> None:
    caches, work = [replica(), replica()], Work()
    work.go_on.clear()
    readers = [asyncio.create_task(cache.get_or_compute("k", work, 60_000)) for cache in caches for _ in range(25)]
    while not work.times:
        await asyncio.sleep(0)
    asyncio.get_running_loop().call_later(0.03, work.go_on.set)  # the other replica has looked by then
    assert await asyncio.gather(*readers) == [b"value"] * 50
    assert work.times == 1


async def test_a_replica_that_waited_long_enough_computes_for_itself(replica: MakeCache) -> None:
    here, there, slow, quick = replica(lock_ms=1), replica(lock_ms=1), Work(b"slow"), Work(b"quick")
    slow.go_on.clear()
    waiting = asyncio.create_task(here.get_or_compute("k", slow, 60_000))
    while not slow.times:
        await asyncio.sleep(0)
    assert await there.get_or_compute("k", quick, 60_000) == b"quick"
    slow.go_on.set()
    assert await waiting == b"slow"


async def test_a_value_computed_at_one_replica_serves_the_others_until_one_invalidates_it(replica: MakeCache) -> None:
    here, there, work = replica(), replica(), Work()
    await here.get_or_compute("k", work, 60_000)
    await there.get_or_compute("k", work, 60_000)
    assert work.times == 1
    await there.invalidate("k")
    await here.get_or_compute("k", work, 60_000)
    assert work.times == 2


async def test_a_restarted_redis_remembers_no_cached_value(replica: MakeCache, redis_server: RedisServer) -> None:
    cache, work = replica(), Work()
    for _ in range(2):
        await cache.get_or_compute("k", work, 60_000)
    redis_server.kill()
    await asyncio.to_thread(redis_server.start)
    await replica().get_or_compute("k", work, 60_000)
    assert work.times == 2


async def test_without_redis_every_value_is_computed(replica: MakeCache, redis_server: RedisServer) -> None:
    cache, work = replica(), Work()
    await cache.get_or_compute("k", work, 60_000)
    redis_server.kill()
    work.result = b"fresh"
    assert await cache.get_or_compute("k", work, 60_000) == b"fresh"
    await cache.invalidate("k")


async def test_the_local_cache_forgets_what_was_used_longest_ago() -> None:
    registry = CollectorRegistry()
    cache, work = LocalCache(SystemClock(), LookUps(registry), entries_max=2), Work()
    for key in ("a", "b", "a", "c", "a"):
        await cache.get_or_compute(key, work, 60_000)
    assert work.times == 3
    await cache.get_or_compute("b", work, 60_000)
    assert work.times == 4
    counted: Any = {sample.labels["outcome"]: sample.value for sample in _samples(registry)}
    assert counted == {"hit": 2, "miss": 4}
    assert ENTRIES_MAX > 1_000


def _samples(registry: CollectorRegistry) -> list[Any]:
    return [sample for metric in registry.collect() for sample in metric.samples if sample.name.endswith("_total")]
