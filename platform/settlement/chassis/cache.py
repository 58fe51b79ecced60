"""Caches with one face: `await cache.get_or_compute(key, compute, ttl_ms, version)`, in the process or in Redis.

An entry is only as good as the version it was computed for: a look-up finds exactly its version or nothing, so a value
whose version is kept in the database can never be served stale, whatever a replica did not hear of. Values without a
version are dropped with `invalidate`, and are stale at most until their time to live ends.

Stampedes. In the process all who miss the same key share one computation. Across replicas one of them takes a short
lock in Redis, and the others look again until its value is there; whoever has waited LOCK_MS, or sees that the holder
failed, computes for itself. We chose the lock over early probabilistic expiry (XFetch) because our misses come from
changed versions, which no early recomputation can foresee; the lock serves both kinds. A value is stored only while its
lock is held and `invalidate` breaks the lock of values without a version, so that what was computed from old data is
not kept afterwards.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import uuid
from collections.abc import Awaitable, Callable
from typing import Any, Final, Protocol

from prometheus_client import CollectorRegistry, Counter

from settlement.chassis.clock import Clock
from settlement.chassis.redis import NOT_ON_DISK, RedisFailed, SharedRedis
from settlement.policies.request_cache import RequestCache

ENTRIES_MAX: Final = 10_000
LOCK_MS: Final = 200
LOCK_POLL_MS: Final = 5

Compute = Callable[[], Awaitable[bytes]]


class Cache(Protocol):
    """Remembers the bytes that something costly computed."""

    async def get_or_compute(self, key: str, compute: Compute, ttl_ms: int, version: int = 0) -> bytes:
        """The value remembered for `key` at exactly `version`, else what `compute` returns, remembered for `ttl_ms`."""
        ...

    async def invalidate(self, *keys: str) -> None:
        """Forget these keys, everywhere; what is being computed for them now will not be remembered."""
        ...


class LookUps:
    """Counts look-ups by outcome for /metrics."""

    def __init__(self, registry: CollectorRegistry) -> None:
        counter = Counter("paylab_cache_lookups", "Look-ups in the cache", ["outcome"], registry=registry)
        self.hits = counter.labels("hit")
        self.misses = counter.labels("miss")


class SingleFlight:
    """Lets callers who want the same thing at the same time share one computation."""

    def __init__(self) -> None:
        self._flights: dict[tuple[str, int], asyncio.Task[bytes]] = {}

    async def run(self, key: tuple[str, int], compute: Compute) -> bytes:
        """What `compute` returns, or raises, for whoever came first; a caller that gives up stops nobody else."""
        flight = self._flights.get(key)
        if flight is None:
            flight = asyncio.ensure_future(_awaited(compute))
            self._flights[key] = flight
            flight.add_done_callback(lambda done: self._landed(key, done))
        return await asyncio.shield(flight)

    def _landed(self, key: tuple[str, int], flight: asyncio.Task[bytes]) -> None:
        if self._flights.get(key) is flight:
            del self._flights[key]
        if not flight.cancelled():
            flight.exception()  # whoever wanted it may have given up: mark it as seen

    def forget(self, key: str) -> None:
        """Whoever comes from now on does not join what is under way for this key."""
        for flight in [found for found in self._flights if found[0] == key]:
            del self._flights[flight]


async def _awaited(compute: Compute) -> bytes:
    return await compute()


class LocalCache:
    """A cache of this process: the values used last, at most `entries_max` of them."""

    def __init__(self, clock: Clock, lookups: LookUps, entries_max: int = ENTRIES_MAX) -> None:
        self._clock = clock
        self._lookups = lookups
        # Each entry brings its own time to live, so the policy is asked to keep them for ever.
        self._entries = RequestCache[tuple[int, float, bytes]](entries_max, math.inf)
        self._flights = SingleFlight()
        self._invalidations = 0

    async def get_or_compute(self, key: str, compute: Compute, ttl_ms: int, version: int = 0) -> bytes:
        """See Cache."""
        now_ms = self._clock.monotonic_ms()
        entry = self._entries.fresh(key, now_ms)
        if entry is not None and entry[0] == version and now_ms < entry[1]:
            self._lookups.hits.inc()
            return entry[2]
        self._lookups.misses.inc()

        async def compute_and_store() -> bytes:
            before = self._invalidations
            value = await compute()
            if self._invalidations == before:  # of any key: rare enough, and it errs on the safe side
                now_ms = self._clock.monotonic_ms()
                self._entries.put(key, (version, now_ms + ttl_ms, value), now_ms)
            return value

        return await self._flights.run((key, version), compute_and_store)

    async def invalidate(self, *keys: str) -> None:
        """See Cache."""
        self._invalidations += 1
        for key in keys:
            self._entries.drop(key)
            self._flights.forget(key)


# An entry is `<version>:<value>`. Returns the entry, or 1: you hold the lock, compute it, or 0: somebody else does.
_LOOK: Final = """
local entry = redis.call('GET', KEYS[1])
if entry and string.sub(entry, 1, #ARGV[1]) == ARGV[1] then return entry end
if redis.call('SET', KEYS[2], ARGV[2], 'NX', 'PX', ARGV[3]) then return 1 end
return 0
"""
_STORE: Final = """
if redis.call('GET', KEYS[2]) ~= ARGV[2] then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[3])
return redis.call('DEL', KEYS[2])
"""
_RELEASE: Final = """
if redis.call('GET', KEYS[2]) == ARGV[1] then return redis.call('DEL', KEYS[2]) end
return 0
"""
_COMPUTE: Final = 1


class RedisCache:
    """A cache that the replicas of a service share. While Redis is down every miss of the process computes."""

    def __init__(
        self, service: str, redis: SharedRedis, clock: Clock, lookups: LookUps, lock_ms: int = LOCK_MS
    ) -> None:
        self._prefix = f"cache:{service}:"
        self._redis = redis
        self._clock = clock
        self._lookups = lookups
        self._lock_ms = lock_ms
        self._flights = SingleFlight()
        self._look = redis.client.register_script(NOT_ON_DISK + _LOOK)
        self._store = redis.client.register_script(NOT_ON_DISK + _STORE)
        self._release = redis.client.register_script(NOT_ON_DISK + _RELEASE)

    async def get_or_compute(self, key: str, compute: Compute, ttl_ms: int, version: int = 0) -> bytes:
        """See Cache."""
        return await self._flights.run((key, version), lambda: self._found(key, compute, ttl_ms, version))

    async def _found(self, key: str, compute: Compute, ttl_ms: int, version: int) -> bytes:
        names = self._names(key, version)
        head, mine = b"%d:" % version, uuid.uuid4().hex
        found = await self._look_until(names, head, mine)
        if isinstance(found, bytes):
            self._lookups.hits.inc()
            return found[len(head) :]
        self._lookups.misses.inc()
        if found != _COMPUTE:
            return await compute()
        try:
            value = await compute()
        except Exception:  # whatever it was, nobody may wait for a value that will not come
            await self._attempt(self._release, names, [mine])
            raise
        await self._attempt(self._store, names, [head + value, mine, ttl_ms])
        return value

    def _names(self, key: str, version: int) -> list[str]:
        # A lock per version: who needs the new value does not wait for somebody who computes the old one.
        return [self._prefix + key, f"{self._prefix}{key}:lock@{version}"]

    async def _look_until(self, names: list[str], head: bytes, mine: str) -> bytes | int | None:
        """The entry; 1 with the lock; 0 after `lock_ms` of waiting for its holder; None without Redis."""
        deadline_ms = self._clock.monotonic_ms() + self._lock_ms
        while True:
            found: bytes | int | None = await self._attempt(self._look, names, [head, mine, self._lock_ms])
            if found != 0 or self._clock.monotonic_ms() >= deadline_ms:
                return found
            await asyncio.sleep(LOCK_POLL_MS / 1_000)

    async def _attempt(self, script: Any, keys: list[str], arguments: list[Any]) -> Any:
        try:
            return await self._redis.run(lambda _: script(keys, arguments))
        except RedisFailed:
            return None

    async def invalidate(self, *keys: str) -> None:
        """See Cache. If Redis cannot be told now, the time to live has to do."""
        names = [name for key in keys for name in self._names(key, 0)]
        with contextlib.suppress(RedisFailed):
            await self._redis.run(lambda client: client.delete(*names))


def cache_of(
    service: str, redis: SharedRedis | None, clock: Clock, registry: CollectorRegistry
) -> LocalCache | RedisCache:
    """The cache of a replica: shared through Redis if there is one, else its own."""
    lookups = LookUps(registry)
    return LocalCache(clock, lookups) if redis is None else RedisCache(service, redis, clock, lookups)
