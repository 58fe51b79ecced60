"""The pool of connections: its limits, its waiters, and what it does with the dead."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from settlement.chassis import pool as module
from settlement.chassis.database import DatabaseBusy, DatabaseUnavailable
from settlement.chassis.live_settings import LiveSettings
from settlement.chassis.pool import Pool


class Link:
    """A connection of a server that exists in this test only."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.dead = False
        self.tried = 0
        self.closed = False


class Server:
    """Opens links, and remembers them."""

    def __init__(self, **settings: object) -> None:
        self.links: list[Link] = []
        self.down = False
        self.settings = LiveSettings()
        self.set(**settings)
        self.pool: Pool[Link] = Pool(self.settings, self.connect, self.alive, self.discard)

    def set(self, **settings: object) -> None:
        given = {"initial": 0, "min": 0, "max": 2, "wait_max_ms": 5_000, **settings}
        self.settings.replace({f"database.pool_{name}": value for name, value in given.items()}, 1)

    async def connect(self) -> Link:
        await asyncio.sleep(0)
        if self.down:
            raise DatabaseUnavailable("refused")
        self.links.append(Link(len(self.links)))
        return self.links[-1]

    async def alive(self, link: Link) -> bool:
        link.tried += 1
        return not link.dead

    async def discard(self, link: Link) -> None:
        link.closed = True


async def _until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0)


async def test_a_connection_is_used_again() -> None:
    server = Server()
    first = await server.pool.acquire()
    await server.pool.release(first, healthy=True)
    assert await server.pool.acquire() is first


async def test_beyond_the_maximum_one_waits_for_whoever_gives_back() -> None:
    server = Server(max=1)
    first = await server.pool.acquire()
    waiting = [asyncio.create_task(server.pool.acquire()) for _ in range(2)]
    await _until(lambda: server.pool.stats().waiting == 2)
    await server.pool.release(first, healthy=True)
    assert await waiting[0] is first
    assert not waiting[1].done(), "who came later is served later"
    await server.pool.release(first, healthy=True)
    assert await waiting[1] is first
    assert (len(server.links), server.pool.stats().waits_total) == (1, 2)


async def test_the_wait_ends_with_busy() -> None:
    server = Server(max=1, wait_max_ms=10)
    held = await server.pool.acquire()
    with pytest.raises(DatabaseBusy, match="all 1 are in use"):
        await server.pool.acquire()
    await server.pool.release(held, healthy=True)
    assert await server.pool.acquire() is held


async def test_a_broken_one_makes_room_for_a_waiter() -> None:
    server = Server(max=1)
    broken = await server.pool.acquire()
    waiting = asyncio.create_task(server.pool.acquire())
    await _until(lambda: server.pool.stats().waiting == 1)
    await server.pool.release(broken, healthy=False)
    assert (await waiting).number == 1
    assert broken.closed


async def test_who_gives_up_waiting_loses_no_connection() -> None:
    server = Server(max=1)
    held = await server.pool.acquire()
    waiting = asyncio.create_task(server.pool.acquire())
    await _until(lambda: server.pool.stats().waiting == 1)
    await server.pool.release(held, healthy=True)  # handed over, and cancelled before it was taken
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    async with asyncio.timeout(5):
        assert await server.pool.acquire() is held


async def test_the_maximum_follows_the_settings() -> None:
    server = Server(max=1)
    first = await server.pool.acquire()
    server.set(max=2)
    second = await server.pool.acquire()
    server.set(max=1)
    await server.pool.release(second, healthy=True)
    assert (second.closed, server.pool.stats().size) == (True, 1)
    await server.pool.release(first, healthy=True)
    assert not first.closed


async def test_idle_connections_are_closed_down_to_the_minimum() -> None:
    server = Server(max=4, min=1, idle_max_ms=100)
    used = [await server.pool.acquire() for _ in range(3)]
    for link in used:
        await server.pool.release(link, healthy=True)
    await server.pool.tend()
    assert server.pool.stats().size == 3, "not idle for long enough yet"
    await asyncio.sleep(0.11)
    await server.pool.tend()
    assert [link.closed for link in used] == [True, True, False], "the one used last is kept"


async def test_the_minimum_is_kept_open() -> None:
    server = Server(min=2)
    await server.pool.tend()
    assert server.pool.stats().size == 2


@pytest.mark.parametrize(("check", "tried"), [("always", 1), ("when_idle", 0), ("never", 0)])
async def test_a_connection_used_just_now_is_tried_only_if_asked_for(check: str, tried: int) -> None:
    server = Server(liveness_check=check)
    link = await server.pool.acquire()
    await server.pool.release(link, healthy=True)
    await server.pool.acquire()
    assert link.tried == tried


async def test_a_dead_connection_is_replaced_and_the_others_are_suspected() -> None:
    server = Server(max=3)
    links = [await server.pool.acquire() for _ in range(3)]
    for link in links:
        link.dead = link is not links[0]
        await server.pool.release(link, healthy=link is not links[2])  # the last one broke while it was in use
    server.pool.suspect()
    fresh = await server.pool.acquire()
    assert (fresh.number, links[1].tried, links[1].closed) == (3, 1, True)
    assert await server.pool.acquire() is links[0]
    assert links[0].tried == 1


async def test_a_server_that_is_away_is_told_at_once_and_takes_no_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TRUSTED_IDLE_S", 0.0)
    server = Server(max=1)
    server.down = True
    for _ in range(3):
        with pytest.raises(DatabaseUnavailable):
            await server.pool.acquire()
    server.down = False
    assert (await server.pool.acquire()).number == 0


async def test_a_closed_pool_closes_what_comes_back() -> None:
    server = Server()
    held, idle = await server.pool.acquire(), await server.pool.acquire()
    await server.pool.release(idle, healthy=True)
    await server.pool.close()
    await server.pool.release(held, healthy=True)
    assert held.closed
    assert idle.closed
    assert server.pool.stats().size == 0
