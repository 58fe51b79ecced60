"""Events on their way from the outbox of whoever caused them to everybody who hears of them, and what that costs.

An event is written together with the change that it tells of, so it survives a crash; a relay in every replica looks at
the outbox now and then and delivers what that replica has written (and what others seem to have left), in batches, to
all at once and at least once. It looks again some time after all have answered; so relays whose consumers share a
process soon look at the same moments. Consumers recognise what they
have had. A broker or a consumer that is away is waited for. The cart hears of orders by a call of its own
(`simulator.orders`).
"""

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import islice, takewhile
from typing import NamedTuple

from settlement.topology import ORPHAN_AFTER_MS, SUBSCRIPTIONS
from simulator.hosts import Process
from simulator.kernel import Future, Steps
from simulator.log_sync import LogSync
from simulator.replica import Replica
from simulator.service import Platform

AUDIT = "audit"
CALLED = "cart"
ORPHAN_AFTER_S = ORPHAN_AFTER_MS / 1000


class Event(NamedTuple):
    """One event. `number`: of its outbox."""

    number: int
    event_id: str
    type: str
    subject: str
    occurred_s: float


_new_tuple = tuple.__new__
"""Makes a named tuple in half the time that its own constructor takes."""


@dataclass
class Letters:
    """What one replica has written, by who has not heard it yet."""

    pending: dict[str, deque[Event]] = field(default_factory=dict)
    under_way: dict[str, float] = field(default_factory=dict)
    """Until when a consumer's events are some relay's business: no two deliver the same."""
    _queues: dict[str, list[deque[Event]]] = field(default_factory=dict)

    def add(self, event: Event) -> None:
        """One more."""
        type_ = event.type
        for queue in self._queues.get(type_) or self._queues_of(type_):
            queue.append(event)

    def _queues_of(self, type_: str) -> list[deque[Event]]:
        consumers = [consumer for consumer in SUBSCRIPTIONS[type_] if consumer != CALLED]
        queues = self._queues[type_] = [self.pending.setdefault(consumer, deque()) for consumer in consumers]
        return queues

    def heard(self, consumer: str, number: int) -> None:
        """A consumer has had everything up to this number."""
        waiting = self.pending[consumer]
        while waiting and waiting[0].number <= number:
            waiting.popleft()


@dataclass
class Outbox:
    """What one service has to tell: a table that its replicas share, `letters` by who wrote them."""

    service: str
    written: int = 0
    letters: dict[str, Letters] = field(default_factory=dict)

    def add(self, writer: str, type_: str, subject: str, now_s: float) -> None:
        """Something happened, durably; the replica `writer` will tell."""
        self.written += 1
        number = self.written
        event_id = f"{self.service}-event-{str(number).zfill(8)}"
        self.by(writer).add(_new_tuple(Event, (number, event_id, type_, subject, now_s)))

    def by(self, writer: str) -> Letters:
        """What a replica has written."""
        return self.letters.get(writer) or self.letters.setdefault(writer, Letters())

    def untold(self, consumer: str) -> bool:
        """Whether this one has not heard of everything yet."""
        return any(letters.pending.get(consumer) for letters in self.letters.values())


@dataclass
class Trail:
    """What the audit service has recorded: event and time, by the event's id."""

    recorded: dict[str, tuple[Event, float]] = field(default_factory=dict)


START_SPREAD_S = 0.2
"""Processes that are started together are ready within so long of each other."""


def look_every(platform: Platform, replica: Replica, job: Callable[[], Steps[None]]) -> None:
    """Look at an outbox again and again, from when this life of the replica began."""
    interval_s = platform.plan.setting_s("outbox.poll_interval_ms")
    phase = platform.streams.uniform("relay", f"{replica.name} {replica.process.incarnation}").draw()
    replica.process.every(interval_s, job, first_s=phase * min(interval_s, START_SPREAD_S))


class _Round:
    """One look at an outbox: `over` when all are told, and every delivery was answered. `unanswered`: how many not."""

    def __init__(self) -> None:
        self.unanswered = 0
        self.all_told = False
        self.over = Future()

    def answered(self) -> None:
        """One was."""
        self.unanswered -= 1
        if self.all_told and not self.unanswered:
            self.over.settle()


class _Delivery(NamedTuple):
    letters: Letters
    consumer: str
    batch: list[Event]
    round: _Round


class Relay:
    """Delivers an outbox from one replica; `trail` is where audit writes."""

    def __init__(self, platform: Platform, replica: Replica, outbox: Outbox, trail: Trail) -> None:
        self._platform, self._replica, self._outbox, self._trail = platform, replica, outbox, trail
        self._own = outbox.by(replica.name)
        costs = platform.plan.calibration
        self._event_s, self._delivery_s = costs.event_cpu_s, costs.delivery_cpu_s
        self._batch_max = int(platform.plan.setting("outbox.batch_size_max"))
        self._patience_s = platform.plan.setting_s("events.claim_after_ms")
        self._timeout_s = platform.plan.setting_s("http.timeout_ms")
        self._logs: dict[tuple[Process, str], LogSync] = {}
        """Every consumer has a database of its own, with a thread for it."""

    def start(self) -> None:
        """Look at the outbox from now on."""
        look_every(self._platform, self._replica, self._round)

    def _round(self) -> Steps[None]:
        process, round_ = self._replica.process, _Round()
        if self._platform.broker.down or (process.database is not None and process.database.away):
            return
        orphaned_before_s = process.kernel.now - ORPHAN_AFTER_S
        for letters, consumer, waiting in self._due(orphaned_before_s):
            if letters.under_way.get(consumer, 0.0) > process.kernel.now:
                continue
            if consumer in self._event_s:
                # Who has not said in time that it has had them is told again.
                letters.under_way[consumer] = process.kernel.now + self._patience_s
                yield process.work(self._platform.plan.calibration.call_cpu_s)
            ripe: Iterable[Event] = waiting
            if letters is not self._own:
                ripe = takewhile(lambda event: event.occurred_s <= orphaned_before_s, waiting)
            self._deliver(letters, consumer, list(islice(ripe, self._batch_max)), round_)
        round_.all_told = True
        if round_.unanswered:
            timeout = process.deadline(self._timeout_s, round_.over.settle)
            yield round_.over
            timeout.cancel()

    def _due(self, orphaned_before_s: float) -> list[tuple[Letters, str, deque[Event]]]:
        """Its own letters by consumer, and those of others that have been there for too long."""
        own = self._own
        due = [(own, consumer, waiting) for consumer, waiting in own.pending.items() if waiting]
        for letters in self._outbox.letters.values():
            if letters is not own:
                due += [
                    (letters, consumer, waiting)
                    for consumer, waiting in letters.pending.items()
                    if waiting and waiting[0].occurred_s <= orphaned_before_s
                ]
        return due

    def _deliver(self, letters: Letters, consumer: str, batch: list[Event], round_: _Round) -> None:
        target = self._replica.caller.choose(consumer)
        if not batch or target is None or target.app is None:
            letters.under_way.pop(consumer, None)
            return
        cost_s = self._delivery_s.get(consumer, 0.0) + self._event_s.get(consumer, 0.0) * len(batch)
        delivery = _Delivery(letters, consumer, batch, round_)
        round_.unanswered += 1
        if cost_s:
            target.process.run(cost_s, self._consumed, (target.process, delivery))
        else:
            target.process.deliver(self._heard, delivery)

    def _consumed(self, what: tuple[Process, _Delivery]) -> None:
        process, delivery = what
        if process.database is not None or not process.commit_wait_s:
            self._heard(delivery)
            return
        log = self._logs.get((process, delivery.consumer))
        if log is None:
            log = self._logs[process, delivery.consumer] = LogSync(process)
        log.write(0.0, (self._heard, delivery))  # a delivery's CPU has that of its commit in it

    def _heard(self, delivery: _Delivery) -> None:
        letters, consumer, batch, round_ = delivery
        letters.under_way.pop(consumer, None)
        if consumer == AUDIT:
            for event in batch:
                self._trail.recorded.setdefault(event.event_id, (event, self._platform.kernel.now))
        letters.heard(consumer, batch[-1].number)
        round_.answered()
