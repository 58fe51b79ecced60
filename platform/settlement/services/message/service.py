"""The inbox: what users are told, and what they have read. Every method that takes a user sees that user's only."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import Row, bindparam, func, select, update

from settlement.chassis.problems import Problem
from settlement.chassis.sql import insert_ignore
from settlement.services.message.deliveries import deliveries_of
from settlement.services.message.model import deliveries, messages
from settlement.services.message.notices import notice_of
from settlement.services.message.schemas import MessagePage, MessageView, message_view

if TYPE_CHECKING:
    from settlement.chassis.app import Chassis
    from settlement.chassis.database import Transaction
    from settlement.chassis.events import Event

DAY_MS: Final = 86_400_000
# Above every id.
NO_CURSOR: Final = 2**63 - 1

_ADD = insert_ignore(messages)
_BY_EVENT = select(messages.c.id).where(messages.c.event_id == bindparam("wanted"))
_ADD_DELIVERY = insert_ignore(deliveries)
_OWN = (messages.c.id == bindparam("wanted"), messages.c.user_id == bindparam("owner"))
_ONE = select(messages).where(*_OWN)
_NEWEST = (
    select(messages)
    .where(messages.c.user_id == bindparam("owner"), messages.c.id < bindparam("before"))
    .order_by(messages.c.id.desc())
    .limit(bindparam("page_size"))
)
_NEWEST_UNREAD = _NEWEST.where(messages.c.read_at_ms.is_(None))
_UNREAD = (
    select(func.count())
    .select_from(messages)
    .where(messages.c.user_id == bindparam("owner"), messages.c.read_at_ms.is_(None))
)
_MARK_READ = update(messages).where(*_OWN, messages.c.read_at_ms.is_(None)).values(read_at_ms=bindparam("now_ms"))


class MessageService:
    """Messages of users."""

    def __init__(self, chassis: Chassis) -> None:
        self._chassis = chassis

    async def take(self, tx: Transaction, event: Event) -> None:
        """Write the message of an event, and what has to be delivered of it; once, however often the event comes."""
        notice = notice_of(event)
        now_ms = self._chassis.clock.now_ms()
        times = {"occurred_at_ms": event.occurred_at_ms, "created_at_ms": now_ms}
        added = await tx.execute(_ADD, {"event_id": event.event_id, **asdict(notice), **times})
        if added.rowcount != 1:
            return
        message_id = (await tx.execute(_BY_EVENT, {"wanted": event.event_id})).scalar_one()
        for row in deliveries_of(message_id, now_ms, self._chassis.settings):
            await tx.execute(_ADD_DELIVERY, row)

    async def page(self, user_id: int, *, before: int | None, limit: int, unread: bool) -> MessagePage:
        """Up to `limit` messages older than `before` (an id), newest first."""
        parameters = {"owner": user_id, "before": NO_CURSOR if before is None else before, "page_size": limit + 1}
        rows = await self._chassis.database.read(_NEWEST_UNREAD if unread else _NEWEST, parameters)
        shown = [message_view(row) for row in rows[:limit]]
        return MessagePage(messages=shown, next_before=shown[-1].id if len(rows) > limit else None)

    async def unread(self, user_id: int) -> int:
        """How many messages the user has not read."""
        rows = await self._chassis.database.read(_UNREAD, {"owner": user_id})
        count: int = rows[0][0]
        return count

    async def mark_read(self, user_id: int, message_id: int) -> MessageView:
        """Mark a message as read; one that was read already keeps its time. Problem 404 if it is not the user's."""
        own = {"wanted": message_id, "owner": user_id}

        async def mark(tx: Transaction) -> Row[Any] | None:
            await tx.execute(_MARK_READ, {**own, "now_ms": self._chassis.clock.now_ms()})
            return (await tx.execute(_ONE, own)).one_or_none()

        row = await self._chassis.database.run(mark)
        if row is None:
            raise Problem(404, "message_not_found", "No such message", "there is no message of yours with this id")
        return message_view(row)
