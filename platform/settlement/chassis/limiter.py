"""Rate limits that the replicas of a service share: `policies/token_bucket.py`, computed inside Redis.

    taken = await limiter.take("login:alice", rate_per_s=0.2, burst=5)

The script computes the same function of the same two numbers, on Redis' clock, so that it matters not which replica is
asked. Without Redis each replica counts for itself, and so the platform admits up to the limit times the number of
replicas; `paylab_limiter_degraded` says so. Nothing is carried over: whoever switches starts with full buckets.
"""

from __future__ import annotations

from typing import Any, Final, Protocol

from prometheus_client import CollectorRegistry, Gauge

from settlement.chassis.clock import Clock
from settlement.chassis.redis import NOT_ON_DISK, RedisFailed, SharedRedis
from settlement.policies.token_bucket import HAIR, Taken, TokenBuckets

KEY_KEPT_MS_MIN: Final = 1_000

# KEYS: the bucket. ARGV: rate per ms, burst, cost, HAIR, least time to keep, and a time in ms (tests only; else TIME).
# A bucket is `tokens|at_ms` with all digits of both, and expires when it would be full, which is as good as none.
TAKE: Final = """
local rate_per_ms, burst, cost = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local now_ms = tonumber(ARGV[6])
if not now_ms then
  local time = redis.call('TIME')
  now_ms = time[1] * 1000 + time[2] / 1000
end
local tokens, at_ms = burst, now_ms
local kept = redis.call('GET', KEYS[1])
if kept then
  local kept_tokens, kept_at_ms = string.match(kept, '(.*)|(.*)')
  at_ms = math.max(now_ms, tonumber(kept_at_ms))
  tokens = math.min(burst, kept_tokens + (at_ms - kept_at_ms) * rate_per_ms)
end
local allowed = tokens + ARGV[4] >= cost
if allowed then tokens = tokens - cost end
local function until_filled_ms(missing)
  return math.max(0, math.ceil((missing - ARGV[4] / 2) / rate_per_ms + (at_ms - now_ms)))
end
local wait_ms = allowed and 0 or until_filled_ms(cost - tokens)
local reset_ms = until_filled_ms(burst - tokens)
local bucket = string.format('%.17g|%.17g', tokens, at_ms)
redis.call('SET', KEYS[1], bucket, 'PX', string.format('%.0f', math.max(reset_ms, ARGV[5])))
return {allowed and 1 or 0, math.max(0, math.floor(tokens + ARGV[4])), wait_ms, reset_ms}
"""


class Limiter(Protocol):
    """Admits requests at a rate per key."""

    async def take(self, key: str, rate_per_s: float, burst: float, cost: float = 1.0) -> Taken:
        """Ask for `cost` tokens of this key's bucket. Raises ValueError if the cost exceeds the burst."""
        ...


class LocalLimiter:
    """The buckets of this process."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._buckets = TokenBuckets()

    async def take(self, key: str, rate_per_s: float, burst: float, cost: float = 1.0) -> Taken:
        """See Limiter."""
        return self._buckets.take(key, self._clock.monotonic_ms(), rate_per_s, burst, cost)


class RedisLimiter:
    """Buckets in Redis, for all replicas of a service; this process' own while Redis has no answer."""

    def __init__(self, service: str, redis: SharedRedis, fallback: Limiter, registry: CollectorRegistry) -> None:
        self._prefix = f"limit:{service}:"
        self._redis = redis
        self._fallback = fallback
        self._script = redis.client.register_script(NOT_ON_DISK + TAKE)
        self._degraded = Gauge("paylab_limiter_degraded", "Whether each replica counts for itself", registry=registry)

    async def take(self, key: str, rate_per_s: float, burst: float, cost: float = 1.0) -> Taken:
        """See Limiter."""
        if rate_per_s <= 0 or not 0 <= cost <= burst:
            raise ValueError(f"cost {cost} out of a bucket of {burst} filled with {rate_per_s}/s")
        try:
            taken = await self.take_at(key, rate_per_s, burst, cost, None)
        except RedisFailed:
            self._degraded.set(1)
            return await self._fallback.take(key, rate_per_s, burst, cost)
        self._degraded.set(0)
        return taken

    async def take_at(self, key: str, rate_per_s: float, burst: float, cost: float, now_ms: float | None) -> Taken:
        """Like `take`, at a time of one's own (None: Redis' clock). Raises RedisFailed."""
        arguments = [repr(value) for value in (rate_per_s / 1_000, burst, cost, HAIR, KEY_KEPT_MS_MIN, now_ms)]
        answer: list[Any] = await self._redis.run(lambda _: self._script([self._prefix + key], arguments))
        allowed, remaining, retry_after_ms, reset_ms = map(int, answer)
        return Taken(bool(allowed), remaining, retry_after_ms, reset_ms)


def limiter_of(service: str, redis: SharedRedis | None, clock: Clock, registry: CollectorRegistry) -> Limiter:
    """The limiter of a replica: shared through Redis if there is one, else its own."""
    local = LocalLimiter(clock)
    return local if redis is None else RedisLimiter(service, redis, local, registry)
