"""Payouts: what clearing says a merchant is owed for a day, moved in the ledger, once a batch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, model_validator
from sqlalchemy import bindparam, select

from settlement.chassis.fields import Currency
from settlement.chassis.problems import Problem
from settlement.chassis.sql import insert_ignore
from settlement.ledger import payout
from settlement.ledger.payout import TURNOVER_MAX
from settlement.services.payment.model import payouts

if TYPE_CHECKING:
    from settlement.chassis.clock import Clock
    from settlement.chassis.database import Database, Transaction
    from settlement.services.payment.books import Books

_INSERT = insert_ignore(payouts)
_ONE = select(payouts).where(payouts.c.batch_id == bindparam("wanted"))

TurnoverMinor = Annotated[int, Field(strict=True, ge=0, le=TURNOVER_MAX)]


class PayoutRequest(BaseModel):
    """POST /internal/payouts. Amounts are minor units; the batch's id makes it idempotent."""

    model_config = ConfigDict(extra="forbid")

    batch_id: Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9_.-]+$")]
    merchant_id: Annotated[str, Field(min_length=1, max_length=32, pattern=r"^[A-Za-z0-9_-]+$")]
    currency: Currency
    gross_minor: TurnoverMinor
    refunded_minor: TurnoverMinor
    fee_minor: TurnoverMinor

    @model_validator(mode="after")
    def _fee_is_a_part(self) -> PayoutRequest:
        if self.fee_minor > self.gross_minor:
            raise ValueError("fee_minor must not exceed gross_minor")
        return self


class Payouts:
    """The payouts of cleared batches."""

    def __init__(self, database: Database, books: Books, clock: Clock) -> None:
        self._database = database
        self._books = books
        self._clock = clock

    async def book(self, asked: PayoutRequest) -> tuple[dict[str, Any], bool]:
        """Move the money of a batch; returns the payout, and whether it was booked only now.

        Raises Problem 409 `payout_conflict` if the batch was paid out with other amounts.
        """
        return await self._database.run(lambda tx: self._book(tx, asked))

    async def find(self, batch_id: str) -> dict[str, Any]:
        """A payout that was booked. Raises Problem 404."""
        rows = await self._database.read(_ONE, {"wanted": batch_id})
        if not rows:
            raise Problem(404, "payout_not_found", "No such payout", batch_id)
        # Who is told that it was booked relies on it.
        await self._database.durable()
        return dict(rows[0]._mapping)

    async def _book(self, tx: Transaction, asked: PayoutRequest) -> tuple[dict[str, Any], bool]:
        row = asked.model_dump()
        # The row decides between two that ask at once; the postings follow in its transaction.
        is_new = bool((await tx.execute(_INSERT, {**row, "booked_at_ms": self._clock.now_ms()})).rowcount)
        booked = dict((await tx.execute(_ONE, {"wanted": asked.batch_id})).one()._mapping)
        if {name: booked[name] for name in row} != row:
            raise Problem(409, "payout_conflict", "Same batch, other amounts", asked.batch_id)
        if is_new:
            amounts = asked.model_dump(include={"gross_minor", "refunded_minor", "fee_minor"})
            await self._books.post(tx, asked.batch_id, payout(asked.merchant_id, asked.currency, **amounts))
        return booked, is_new
