"""What a replica believes about Redis, and what a dead one costs it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from settlement.chassis.live_settings import LiveSettings
from settlement.chassis.redis import RedisDown, RedisRefused, SharedRedis
from settlement.chassis.telemetry import get_logger
from tests.redis_server import RedisServer

TIMEOUT_MS = 50


@pytest.fixture
def settings() -> LiveSettings:
    """A Redis that is alive is given the time that the machine takes."""
    return LiveSettings({"redis.timeout_ms": 10_000})


@pytest.fixture
async def redis(redis_server: RedisServer, settings: LiveSettings) -> AsyncIterator[SharedRedis]:
    made = SharedRedis(redis_server.url, settings, CollectorRegistry(), get_logger("test", "test-0"))
    yield made
    await made.close()


async def ping(redis: SharedRedis) -> Any:
    return await redis.run(lambda client: client.execute_command("PING"))


async def test_a_hanging_redis_costs_one_timeout_and_then_nothing(
    redis: SharedRedis, redis_server: RedisServer, settings: LiveSettings
) -> None:
    assert await ping(redis)
    redis_server.freeze()
    settings.replace({"redis.timeout_ms": TIMEOUT_MS}, version=2)
    # On the loop's clock, which does not count what others take of the machine.
    clock = asyncio.get_running_loop().time
    begun_s = clock()
    with pytest.raises(RedisDown):
        await ping(redis)
    first_s = clock() - begun_s
    begun_s = clock()
    for _ in range(100):
        with pytest.raises(RedisDown):
            await ping(redis)
    assert first_s < 10 * TIMEOUT_MS / 1_000
    assert clock() - begun_s < TIMEOUT_MS / 1_000
    redis_server.thaw()
    settings.replace({"redis.timeout_ms": 10_000}, version=3)
    await redis.watch()
    assert await ping(redis)


async def test_a_restarted_redis_is_found_again(redis: SharedRedis, redis_server: RedisServer) -> None:
    assert await ping(redis)
    redis_server.kill()
    await redis.watch()
    assert not redis.up
    redis_server.start()
    await redis.watch()
    assert (redis.up, redis.times_up) == (True, 1)
    assert await ping(redis)


async def test_a_refusal_is_no_outage(redis: SharedRedis) -> None:
    with pytest.raises(RedisRefused, match="unknown command"):
        await redis.run(lambda client: client.execute_command("NONSENSE"))
    assert redis.up
