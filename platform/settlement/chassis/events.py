"""An event, as it travels from the service where it happened to the services that subscribed to its type."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

# The recipient of an event that is sent once, for whoever subscribed to it.
EVERYBODY: Final = "*"


@dataclass(frozen=True)
class Event:
    """Something that happened, in the past tense: `type` like `order.created`, `subject` what it happened to.

    `traceparent` names the trace that it happened in; empty if it is not known.
    """

    event_id: str
    type: str
    subject: str
    data: dict[str, Any]
    occurred_at_ms: int
    traceparent: str = ""

    def wire_form(self) -> dict[str, Any]:
        """The event as JSON values; its `data` is not copied."""
        # Not asdict: that copies `data` value by value, once per recipient of every event of every payment.
        return {
            "event_id": self.event_id,
            "type": self.type,
            "subject": self.subject,
            "data": self.data,
            "occurred_at_ms": self.occurred_at_ms,
            "traceparent": self.traceparent,
        }


class Carrier(Protocol):
    """A way for events to leave their service: at least once each, in no order that anybody may rely on."""

    def recipients(self, event_type: str) -> Sequence[str]:
        """To whom an event of this type is delivered, one outbox row each; empty if nobody wants it."""
        ...

    def ready(self) -> bool:
        """False while trying is pointless: events stay in the outbox, as they are."""
        ...

    async def deliver(self, recipient: str, batch: Sequence[Event]) -> set[str]:
        """Deliver a batch; returns the ids of the events that were confirmed. Never raises for a failed delivery."""
        ...


def event_from(wire_form: Mapping[str, Any]) -> Event:
    """The event of a wire form made by `Event.wire_form`. Raises TypeError for one that was not."""
    return Event(**wire_form)
