"""Events through a real Redis: nothing lost and every effect once, whoever dies."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy as sa

from settlement.topology import SUBSCRIPTIONS
from tests.mariadb_server import MariaServer, both_backends
from tests.redis_server import RedisServer

STREAM, GROUP = "events:probe.happened", "probe"
QUICK = {"events.claim_after_ms": 50, "redis.timeout_ms": 1_000}
NOTES = sa.text("SELECT text FROM notes")
WAITING = sa.text("SELECT subject FROM outbox_events")


class World:
    """The probe service on Redis."""

    def __init__(self, cluster: Any, server: RedisServer) -> None:
        self.cluster = cluster
        self.redis = server

    async def start(self, replica: str = "probe-0", **settings: object) -> Any:
        return await self.cluster.start("probe", replica, settings={**QUICK, **settings}, redis_url=self.redis.url)

    async def happen(self, *subjects: str, replica: str = "probe-0") -> None:
        chassis = self.cluster.replica(replica).chassis
        async with chassis.database.transaction() as tx:
            for subject in subjects:
                await chassis.outbox.add(tx, type="probe.happened", subject=subject, data={"n": 1})

    async def notes(self, replica: str = "probe-0") -> Counter[str]:
        return Counter(row.text for row in await self.cluster.replica(replica).chassis.database.read(NOTES))

    async def waiting(self, replica: str = "probe-0") -> int:
        return len(await self.cluster.replica(replica).chassis.database.read(WAITING))

    def pending(self) -> int:
        return int(self.redis.client.xpending(STREAM, GROUP)["pending"])

    async def settled(self, subjects: set[str], replica: str = "probe-0") -> None:
        """Wait until each of these had its effect; fails if one had it twice."""

        async def all_there() -> bool:
            return set(await self.notes(replica)) >= subjects

        await self.cluster.eventually(all_there, within_s=15)
        assert await self.notes(replica) == Counter(subjects)


@pytest.fixture
def world(cluster: Any, probe: Any, redis_server: RedisServer) -> World:
    return World(cluster, redis_server)


async def test_an_event_goes_through_the_stream_and_leaves_nothing_behind(world: World) -> None:
    await world.start()
    await world.happen("a", "b")
    await world.settled({"a", "b"})
    await world.cluster.eventually(lambda: world.pending() == 0)
    assert await world.waiting() == 0
    assert [path for _, _, path in world.cluster.network.carried if path == "/events"] == []


@both_backends
async def test_killing_redis_in_the_middle_of_a_stream_loses_and_repeats_nothing(world: World) -> None:
    await world.start("probe-0", **{"outbox.batch_size_max": 5})
    await world.start("probe-1", **{"outbox.batch_size_max": 5})
    subjects = {f"event-{number}" for number in range(120)}

    async def produce() -> None:
        for number, subject in enumerate(sorted(subjects)):
            await world.happen(subject, replica=f"probe-{number % 2}")
            await asyncio.sleep(0.002)

    producing = asyncio.create_task(produce())
    for _ in range(2):
        so_far = len(await world.notes())
        await world.cluster.eventually(_more_notes_than(world, so_far + 10))
        world.redis.kill()
        await asyncio.to_thread(world.redis.start)
    await producing
    await world.settled(subjects)


def _more_notes_than(world: World, number: int) -> Callable[[], Any]:
    async def enough() -> bool:
        return len(await world.notes()) > number

    return enough


async def test_events_wait_in_the_outbox_while_redis_is_down(world: World) -> None:
    await world.start()
    world.redis.kill()
    await world.happen("a", "b", "c")
    await world.cluster.eventually(lambda: not world.cluster.replica("probe-0").chassis.redis.up)
    assert await world.waiting() == 3
    await asyncio.to_thread(world.redis.start)
    await world.settled({"a", "b", "c"})


async def test_a_redis_that_lost_its_data_is_used_again_from_the_beginning(world: World) -> None:
    await world.start()
    await world.happen("before")
    await world.settled({"before"})
    world.redis.lose_everything()
    await world.happen("meanwhile")
    await asyncio.to_thread(world.redis.start)
    await world.happen("after")
    await world.settled({"before", "meanwhile", "after"})
    world.redis.client.flushall()  # without a broken connection, too
    await world.happen("after that")
    await world.settled({"before", "meanwhile", "after", "after that"})


@both_backends
async def test_a_consumer_that_dies_before_it_acknowledges_causes_no_second_effect(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    from settlement.chassis.streams import StreamConsumer

    async def die(*_: object) -> None:
        await asyncio.Event().wait()

    with monkeypatch.context() as patch:
        patch.setattr(StreamConsumer, "_acknowledge", die)
        await world.start("probe-0")
        await world.happen("a")
        await world.settled({"a"})  # committed
        assert world.pending() == 1  # and not acknowledged
        await world.cluster.kill("probe-0")
    await world.start("probe-1")
    await world.cluster.eventually(lambda: world.pending() == 0)
    assert await world.notes("probe-1") == Counter({"a": 1})


@both_backends
async def test_what_a_dead_consumer_had_taken_is_claimed_by_another(world: World, probe: Any) -> None:
    taken = asyncio.Event()

    async def hang(_tx: Any, _event: Any) -> None:
        taken.set()
        await asyncio.Event().wait()

    consume, probe.consume = probe.consume, hang
    await world.start("probe-0")
    await world.happen("a")
    await asyncio.wait_for(taken.wait(), 5)
    await world.cluster.kill("probe-0")
    probe.consume = consume
    await world.start("probe-1")
    await world.settled({"a"}, "probe-1")


@both_backends
async def test_replicas_share_the_work(world: World) -> None:
    for replica in ("probe-0", "probe-1"):
        await world.start(replica, **{"outbox.batch_size_max": 2, "events.claim_after_ms": 10_000})
    names = {f"event-{number}" for number in range(60)}
    await world.happen(*names)
    await world.settled(names)
    consumers = {entry["name"] for entry in world.redis.client.xinfo_consumers(STREAM, GROUP)}
    assert consumers == {"probe-0", "probe-1"}
    await world.cluster.eventually(lambda: world.pending() == 0)
    for replica in ("probe-0", "probe-1"):
        lag = (await world.cluster.http(replica).get("/metrics")).text
        assert 'paylab_event_stream_lag{type="probe.happened"} 0.0' in lag


async def test_a_stream_without_room_makes_events_wait_and_drops_none(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(SUBSCRIPTIONS, "probe.happened", ("probe", "sleeper"))  # one of the two never reads
    monkeypatch.setattr("settlement.chassis.streams.TRIM_INTERVAL_MS", 0)
    await world.start("probe-0", **{"events.stream_length_max": 100})
    names = {f"event-{number}" for number in range(130)}
    await world.happen(*names)

    async def only_the_rest_waits() -> bool:
        return await world.waiting() == 30

    await world.cluster.eventually(only_the_rest_waits)
    assert world.redis.client.xlen(STREAM) == 100
    assert len(await world.notes()) <= 100
    client = world.redis.client
    [[_, entries]] = client.xreadgroup("sleeper", "sleeper-0", {STREAM: ">"}, count=1_000)
    client.xack(STREAM, "sleeper", *(entry_id for entry_id, _ in entries))
    await world.settled(names)
    assert client.xlen(STREAM) <= 32


async def test_the_trace_goes_with_the_event(world: World, probe: Any) -> None:
    from settlement.chassis.trace import current_trace, enter_trace, new_trace

    seen: list[str] = []

    async def consume(_tx: Any, event: Any) -> None:
        seen.append(current_trace().trace_id)

    probe.consume = consume
    await world.start()
    trace = new_trace()
    enter_trace(trace)
    await world.happen("a")
    await world.cluster.eventually(lambda: seen)
    assert seen == [trace.trace_id]


async def test_what_is_no_event_is_put_aside(world: World) -> None:
    await world.start()
    await world.happen("a")
    await world.settled({"a"})
    world.redis.client.xadd(STREAM, {"event": "{"})
    world.redis.client.xadd(STREAM, {"nonsense": "1"})
    await world.happen("b")
    await world.settled({"a", "b"})
    await world.cluster.eventually(lambda: world.pending() == 0)


async def test_what_waited_for_one_carrier_goes_with_another(world: World) -> None:
    await world.start()
    world.redis.kill()
    await world.happen("waited for redis")
    await world.cluster.stop("probe-0")
    await world.cluster.start("probe", settings=QUICK)  # now without Redis
    await world.settled({"waited for redis"})
    world.cluster.network.refuse("probe", "/events", times=10_000)
    await world.happen("waited for http")
    await world.cluster.stop("probe-0")
    await asyncio.to_thread(world.redis.start)
    await world.start()
    world.cluster.clock.advance_ms(1_000)
    await world.settled({"waited for redis", "waited for http"})


@pytest.mark.parametrize("backend", ["mariadb"], indirect=True)
async def test_an_outage_of_the_database_delays_events_and_condemns_none(world: World, mariadb: MariaServer) -> None:
    await world.start(**{"events.attempts_max": 1})
    await world.happen("before")
    await world.settled({"before"})
    await asyncio.to_thread(mariadb.stop)
    event = {"event_id": "e", "type": "probe.happened", "subject": "during", "data": {}, "occurred_at_ms": 1}
    world.redis.client.xadd(STREAM, {"event": json.dumps(event)})
    await world.cluster.eventually(lambda: world.pending() == 1)
    await asyncio.to_thread(mariadb.start)
    await world.settled({"before", "during"})
    letters = await world.cluster.http("probe").get("/operator/dead-letters", headers=world.cluster.as_operator())
    assert letters.json()["dead_letters"] == []
