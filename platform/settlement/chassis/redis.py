"""The connection of one replica to Redis, and what the replica believes about Redis' health.

Redis is a help, never a need: the cache computes, the limiter counts for itself, events wait in the outbox. So a Redis
that is gone must cost a request nothing. The first calls that meet a dead Redis wait for at most `redis.timeout_ms`;
from then on every call fails at once, and only `watch`, in the background, knocks again every PROBE_INTERVAL_MS.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Final, TypeVar

from prometheus_client import CollectorRegistry, Counter, Gauge
from structlog.typing import FilteringBoundLogger

from settlement.chassis.live_settings import LiveSettings

if TYPE_CHECKING:  # the library is loaded when there is a Redis: it is a tenth of the start of a process that has none
    from redis.asyncio import Redis

PROBE_INTERVAL_MS: Final = 250
CONNECTIONS_MAX: Final = 32

T = TypeVar("T")

# The first line of a script whose writes need not survive Redis: they stay out of the append-only file, which is synced
# for the events' sake before any answer. Without it every cached value and every counted request would wait for a disk.
NOT_ON_DISK: Final = "redis.set_repl(redis.REPL_REPLICA)\n"


class RedisFailed(Exception):
    """A command has no good answer."""


class RedisDown(RedisFailed):
    """Redis cannot be reached, or did not answer in time; what was sent may have been executed."""


class RedisRefused(RedisFailed):
    """Redis answered with an error; its first word names it (NOGROUP, OOM, ...)."""


class SharedRedis:
    """Redis as one replica sees it. `up` is what it believes; `times_up` grows with every recovery."""

    def __init__(
        self, url: str, settings: LiveSettings, registry: CollectorRegistry, log: FilteringBoundLogger
    ) -> None:
        """`url` may hold a password and is never logged. Nothing is connected yet."""
        from redis.asyncio import BlockingConnectionPool, Redis
        from redis.asyncio.retry import Retry
        from redis.backoff import NoBackoff

        self._settings = settings
        self._log = log
        # No retries and no timeouts of its own: `run` has the one deadline, which covers connecting and waiting for a
        # free connection too. RESP2, because its answers have the same shape in every version.
        pool = BlockingConnectionPool.from_url(
            url, max_connections=CONNECTIONS_MAX, timeout=None, retry=Retry(NoBackoff(), 0), protocol=2,
            socket_timeout=None, socket_connect_timeout=None,
        )  # fmt: skip
        self.client: Redis = Redis.from_pool(pool)
        self.up = True
        self.times_up = 0
        self._recovered = asyncio.Event()
        self._recovered.set()
        self._up_gauge = Gauge("paylab_redis_up", "Whether Redis answers this replica", registry=registry)
        self._up_gauge.set(1)
        self._errors = Counter("paylab_redis_errors", "Commands without a good answer", ["kind"], registry=registry)

    async def run(self, command: Callable[[Redis], Awaitable[T]], *, waits_ms: float = 0) -> T:
        """What `command(client)` returns. Raises RedisDown (at once, while Redis is down) or RedisRefused.

        `waits_ms` is how long the command itself may block in Redis, on top of `redis.timeout_ms`.
        """
        if not self.up:
            raise RedisDown("Redis is down")
        return await self._attempt(command, waits_ms)

    async def _attempt(self, command: Callable[[Redis], Awaitable[T]], waits_ms: float = 0) -> T:
        from redis import exceptions

        timeout_ms = self._settings.integer("redis.timeout_ms") + waits_ms
        try:
            async with asyncio.timeout(timeout_ms / 1_000):
                return await command(self.client)
        except (exceptions.ConnectionError, exceptions.TimeoutError, OSError) as error:  # TimeoutError is an OSError
            self._errors.labels("down").inc()
            down = RedisDown(str(error) or f"no answer within {timeout_ms:g} ms")
            self._went_down(down)
            raise down from error
        except exceptions.RedisError as error:
            self._errors.labels("refused").inc()
            raise RedisRefused(str(error)) from error

    async def watch(self) -> None:
        """Knock once; run this every PROBE_INTERVAL_MS. It also notices a silent death before a request does."""
        try:
            await self._attempt(lambda client: client.ping())
        except RedisDown:
            return
        except RedisRefused as error:
            self._log.warning("redis_refuses", error=str(error))
        self._came_up()

    async def until_up(self) -> None:
        """Return as soon as Redis is believed to be up."""
        await self._recovered.wait()

    def _went_down(self, error: RedisDown) -> None:
        if self.up:
            self._log.warning("redis_down", error=str(error))
        self.up = False
        self._up_gauge.set(0)
        self._recovered.clear()

    def _came_up(self) -> None:
        if not self.up:
            self._log.info("redis_up")
            self.times_up += 1
        self.up = True
        self._up_gauge.set(1)
        self._recovered.set()

    async def close(self) -> None:
        """Close all connections."""
        await self.client.aclose()
