"""Errors planted into statements, to see whether reconciliation finds them. The channel's ledger stays as it is.

mismatch      a line shows another amount (or currency)
missing       a line is not shown
extra         a line is shown for a trade number that nobody knows
duplicate     a line is shown a second time
conflicting   a line shows that money was taken for a charge that was voided
"""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict
from sqlalchemy import Row, bindparam, delete, insert, select

from settlement.chassis.fields import AmountMinor, Currency
from settlement.chassis.problems import Problem
from settlement.services.channel.model import charges, entries, planted_lines
from settlement.services.channel.schemas import ChannelName, Number

if TYPE_CHECKING:
    from settlement.chassis.clock import Clock
    from settlement.chassis.database import Database, Transaction

_LINES = (
    select(entries)
    .where(entries.c.channel == bindparam("of_channel"), entries.c.out_trade_no == bindparam("number"))
    .order_by(entries.c.id)
)
_CHARGE = select(charges).where(
    charges.c.channel == bindparam("of_channel"), charges.c.out_trade_no == bindparam("number")
)
_INSERT = insert(planted_lines)
_COPIED = ("kind", "channel", "out_trade_no", "refund_no", "amount_minor", "currency", "booked_at_ms")


class Plant(BaseModel):
    """POST /operator/statements/plant. `refund_no` picks a refund's line instead of the charge's."""

    model_config = ConfigDict(extra="forbid")

    kind: Literal["mismatch", "missing", "extra", "duplicate", "conflicting"]
    channel: ChannelName
    out_trade_no: Number | None = None
    refund_no: Number | None = None
    amount_minor: AmountMinor = 1
    currency: Currency | None = None


class Planted(BaseModel):
    """What was planted: the line that is hidden, or not, and the line that is shown, null all through if none is."""

    hides_entry_id: int | None
    kind: str | None
    channel: ChannelName | None
    out_trade_no: str | None
    refund_no: str | None
    amount_minor: int | None
    currency: str | None
    booked_at_ms: int | None


class Planting:
    """Plants errors into the statements of this channel."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def plant(self, asked: Plant) -> dict[str, Any]:
        """Plant one error; returns what it hides and shows.

        Raises Problem 404 `line_not_found | charge_not_found`, 422 `out_trade_no_required`.
        """

        async def body(tx: Transaction) -> dict[str, Any]:
            row = await self._row(tx, asked)
            await tx.execute(_INSERT, row)
            return row

        return await self._database.run(body)

    async def remove_all(self) -> None:
        """Let statements tell the truth again."""
        await self._database.write(delete(planted_lines))

    async def _row(self, tx: Transaction, asked: Plant) -> dict[str, Any]:
        if asked.kind == "extra":
            number = asked.out_trade_no or f"planted-{uuid.uuid4().hex}"
            return self._invented(asked, number, asked.currency or "CNY", asked.amount_minor)
        if asked.out_trade_no is None:
            raise Problem(422, "out_trade_no_required", "Which line?", "out_trade_no is required for this kind")
        if asked.kind == "conflicting":
            charge = (await tx.execute(_CHARGE, _key(asked))).one_or_none()
            if charge is None:
                raise Problem(404, "charge_not_found", "No such charge", asked.out_trade_no)
            currency = asked.currency or charge.currency or "CNY"
            return self._invented(asked, asked.out_trade_no, currency, charge.asked_minor or asked.amount_minor)
        line = await _line(tx, asked)
        shown = {name: line._mapping[name] for name in _COPIED}
        if asked.kind == "duplicate":
            return {"hides_entry_id": None, **shown}
        if asked.kind == "missing":
            return {"hides_entry_id": line.id, **dict.fromkeys(_COPIED)}
        shown["currency"] = asked.currency or shown["currency"]
        if asked.currency is None:
            shown["amount_minor"] += asked.amount_minor if shown["amount_minor"] > 0 else -asked.amount_minor
        return {"hides_entry_id": line.id, **shown}

    def _invented(self, asked: Plant, number: str, currency: str, amount_minor: int) -> dict[str, Any]:
        kind = "capture" if asked.channel == "card" else "payment"
        shown = {"kind": kind, "channel": asked.channel, "out_trade_no": number, "refund_no": None}
        booked = {"amount_minor": amount_minor, "currency": currency, "booked_at_ms": self._clock.now_ms()}
        return {"hides_entry_id": None, **shown, **booked}


async def _line(tx: Transaction, asked: Plant) -> Row[Any]:
    """The charge's line, or that of the refund asked for."""
    for line in (await tx.execute(_LINES, _key(asked))).all():
        if line.refund_no == asked.refund_no:
            return line
    raise Problem(404, "line_not_found", "Nothing was booked under this number", asked.out_trade_no or "")


def _key(asked: Plant) -> dict[str, Any]:
    return {"of_channel": asked.channel, "number": asked.out_trade_no}
