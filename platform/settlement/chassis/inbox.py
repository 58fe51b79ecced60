"""Takes delivered events, and each at most once: its id is marked in the transaction of its effect."""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Final

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError
from structlog.typing import FilteringBoundLogger

from settlement.chassis.clock import Clock
from settlement.chassis.columns import moment
from settlement.chassis.database import CommitUnknown, Database, DatabaseBusy, DatabaseUnavailable, Transaction
from settlement.chassis.dead_letters import DeadLetter, DeadLetters
from settlement.chassis.events import Event
from settlement.chassis.retention import Retention

metadata: Final = sa.MetaData()
consumed: Final = sa.Table(
    "consumed_events",
    metadata,
    sa.Column("event_id", sa.String(36), primary_key=True),
    moment("consumed_at_ms"),
)
sa.Index("consumed_events_by_age", consumed.c.consumed_at_ms)
# A mark must outlive every delivery of its event; see the setting.
RETENTION: Final = (Retention(consumed, "events.consumed_kept_days", lambda ms: consumed.c.consumed_at_ms < ms),)
_SEEN: Final = sa.select(consumed.c.event_id).where(consumed.c.event_id.in_(sa.bindparam("ids", expanding=True)))
_MARK: Final = sa.insert(consumed)

Consumer = Callable[[Transaction, Event], Awaitable[None]]


class _DatabaseAway(Exception):
    """Nothing can be consumed now, whatever the event."""


class Inbox:
    """Takes delivered events: a batch is one transaction, with the marks that its events were consumed.

    If that fails, the events are taken one by one, so that a bad one holds up no other; one that failed too often
    becomes a dead letter. Consumers get events of one subject in any order, and at most once each.
    """

    def __init__(
        self,
        database: Database,
        consumers: dict[str, Consumer],
        dead_letters: DeadLetters,
        clock: Clock,
        log: FilteringBoundLogger,
    ) -> None:
        self._database = database
        self._consumers = consumers
        self.dead_letters = dead_letters
        self._clock = clock
        self._log = log

    async def take(self, batch: Sequence[Event]) -> list[str]:
        """Consume a batch; returns the ids of the events that need not be delivered again."""
        # What nobody here wants is done: a delivery repeated for ever would change nothing.
        wanted = {event.event_id: event for event in batch if event.type in self._consumers}
        if len(wanted) > 1 and await self._consumed_together(list(wanted.values())):
            return [event.event_id for event in batch]
        left = dict(wanted)
        for event_id, event in wanted.items():
            try:
                if await self._done_with(event):
                    del left[event_id]
            except _DatabaseAway as error:  # each of the others would have to find it out anew, and wait for it
                self._log.warning("events_not_consumed", events=len(left), error=str(error))
                break
        return [event.event_id for event in batch if event.event_id not in left]

    async def _consumed_together(self, events: Sequence[Event]) -> bool:
        try:
            await self._database.run(partial(self._consume, events))
        except Exception as error:  # noqa: BLE001 - one bad event must not hold up the others
            self._log.warning("batch_not_consumed", events=len(events), error=f"{type(error).__name__}: {error}")
            return False
        return True

    async def _done_with(self, event: Event) -> bool:
        """Consume an event; true if it is consumed now, or dead. Raises _DatabaseAway."""
        try:
            await self._database.run(partial(self._consume, [event]))
        except (DatabaseBusy, DatabaseUnavailable, CommitUnknown) as error:
            raise _DatabaseAway(str(error)) from error
        except Exception as error:  # noqa: BLE001 - one bad event must not hold up the others
            return await self._failed(event, error)
        return True

    async def _failed(self, event: Event, error: Exception) -> bool:
        named = {"event_id": event.event_id, "type": event.type}
        try:
            if await self._database.read(_SEEN, {"ids": [event.event_id]}):
                return True  # another replica was given the same event, and was first
            dead = await self.dead_letters.failed(event, error)
        except IntegrityError:
            return False  # another replica was given the same event, and counted first
        except Exception as uncounted:
            # Then the database is at fault, not the event.
            raise _DatabaseAway(f"{type(uncounted).__name__}: {uncounted}") from uncounted
        if dead:
            self._log.error("event_is_dead_letter", **named, exc_info=error)
        else:
            self._log.warning("event_not_consumed", **named, exc_info=error)
        return dead

    async def replay(self, letter: DeadLetter) -> str | None:
        """Consume a dead letter, and forget it in the same transaction; returns what is wrong if it fails again."""
        event = letter.event
        if event.type not in self._consumers:
            return f"nobody here consumes {event.type}"

        async def consume_and_forget(tx: Transaction) -> None:
            await self._consume([event], tx)
            await self.dead_letters.remove(tx, [event.event_id])

        try:
            await self._database.run(consume_and_forget)
        except Exception as error:  # noqa: BLE001 - reported to the operator
            with contextlib.suppress(_DatabaseAway):
                await self._failed(event, error)
            return f"{type(error).__name__}: {error}"
        return None

    async def _consume(self, events: Sequence[Event], tx: Transaction) -> None:
        seen = {row.event_id for row in await tx.execute(_SEEN, {"ids": [event.event_id for event in events]})}
        fresh = [event for event in events if event.event_id not in seen]
        if not fresh:
            return
        # In one order for everybody: replicas that are given the same events wait for each other, not in a circle.
        # Who comes second violates the key, and finds the events seen when it tries again one by one.
        now_ms = self._clock.now_ms()
        marks = [{"event_id": event_id, "consumed_at_ms": now_ms} for event_id in sorted(e.event_id for e in fresh)]
        await tx.execute(_MARK, marks)
        for event in fresh:
            await self._consumers[event.type](tx, event)
