"""A pool of connections whose limits are live settings.

Initial, minimum and maximum size, a longest wait, eviction of idle connections and a liveness test before use, as the
article's pool has them. A connection that is given back goes straight to whoever has waited longest, so nobody can
overtake; the one used last is used next, so that those too many grow old and are closed.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from settlement.chassis.database import DatabaseBusy, DatabaseUnavailable, PoolStats
from settlement.chassis.live_settings import LiveSettings

TRUSTED_IDLE_S: Final = 1.0

C = TypeVar("C")


@dataclass(frozen=True, slots=True)
class Idle(Generic[C]):
    """A connection that nobody uses, and since when (seconds of the event loop's clock)."""

    connection: C
    since_s: float


class Pool(Generic[C]):
    """Connections of one replica. `connect` and `alive` may raise DatabaseUnavailable; `discard` must not raise."""

    def __init__(
        self,
        settings: LiveSettings,
        connect: Callable[[], Awaitable[C]],
        alive: Callable[[C], Awaitable[bool]],
        discard: Callable[[C], Awaitable[None]],
    ) -> None:
        self._settings = settings
        self._connect = connect
        self._alive = alive
        self._discard = discard
        self._idle: deque[Idle[C]] = deque()  # the one used last at the right
        self._waiters: deque[asyncio.Future[C | None]] = deque()
        self._size = 0
        self._waits = 0
        self._suspect_until_s = 0.0
        self._closed = False

    async def acquire(self) -> C:
        """A connection for the caller alone; give it back with `release`.

        Raises DatabaseBusy after the longest wait, DatabaseUnavailable if a new one cannot be made.
        """
        loop = asyncio.get_running_loop()
        deadline_s = loop.time() + self._settings.integer("database.pool_wait_max_ms") / 1_000
        while True:
            connection = await self._trusted() if self._idle else None
            if connection is not None:
                return connection
            if self._size < self._settings.integer("database.pool_max"):
                return await self._open()
            connection = await self._handed_over(deadline_s)
            if connection is not None:
                return connection

    async def release(self, connection: C, healthy: bool) -> None:
        """Give a connection back; one that is not healthy is closed."""
        if not healthy or self._closed or self._size > self._settings.integer("database.pool_max"):
            await self._drop(connection)
            return
        waiter = self._next_waiter()
        if waiter is not None:
            waiter.set_result(connection)
        else:
            self._idle.append(Idle(connection, asyncio.get_running_loop().time()))

    def suspect(self) -> None:
        """A connection was found broken: every other idle one is tried out before it is used again."""
        self._suspect_until_s = asyncio.get_running_loop().time()

    async def tend(self) -> None:
        """Close what was idle for too long, and keep the minimum open. Raises DatabaseUnavailable."""
        oldest_s = asyncio.get_running_loop().time() - self._settings.integer("database.pool_idle_max_ms") / 1_000
        minimum = self._settings.integer("database.pool_min")
        while self._idle and self._size > minimum and self._idle[0].since_s <= oldest_s:
            await self._drop(self._idle.popleft().connection)
        await self.fill(minimum)

    async def fill(self, size: int) -> None:
        """Open connections until there are `size`. Raises DatabaseUnavailable."""
        while self._size < size and not self._closed:
            await self.release(await self._open(), healthy=True)

    async def close(self) -> None:
        """Close what is idle, and what is in use as soon as it is given back."""
        self._closed = True
        while self._idle:
            await self._drop(self._idle.pop().connection)

    def stats(self) -> PoolStats:
        """The pool at the moment."""
        waiting = sum(not waiter.done() for waiter in self._waiters)
        return PoolStats(self._size, self._size - len(self._idle), waiting, self._waits)

    async def _trusted(self) -> C | None:
        """The idle connection used last, unless it turns out to be dead."""
        idle = self._idle.pop()
        if not self._must_be_tried(idle):
            return idle.connection
        alive = False
        try:
            alive = await self._alive(idle.connection)
        finally:
            if not alive:
                self.suspect()
                await self._drop(idle.connection)
        return idle.connection if alive else None

    def _must_be_tried(self, idle: Idle[C]) -> bool:
        check = self._settings.text("database.pool_liveness_check")
        if check == "always" or idle.since_s <= self._suspect_until_s:
            return True
        return check == "when_idle" and asyncio.get_running_loop().time() - idle.since_s >= TRUSTED_IDLE_S

    async def _open(self) -> C:
        if self._closed:
            raise DatabaseUnavailable("the database is closed")
        self._size += 1  # before the connection is there: others must not open too many meanwhile
        try:
            return await self._connect()
        except BaseException:
            self._leave_room()
            raise

    async def _handed_over(self, deadline_s: float) -> C | None:
        """What another gives back, or None if there is room for a new connection."""
        waiter: asyncio.Future[C | None] = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        self._waits += 1
        try:
            async with asyncio.timeout_at(deadline_s):
                return await waiter
        except BaseException as error:
            await self._pass_on(waiter)
            if isinstance(error, TimeoutError):
                raise DatabaseBusy(f"no connection became free: all {self._size} are in use") from error
            raise

    async def _pass_on(self, waiter: asyncio.Future[C | None]) -> None:
        """Whoever gives up may have been served at the same moment."""
        if waiter in self._waiters:
            self._waiters.remove(waiter)
        if not waiter.done() or waiter.cancelled():
            return
        connection = waiter.result()
        if connection is not None:
            await self.release(connection, healthy=True)
        else:
            self._wake_one()

    async def _drop(self, connection: C) -> None:
        self._leave_room()
        await self._discard(connection)

    def _leave_room(self) -> None:
        self._size -= 1
        self._wake_one()

    def _wake_one(self) -> None:
        waiter = self._next_waiter()
        if waiter is not None:
            waiter.set_result(None)

    def _next_waiter(self) -> asyncio.Future[C | None] | None:
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                return waiter
        return None
