"""Events pushed to their subscribers over HTTP: what the embedded platform does in place of streams."""

from __future__ import annotations

from collections.abc import Sequence

from structlog.typing import FilteringBoundLogger

from settlement.chassis.events import EVERYBODY, Event
from settlement.chassis.http_client import CallFailed, ServiceClient
from settlement.topology import SUBSCRIPTIONS


class HttpPush:
    """Calls `POST /events` of each subscriber. An event is confirmed when its subscriber has consumed it."""

    def __init__(self, client: ServiceClient, log: FilteringBoundLogger) -> None:
        self._client = client
        self._log = log

    def recipients(self, event_type: str) -> Sequence[str]:
        """See Carrier: each subscriber for itself, so that one that is down holds up no other."""
        return SUBSCRIPTIONS.get(event_type, ())

    def ready(self) -> bool:
        """See Carrier."""
        return True

    async def deliver(self, recipient: str, batch: Sequence[Event]) -> set[str]:
        """See Carrier."""
        if recipient == EVERYBODY:
            return await self._deliver_to_all(batch)
        try:
            body = {"events": [event.wire_form() for event in batch]}
            reply = await self._client.call(recipient, "POST", "/events", json=body, idempotent=True)
        except CallFailed as error:
            self._log.warning("events_not_delivered", subscriber=recipient, error=str(error))
            return set()
        if reply.status != 200:
            self._log.warning("events_refused", subscriber=recipient, status=reply.status)
            return set()
        return set(reply.json["accepted"])

    async def _deliver_to_all(self, batch: Sequence[Event]) -> set[str]:
        """For events written while there was a Redis that is not used any more."""
        confirmed = {event.event_id for event in batch}
        for subscriber in dict.fromkeys(name for event in batch for name in self.recipients(event.type)):
            theirs = [event for event in batch if subscriber in self.recipients(event.type)]
            confirmed -= {event.event_id for event in theirs} - await self.deliver(subscriber, theirs)
        return confirmed
