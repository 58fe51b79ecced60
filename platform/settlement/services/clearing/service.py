"""Days are closed, batches made of them, and paid out.

    day      open -> closed                       at an operator's word, or by itself after `clearing.grace_ms`
    batch    closing -> posted -> settled         one a merchant and currency of a closed day

Closing sums up and fixes every batch in one transaction. A batch is then *posted* when the payment service has booked
its payout, under the batch's id, so that asking again books nothing; and *settled* when the payment service, asked
anew, shows that payout with the same amounts. Whoever dies in between leaves a batch that the next round of any
replica takes up where it stands.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from prometheus_client import Gauge
from sqlalchemy import Row, bindparam, case, func, insert, select, update

from settlement.chassis.http_client import CallFailed, ServiceReply
from settlement.chassis.problems import Problem
from settlement.chassis.sql import insert_ignore
from settlement.ledger import fee_of
from settlement.services.clearing.model import batches, days, entries
from settlement.services.clearing.schemas import BatchState, BatchView, day_of, end_of_ms

if TYPE_CHECKING:
    from settlement.chassis.app import Chassis
    from settlement.chassis.database import Transaction

BATCHES_AT_ONCE_MAX = 100
DAYS_AT_ONCE_MAX = 31

_OPEN_DAY = insert_ignore(days)
_LOCK_DAY = select(days).where(days.c.day == bindparam("wanted")).with_for_update()
_CLOSE_DAY = (
    update(days).where(days.c.day == bindparam("wanted")).values(state="closed", closed_at_ms=bindparam("now_ms"))
)
_OPEN_DAYS = select(days.c.day).where(days.c.state == "open").order_by(days.c.day).limit(DAYS_AT_ONCE_MAX)
_SUMS = (
    select(
        entries.c.merchant_id,
        entries.c.currency,
        func.count().label("counted"),
        func.sum(case((entries.c.kind == "paid", entries.c.amount_minor), else_=0)).label("gross_minor"),
        func.sum(case((entries.c.kind == "refunded", entries.c.amount_minor), else_=0)).label("refunded_minor"),
    )
    .where(entries.c.day == bindparam("wanted"))
    .group_by(entries.c.merchant_id, entries.c.currency)
    .order_by(entries.c.merchant_id, entries.c.currency)
)
_INSERT = insert(batches)
_OF_DAY = select(batches).where(batches.c.day == bindparam("wanted")).order_by(batches.c.batch_id)
_ONE = select(batches).where(batches.c.batch_id == bindparam("wanted"))
_UNSETTLED = select(batches).where(batches.c.state != "settled").order_by(batches.c.batch_id).limit(BATCHES_AT_ONCE_MAX)
_COUNT_UNSETTLED = select(func.count()).select_from(batches).where(batches.c.state != "settled")
_POSTED = (
    update(batches)
    .where(batches.c.batch_id == bindparam("wanted"), batches.c.state == "closing")
    .values(state="posted", posted_at_ms=bindparam("now_ms"), problem="")
)
_SETTLED = (
    update(batches)
    .where(batches.c.batch_id == bindparam("wanted"), batches.c.state == "posted")
    .values(state="settled", settled_at_ms=bindparam("now_ms"), problem="")
)
_STUCK = update(batches).where(batches.c.batch_id == bindparam("wanted")).values(problem=bindparam("why"))
_TOLD = ("batch_id", "merchant_id", "day", "currency", "gross_minor", "refunded_minor", "fee_minor", "net_minor")
_BOOKED = ("batch_id", "merchant_id", "currency", "gross_minor", "refunded_minor", "fee_minor")


class ClearingService:
    """Closes days and pays batches out."""

    def __init__(self, chassis: Chassis) -> None:
        self._chassis = chassis
        self._database = chassis.database
        self._clock = chassis.clock
        self._unsettled = Gauge(
            "paylab_clearing_batches_unsettled", "Batches on their way to the ledger", registry=chassis.metrics.registry
        )
        chassis.metrics.at_exposition(self._count)

    async def close(self, day: str) -> list[BatchView]:
        """Close a day and make its batches; those it has, if it was closed before.

        Raises Problem 422 `day_not_begun` for a day in the future.
        """
        if day > day_of(self._clock.now_ms()):
            raise Problem(422, "day_not_begun", "This day has not begun", day)
        rows = await self._database.run(lambda tx: self._close(tx, day))
        self._chassis.log.info("day_closed", day=day, batches=len(rows))
        return [_view(row) for row in rows]

    async def close_due(self) -> None:
        """Close the days that ended longer ago than the grace."""
        due_ms = self._clock.now_ms() - self._chassis.settings.integer("clearing.grace_ms")
        for row in await self._database.read(_OPEN_DAYS):
            if end_of_ms(row.day) <= due_ms:
                await self.close(row.day)

    async def settle(self) -> None:
        """Take every batch that is not settled as far as it goes."""
        for row in await self._database.read(_UNSETTLED):
            try:
                await self._advance(row)
            except CallFailed as error:
                # Nobody can be asked: the rest of the round would only wait for the same silence.
                self._chassis.log.warning("payout_delayed", batch_id=row.batch_id, error=str(error))
                break

    async def find(self, batch_id: str) -> BatchView:
        """One batch. Raises Problem 404."""
        rows = await self._database.read(_ONE, {"wanted": batch_id})
        if not rows:
            raise Problem(404, "batch_not_found", "No such batch", batch_id)
        return _view(rows[0])

    async def page(self, *, day: str | None, state: BatchState | None, after: str, limit: int) -> list[BatchView]:
        """Batches with an id above `after`, in that order."""
        statement = select(batches).where(batches.c.batch_id > after)
        if day is not None:
            statement = statement.where(batches.c.day == day)
        if state is not None:
            statement = statement.where(batches.c.state == state)
        rows = await self._database.read(statement.order_by(batches.c.batch_id).limit(limit))
        return [_view(row) for row in rows]

    async def _count(self) -> None:
        self._unsettled.set((await self._database.read(_COUNT_UNSETTLED))[0][0])

    async def _close(self, tx: Transaction, day: str) -> list[Row[Any]]:
        # Locked before anything else: two that insert first would each hold what the other waits for.
        known = (await tx.execute(_LOCK_DAY, {"wanted": day})).one_or_none()
        if known is None:
            await tx.execute(_OPEN_DAY, {"day": day, "state": "open", "closed_at_ms": None})
            known = (await tx.execute(_LOCK_DAY, {"wanted": day})).one()
        if known.state == "open":
            now_ms = self._clock.now_ms()
            await tx.execute(_CLOSE_DAY, {"wanted": day, "now_ms": now_ms})
            for sums in (await tx.execute(_SUMS, {"wanted": day})).all():
                await tx.execute(_INSERT, self._batch(day, sums, now_ms))
        return list((await tx.execute(_OF_DAY, {"wanted": day})).all())

    def _batch(self, day: str, sums: Row[Any], now_ms: int) -> dict[str, object]:
        basis_points = self._chassis.settings.integer("clearing.fee_basis_points")
        gross_minor, refunded_minor = int(sums.gross_minor), int(sums.refunded_minor)
        fee_minor = fee_of(gross_minor, basis_points)
        return {
            "batch_id": f"{day}.{sums.currency}.{sums.merchant_id}",
            "merchant_id": sums.merchant_id,
            "day": day,
            "currency": sums.currency,
            "entries": sums.counted,
            "gross_minor": gross_minor,
            "refunded_minor": refunded_minor,
            "fee_basis_points": basis_points,
            "fee_minor": fee_minor,
            "net_minor": gross_minor - refunded_minor - fee_minor,
            "state": "closing",
            "problem": "",
            "closed_at_ms": now_ms,
        }

    async def _advance(self, row: Row[Any]) -> None:
        wanted = {name: row._mapping[name] for name in _BOOKED}
        if row.state == "closing":
            reply = await self._chassis.client.call(
                "payment", "POST", "/internal/payouts", json=wanted, idempotent=True
            )
            if reply.status not in (200, 201):
                await self._stuck(row, reply)
                return
            await self._database.run(lambda tx: self._move(tx, row, settled=False))
        reply = await self._chassis.client.call("payment", "GET", f"/internal/payouts/{row.batch_id}", idempotent=True)
        if not reply.ok or {name: reply.json.get(name) for name in _BOOKED} != wanted:
            await self._stuck(row, reply)
            return
        await self._database.run(lambda tx: self._move(tx, row, settled=True))

    async def _move(self, tx: Transaction, row: Row[Any], *, settled: bool) -> None:
        key = {"wanted": row.batch_id, "now_ms": self._clock.now_ms()}
        moved = (await tx.execute(_SETTLED if settled else _POSTED, key)).rowcount
        if settled and moved:  # another replica may have been first, and has told of it
            data = {name: row._mapping[name] for name in _TOLD}
            await self._chassis.outbox.add(tx, type="clearing.settled", subject=row.batch_id, data=data)

    async def _stuck(self, row: Row[Any], reply: ServiceReply) -> None:
        """Note why a batch does not get on; it is tried again, and an operator sees the reason."""
        code = reply.json.get("code", "") if isinstance(reply.json, dict) else ""
        why = f"payment answered {reply.status} {code}"[:200]
        if row.problem != why:
            self._chassis.log.error("payout_refused", batch_id=row.batch_id, problem=why)
            await self._database.write(_STUCK, {"wanted": row.batch_id, "why": why})


def _view(row: Row[Any]) -> BatchView:
    return BatchView.model_validate(dict(row._mapping))
