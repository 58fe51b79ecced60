"""Deliveries of messages over their channels.

The channel `inbox` is this database itself, so that delivery is done when it is written. `sms` stands for a provider
outside the platform (setting `message.sms`): it is tried again after growing pauses, and given up at last. Whoever
delivers moves `next_at_ms` ahead first, which keeps other replicas away; one that dies meanwhile merely delays the next
attempt, so a text may arrive twice, and never not at all.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import Row, bindparam, select, update

from settlement.services.message.model import deliveries, messages
from settlement.services.message.schemas import DeliveryPage, DeliveryView

if TYPE_CHECKING:
    from settlement.chassis.app import Chassis
    from settlement.chassis.database import Transaction
    from settlement.chassis.live_settings import LiveSettings

POLL_INTERVAL_MS: Final = 500
DELIVERED_AT_ONCE_MAX: Final = 50
CLAIM_MS: Final = 10_000
PAUSES_MS: Final = (1_000, 5_000, 30_000, 120_000)

_WITH_MESSAGE = select(deliveries, messages.c.user_id, messages.c.kind, messages.c.text).join(
    messages, messages.c.id == deliveries.c.message_id
)
_DUE = (
    _WITH_MESSAGE.where(deliveries.c.state == "due", deliveries.c.next_at_ms <= bindparam("now_ms"))
    .order_by(deliveries.c.next_at_ms)
    .limit(DELIVERED_AT_ONCE_MAX)
)
# The guard on next_at_ms lets one of several replicas have it.
_CLAIM = (
    update(deliveries)
    .where(
        deliveries.c.id == bindparam("wanted"),
        deliveries.c.state == "due",
        deliveries.c.next_at_ms == bindparam("seen_at_ms"),
    )
    .values(next_at_ms=bindparam("claimed_until_ms"))
)
_RECORD = (
    update(deliveries)
    .where(deliveries.c.id == bindparam("wanted"))
    .values({name: bindparam(f"new_{name}") for name in (
        "state", "attempts", "next_at_ms", "delivered_at_ms", "last_error",
    )})
)  # fmt: skip
_PAGE = _WITH_MESSAGE.where(deliveries.c.id > bindparam("after")).order_by(deliveries.c.id).limit(bindparam("size"))


def deliveries_of(message_id: int, now_ms: int, settings: LiveSettings) -> list[dict[str, Any]]:
    """The rows of `deliveries` that a new message begins with."""
    row = {"message_id": message_id, "next_at_ms": now_ms, "last_error": None}
    inbox = {**row, "channel": "inbox", "state": "delivered", "attempts": 1, "delivered_at_ms": now_ms}
    if settings.text("message.sms") == "off":
        return [inbox]
    return [inbox, {**row, "channel": "sms", "state": "due", "attempts": 0, "delivered_at_ms": None}]


class Deliveries:
    """Delivers what is due, and shows operators what became of it."""

    def __init__(self, chassis: Chassis) -> None:
        self._chassis = chassis

    async def deliver_due(self) -> int:
        """Deliver one batch of due texts; returns how many were sent."""
        now_ms = self._chassis.clock.now_ms()
        due = await self._chassis.database.read(_DUE, {"now_ms": now_ms})
        if not due:
            return 0

        async def claim(tx: Transaction) -> list[Row[Any]]:
            until_ms = now_ms + CLAIM_MS
            return [row for row in due if await self._claimed(tx, row, until_ms)]

        mine = await self._chassis.database.run(claim)
        results = [{"wanted": row.id, **self._result(row, self._send(row))} for row in mine]

        async def record(tx: Transaction) -> None:
            for result in results:
                await tx.execute(_RECORD, result)

        await self._chassis.database.run(record)
        return sum(result["new_state"] == "delivered" for result in results)

    async def page(self, *, state: str | None, channel: str | None, after: int, limit: int) -> DeliveryPage:
        """Up to `limit` deliveries with an id above `after`, oldest first."""
        query = _PAGE
        if state is not None:
            query = query.where(deliveries.c.state == state)
        if channel is not None:
            query = query.where(deliveries.c.channel == channel)
        rows = await self._chassis.database.read(query, {"after": after, "size": limit + 1})
        shown = [DeliveryView.model_validate(row._mapping) for row in rows[:limit]]
        return DeliveryPage(deliveries=shown, next_after=shown[-1].id if len(rows) > limit else None)

    async def _claimed(self, tx: Transaction, row: Row[Any], until_ms: int) -> bool:
        claim = {"wanted": row.id, "seen_at_ms": row.next_at_ms, "claimed_until_ms": until_ms}
        return (await tx.execute(_CLAIM, claim)).rowcount == 1

    def _send(self, row: Row[Any]) -> str:
        """Hand a text to the simulated provider; returns what went wrong, empty if nothing."""
        if self._chassis.settings.text("message.sms") == "failing":
            return "the provider refused"
        self._chassis.log.info("sms_sent", message_id=row.message_id, user_id=row.user_id, kind=row.kind)
        return ""

    def _result(self, row: Row[Any], problem: str) -> dict[str, Any]:
        now_ms = self._chassis.clock.now_ms()
        state, next_at_ms = "delivered", now_ms
        if problem:
            again = row.attempts < len(PAUSES_MS)
            state, next_at_ms = ("due", now_ms + PAUSES_MS[row.attempts]) if again else ("given_up", now_ms)
        return {
            "new_state": state,
            "new_attempts": row.attempts + 1,
            "new_next_at_ms": next_at_ms,
            "new_delivered_at_ms": None if problem else now_ms,
            "new_last_error": problem or None,
        }
