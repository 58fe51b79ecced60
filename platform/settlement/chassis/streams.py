"""Events through Redis Streams: one stream per event type, one consumer group per subscribing service.

A stream per type, so that a service reads what it subscribed to and nothing else, and a flood of one type neither
delays nor pushes out another. Order between types is lost, which no consumer may rely on anyway.

At least once: an event leaves the outbox after Redis has acknowledged it (`appendfsync always`: it is on Redis' disk),
and a consumer acknowledges it after its own transaction has committed. Whatever dies in between, the event comes
again, and the inbox knows its id. What a dead consumer had taken, another claims after `events.claim_after_ms`.

A stream is bounded without losing anything. Only what every subscriber has acknowledged is trimmed, and when the stream
is longer than `events.stream_length_max` all the same, because a subscriber is gone, new events wait in the outbox.
"""

from __future__ import annotations

import asyncio
import math
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import orjson
from prometheus_client import CollectorRegistry, Gauge
from structlog.typing import FilteringBoundLogger

from settlement.chassis.clock import Clock
from settlement.chassis.events import EVERYBODY, Event, event_from
from settlement.chassis.live_settings import LiveSettings
from settlement.chassis.metrics import Metrics
from settlement.chassis.redis import RedisDown, RedisFailed, RedisRefused, SharedRedis
from settlement.topology import SUBSCRIPTIONS

if TYPE_CHECKING:
    from redis.asyncio import Redis

PREFIX: Final = "events:"
TRIM_INTERVAL_MS: Final = 1_000
BLOCK_MS: Final = 1_000
RETRY_AFTER_S: Final = 0.5
FIELD: Final = b"event"

# KEYS: the stream. ARGV: greatest length, number of groups, the groups, the events. A new stream gets its groups
# before its first event, so that none can be trimmed unread. Returns how many events found room, the first ones.
_PUBLISH: Final = """
local groups = tonumber(ARGV[2])
if redis.call('EXISTS', KEYS[1]) == 0 then
  for i = 3, groups + 2 do redis.call('XGROUP', 'CREATE', KEYS[1], ARGV[i], '0', 'MKSTREAM') end
end
local room = math.max(0, math.min(tonumber(ARGV[1]) - redis.call('XLEN', KEYS[1]), #ARGV - groups - 2))
for i = groups + 3, groups + 2 + room do redis.call('XADD', KEYS[1], '*', 'event', ARGV[i]) end
return room
"""
# KEYS: the stream. ARGV: its groups. Drops what all of them have acknowledged. A group that is missing (a service that
# subscribed and never ran) is made, and has read nothing yet.
_TRIM: Final = """
if redis.call('EXISTS', KEYS[1]) == 0 then return 0 end
local wanted = {}
for _, name in ipairs(ARGV) do
  wanted[name] = true
  redis.pcall('XGROUP', 'CREATE', KEYS[1], name, '0')
end
local needed, needed_ms, needed_seq
for _, fields in ipairs(redis.call('XINFO', 'GROUPS', KEYS[1])) do
  local group = {}
  for i = 1, #fields, 2 do group[fields[i]] = fields[i + 1] end
  if wanted[group['name']] then
    local id = group['last-delivered-id']
    if group['pending'] > 0 then id = redis.call('XPENDING', KEYS[1], group['name'])[2] end
    local ms, seq = string.match(id, '(%d+)-(%d+)')
    ms, seq = tonumber(ms), tonumber(seq)
    if not needed or ms < needed_ms or (ms == needed_ms and seq < needed_seq) then
      needed, needed_ms, needed_seq = id, ms, seq
    end
  end
end
return redis.call('XTRIM', KEYS[1], 'MINID', '=', needed)
"""

# KEYS: the stream. ARGV: the group. Makes both where they are missing; a new group begins at the beginning.
_JOIN: Final = """
local made = redis.pcall('XGROUP', 'CREATE', KEYS[1], ARGV[1], '0', 'MKSTREAM')
if made['err'] and not string.find(made['err'], 'BUSYGROUP') then return made end
return 1
"""

Take = Callable[[Sequence[Event]], Awaitable[Sequence[str]]]


def stream_of(event_type: str) -> str:
    """The stream that events of this type travel in."""
    return PREFIX + event_type


class StreamPublisher:
    """Carries events into their streams. An event is confirmed when Redis has acknowledged it."""

    def __init__(
        self,
        redis: SharedRedis,
        settings: LiveSettings,
        clock: Clock,
        registry: CollectorRegistry,
        log: FilteringBoundLogger,
    ) -> None:
        self._redis = redis
        self._settings = settings
        self._clock = clock
        self._log = log
        self._publish = redis.client.register_script(_PUBLISH)
        self._trim = redis.client.register_script(_TRIM)
        self._trimmed_at_ms: dict[str, float] = {}
        self._waiting = Gauge(
            "paylab_event_stream_full", "Whether a stream has no room for events", ["type"], registry=registry
        )

    def recipients(self, event_type: str) -> Sequence[str]:
        """See Carrier: one row, whoever and however many read the stream."""
        return (EVERYBODY,) if SUBSCRIPTIONS.get(event_type) else ()

    def ready(self) -> bool:
        """See Carrier."""
        return self._redis.up

    async def deliver(self, recipient: str, batch: Sequence[Event]) -> set[str]:
        """See Carrier. Rows for one subscriber, left from a time without Redis, are published like all others."""
        confirmed: set[str] = set()
        for event_type in dict.fromkeys(event.type for event in batch):
            events = [event for event in batch if event.type == event_type]
            try:
                room = await self._add(event_type, events)
            except RedisFailed as error:
                self._log.warning("events_not_published", type=event_type, error=str(error))
                continue
            confirmed.update(event.event_id for event in events[:room])
        return confirmed

    async def _add(self, event_type: str, events: Sequence[Event]) -> int:
        groups = SUBSCRIPTIONS.get(event_type, ())
        await self._trim_if_due(event_type, groups)
        length_max = self._settings.integer("events.stream_length_max")
        arguments: list[Any] = [
            length_max,
            len(groups),
            *groups,
            *(orjson.dumps(event.wire_form()) for event in events),
        ]
        room = int(await self._redis.run(lambda _: self._publish([stream_of(event_type)], arguments)))
        self._waiting.labels(event_type).set(room < len(events))
        if room < len(events):
            self._log.warning("event_stream_full", type=event_type, waiting=len(events) - room)
        return room

    async def _trim_if_due(self, event_type: str, groups: Sequence[str]) -> None:
        """Drop what every subscriber has acknowledged, before more is added."""
        now_ms = self._clock.monotonic_ms()
        if now_ms - self._trimmed_at_ms.get(event_type, -math.inf) >= TRIM_INTERVAL_MS:
            self._trimmed_at_ms[event_type] = now_ms
            await self._redis.run(lambda _: self._trim([stream_of(event_type)], groups))


@dataclass(frozen=True)
class _Entry:
    """An event as it lies in a stream; None if what lies there is none."""

    stream: str
    entry_id: bytes
    event: Event | None


class StreamConsumer:
    """Reads what a service subscribed to and hands it to `take`, which returns the ids it is done with.

    `batch_size_max` events are handed over at a time. Replicas of a service share the work: each event goes to one.
    """

    def __init__(
        self,
        service: str,
        replica: str,
        redis: SharedRedis,
        take: Take,
        settings: LiveSettings,
        log: FilteringBoundLogger,
    ) -> None:
        self._group = service
        self._consumer = replica
        self._redis = redis
        self._take = take
        self._settings = settings
        self._log = log
        self._streams = [stream_of(name) for name, subscribers in SUBSCRIPTIONS.items() if service in subscribers]
        self._claim_at_s = 0.0
        self._join = redis.client.register_script(_JOIN)

    def expose(self, metrics: Metrics) -> None:
        """Show how far this service is behind, per event type."""
        gauge = Gauge(
            "paylab_event_stream_lag", "Events published and not consumed yet", ["type"], registry=metrics.registry
        )

        async def look_up() -> None:
            for stream in self._streams:
                gauge.labels(stream.removeprefix(PREFIX)).set(await self._lag(stream))

        metrics.at_exposition(look_up)

    async def _lag(self, stream: str) -> int:
        groups: list[dict[str, Any]] = await self._redis.run(lambda client: client.xinfo_groups(stream))
        ours = [group for group in groups if group["name"] == self._group.encode()]
        return sum((group["lag"] or 0) + group["pending"] for group in ours)

    async def run(self) -> None:
        """Consume for ever, or not at all if the service subscribed to nothing."""
        while self._streams:
            await self._redis.until_up()
            try:
                for stream in self._streams:
                    await self._create_group(stream)
                while True:
                    await self._turn()
            except RedisDown:
                continue
            except RedisRefused as error:
                # NOGROUP: Redis came back without its data. The groups are made again, from the beginning.
                self._log.warning("event_stream_refused", error=str(error))
            except Exception:  # noqa: BLE001 - the boundary of a background job: report, go on
                self._log.exception("events_not_consumed")
            await asyncio.sleep(RETRY_AFTER_S)

    async def _create_group(self, stream: str) -> None:
        await self._redis.run(lambda _: self._join([stream], [self._group]))

    async def _turn(self) -> None:
        entries = await self._claim_if_due()
        entries += await self._read(wait=not entries)
        size = self._settings.integer("outbox.batch_size_max")
        for begin in range(0, len(entries), size):
            await self._consume(entries[begin : begin + size])

    async def _claim_if_due(self) -> list[_Entry]:
        """What other consumers, or this one, took and did not acknowledge for too long."""
        now_s = asyncio.get_running_loop().time()
        if now_s < self._claim_at_s:
            return []
        idle_ms = self._settings.integer("events.claim_after_ms")
        self._claim_at_s = now_s + idle_ms / 2_000
        return [entry for stream in self._streams for entry in await self._claim(stream, idle_ms)]

    async def _claim(self, stream: str, idle_ms: int) -> list[_Entry]:
        count = self._settings.integer("outbox.batch_size_max")
        answer = await self._redis.run(
            lambda client: client.xautoclaim(stream, self._group, self._consumer, idle_ms, "0-0", count)
        )
        return [self._entry(stream, *entry) for entry in answer[1]]

    async def _read(self, *, wait: bool) -> list[_Entry]:
        """What nobody of the group was given yet; waits for it at most until the next claim is due."""
        block_ms = min(BLOCK_MS, max(1, self._settings.integer("events.claim_after_ms") // 2)) if wait else None
        wanted: dict[Any, Any] = dict.fromkeys(self._streams, ">")
        count = self._settings.integer("outbox.batch_size_max")
        answer: Any = await self._redis.run(
            lambda client: client.xreadgroup(self._group, self._consumer, wanted, count=count, block=block_ms),
            waits_ms=block_ms or 0,
        )
        return [self._entry(stream.decode(), *entry) for stream, entries in answer or [] for entry in entries]

    def _entry(self, stream: str, entry_id: bytes, fields: dict[bytes, bytes]) -> _Entry:
        try:
            return _Entry(stream, entry_id, event_from(orjson.loads(fields[FIELD])))
        except (KeyError, TypeError, ValueError):
            self._log.error("no_event_in_stream", stream=stream, entry=entry_id.decode())
            return _Entry(stream, entry_id, None)

    async def _consume(self, entries: Sequence[_Entry]) -> None:
        events = [entry.event for entry in entries if entry.event is not None]
        taken = set(await self._take(events)) if events else set()
        await self._acknowledge([entry for entry in entries if entry.event is None or entry.event.event_id in taken])
        if events and not taken:
            await asyncio.sleep(RETRY_AFTER_S)  # the database is away, most likely: do not take ever more

    async def _acknowledge(self, done: Sequence[_Entry]) -> None:
        by_stream: dict[str, list[bytes]] = defaultdict(list)
        for entry in done:
            by_stream[entry.stream].append(entry.entry_id)

        def acknowledge(client: Redis) -> Awaitable[list[Any]]:
            commands = client.pipeline(transaction=False)
            for stream, ids in by_stream.items():
                commands.xack(stream, self._group, *ids)
            return commands.execute()

        if by_stream:
            await self._redis.run(acknowledge)
