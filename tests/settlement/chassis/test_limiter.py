"""Rate limits across replicas: Redis computes what the pure policy computes, and its absence is survived."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from settlement.chassis.clock import SystemClock
from settlement.chassis.limiter import LocalLimiter, RedisLimiter
from settlement.chassis.live_settings import LiveSettings
from settlement.chassis.redis import SharedRedis
from settlement.chassis.telemetry import get_logger
from settlement.policies.token_bucket import TokenBuckets
from tests.redis_server import RedisServer

# Redis may be as slow as the machine makes it; a dead one refuses at once.
PATIENT = LiveSettings({"redis.timeout_ms": 10_000})

Connect = Callable[[], Awaitable[tuple[RedisLimiter, Any]]]


@pytest.fixture
async def replica(redis_server: RedisServer) -> AsyncIterator[Connect]:
    """Makes the limiter of one more replica, and the connection it uses."""
    from prometheus_client import CollectorRegistry

    made: list[SharedRedis] = []

    async def connect() -> tuple[RedisLimiter, Any]:
        registry = CollectorRegistry()
        redis = SharedRedis(redis_server.url, PATIENT, registry, get_logger("test", "test-0"))
        made.append(redis)
        return RedisLimiter("test", redis, LocalLimiter(SystemClock()), registry), redis

    yield connect
    for redis in made:
        await redis.close()


@pytest.mark.parametrize("seed", range(5))
async def test_redis_and_the_policy_answer_alike(replica: Connect, seed: int) -> None:
    limiter, _ = await replica()
    random_numbers = random.Random(seed)
    policy, now_ms = TokenBuckets(), 1.7e12
    for _ in range(200):
        now_ms += random_numbers.choice([0, 0, 1, 7.5, 100, 333.3, 5_000, -50])
        key = random_numbers.choice("ab")
        rate_per_s, burst = random_numbers.choice([(10.0, 5.0), (0.3, 2.0), (1_000 / 7, 20.0)])
        cost = random_numbers.choice([1.0, 1.0, 0.25, 2.0, 0.0])
        wanted = policy.take(key, now_ms, rate_per_s, burst, cost)
        assert await limiter.take_at(key, rate_per_s, burst, cost, now_ms) == wanted


async def test_replicas_admit_the_rate_together(replica: Connect) -> None:
    limiters = [(await replica())[0] for _ in range(2)]
    admitted = 0
    for now_ms in range(0, 1_001, 10):
        taken = await asyncio.gather(*(limiter.take_at("everybody", 40, 10, 1, now_ms) for limiter in limiters))
        admitted += sum(answer.allowed for answer in taken)
    assert admitted == 10 + 40, "a burst, and the rate of one second"


async def test_it_is_redis_clock_that_counts(replica: Connect, redis_server: RedisServer) -> None:
    limiter, _ = await replica()

    def redis_ms() -> float:
        seconds, microseconds = redis_server.client.time()
        return float(seconds * 1_000 + microseconds / 1_000)

    before_ms = redis_ms()
    await limiter.take("k", 0.001, 1)
    _, counted_at_ms = redis_server.client.get("limit:test:k").split("|")
    assert before_ms <= float(counted_at_ms) <= redis_ms()


async def test_a_refused_request_is_told_when_to_come_back(replica: Connect) -> None:
    limiter, _ = await replica()
    assert (await limiter.take_at("k", 10, 1, 1, 5_000)).allowed
    refused = await limiter.take_at("k", 10, 1, 1, 5_030)
    assert (refused.allowed, refused.retry_after_ms) == (False, 70)
    assert not (await limiter.take_at("k", 10, 1, 1, 5_099)).allowed
    assert (await limiter.take_at("k", 10, 1, 1, 5_100)).allowed


async def test_how_long_to_wait_is_told_to_the_millisecond_in_redis_too(replica: Connect) -> None:
    limiter, _ = await replica()
    # A clock that reaches 2^25 ms before the wait is over, and a quotient that is a hair more than a whole number.
    for rate_per_s, wait_ms, now_ms in ((0.001, 1_000_000, 33_003_196.425695997), (1_000 / 13, 13, 0.0)):
        key = f"a token in {wait_ms} ms"
        assert (await limiter.take_at(key, rate_per_s, 1, 1, now_ms)).reset_ms == wait_ms
        assert (await limiter.take_at(key, rate_per_s, 1, 1, now_ms)).retry_after_ms == wait_ms


async def test_buckets_are_forgotten_when_they_would_be_full(replica: Connect, redis_server: RedisServer) -> None:
    limiter, _ = await replica()
    await limiter.take("k", 1, 100, 60)
    assert 0 < redis_server.client.pttl("limit:test:k") <= 60_000


async def test_counting_requests_never_waits_for_the_disk(replica: Connect, redis_server: RedisServer) -> None:
    limiter, _ = await replica()
    await limiter.take("warm", 10, 100)
    written = redis_server.client.info("persistence")["aof_current_size"]
    for number in range(10):
        assert (await limiter.take(f"k{number}", 10, 100)).allowed
    assert redis_server.client.info("persistence")["aof_current_size"] == written


async def test_without_redis_each_replica_counts_for_itself_until_redis_is_back(
    replica: Connect, redis_server: RedisServer
) -> None:
    limiter, redis = await replica()
    assert (await limiter.take("k", 0.001, 1)).allowed
    redis_server.kill()
    assert [(await limiter.take("k", 0.001, 2)).allowed for _ in range(3)] == [True, True, False]
    redis_server.start()
    await redis.watch()
    other, _ = await replica()
    assert (await other.take("k", 0.001, 1)).allowed
    assert not (await limiter.take("k", 0.001, 1)).allowed  # they count together again


async def test_a_cost_no_bucket_can_hold_is_a_bug(replica: Connect) -> None:
    limiter, _ = await replica()
    with pytest.raises(ValueError, match="cost 3"):
        await limiter.take("k", 1, 2, 3)
