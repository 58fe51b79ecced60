"""Entries: what an order's payment or refund means to each of its merchants, on the day that it is cleared with."""

from __future__ import annotations

from collections import defaultdict
from datetime import date, timedelta
from typing import TYPE_CHECKING

from sqlalchemy import bindparam, select

from settlement.chassis.sql import insert_ignore
from settlement.services.clearing.model import days, entries
from settlement.services.clearing.schemas import OrderSettled, day_of

if TYPE_CHECKING:
    from settlement.chassis.database import Transaction

_OPEN_DAY = insert_ignore(days)
_DAY = select(days.c.state).where(days.c.day == bindparam("wanted")).with_for_update(read=True)
_ADD = insert_ignore(entries)


async def enter(tx: Transaction, kind: str, settled: OrderSettled) -> None:
    """Record a payment (`paid`) or refund (`refunded`) for every merchant of its order, once a transaction."""
    day = await _open_day(tx, day_of(settled.at_ms))
    shares: defaultdict[str, int] = defaultdict(int)
    for share in settled.merchants:
        shares[share.merchant_id] += share.amount_minor
    for merchant_id, amount_minor in shares.items():
        row = {
            "gid": settled.gid,
            "merchant_id": merchant_id,
            "kind": kind,
            "order_no": settled.order_no,
            "currency": settled.currency,
            "amount_minor": amount_minor,
            "at_ms": settled.at_ms,
            "day": day,
        }
        await tx.execute(_ADD, row)


async def _open_day(tx: Transaction, day: str) -> str:
    """The day, or the first one after it that is not closed; what is returned stays open until the transaction ends."""
    while True:
        state = (await tx.execute(_DAY, {"wanted": day})).scalar_one_or_none()
        if state is None:
            await tx.execute(_OPEN_DAY, {"day": day, "state": "open", "closed_at_ms": None})
        elif state == "open":
            return day
        else:
            day = (date.fromisoformat(day) + timedelta(days=1)).isoformat()
