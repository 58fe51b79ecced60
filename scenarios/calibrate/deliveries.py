"""Deliveries of events, as the audit service's trail shows them: a relay brings what it has, in one request each.

Audit hears of every event. Those of one producer that were recorded shortly after each other came in one delivery, and
in the same round of the producer's relay everybody else who hears of one of them was told.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from scenarios.history import History
from settlement.settings import SETTINGS
from settlement.topology import SUBSCRIPTIONS

PRODUCERS = {
    "user": "usercenter", "order": "order", "payment": "gateway", "refund": "gateway", "transaction": "gateway",
    "risk": "risk", "clearing": "clearing", "reconciliation": "reconciliation",
}  # fmt: skip
"""First word of an event's type -> who tells of it."""
POLL_INTERVAL = "outbox.poll_interval_ms"


class Delivery(NamedTuple):
    """One request with events, at about `at_s`."""

    at_s: float
    producer: str
    consumer: str


def deliveries(history: History) -> list[Delivery]:
    """All of a run, in order of time."""
    poll_ms = history.plan.platform.settings.get(POLL_INTERVAL, SETTINGS[POLL_INTERVAL].default)
    apart_s = float(str(poll_ms)) / 1000 / 2
    return sorted(_found(history, apart_s))


def _found(history: History, apart_s: float) -> Iterator[Delivery]:
    events = history["events"].sort_values("recorded_s")
    for producer, table in events.groupby(events["type"].str.split(".").str[0].map(PRODUCERS)):
        rounds = (table["recorded_s"].diff() > apart_s).cumsum()
        for _, batch in table.groupby(rounds):
            consumers = {consumer for type_ in batch["type"] for consumer in SUBSCRIPTIONS[type_]}
            at_s = float(batch["recorded_s"].iloc[0])
            yield from (Delivery(at_s, str(producer), consumer) for consumer in consumers)
