"""What clearing takes from events and operators, and shows of its batches. Amounts are minor units, days are UTC."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from settlement.chassis.fields import AmountMinor, Currency

DAY_MS = 86_400_000

BatchState = Literal["closing", "posted", "settled"]


def _real_day(text: str) -> str:
    date.fromisoformat(text)
    return text


# Merchants are numbered in the catalogue; here a merchant's id is a name.
MerchantId = Annotated[
    str,
    BeforeValidator(lambda value: str(value) if type(value) is int else value),
    Field(min_length=1, max_length=32, pattern=r"^[A-Za-z0-9_-]+$"),
]
Day = Annotated[str, Field(pattern=r"^\d{4}-\d{2}-\d{2}$"), AfterValidator(_real_day)]


def day_of(at_ms: int) -> str:
    """The day (UTC) of a moment of the epoch."""
    return datetime.fromtimestamp(at_ms / 1_000, UTC).date().isoformat()


def end_of_ms(day: str) -> int:
    """The first moment after a day, in epoch milliseconds."""
    start = datetime.fromisoformat(day).replace(tzinfo=UTC)
    return int(start.timestamp() * 1_000) + DAY_MS


class Share(BaseModel):
    """What one merchant has of an order."""

    merchant_id: MerchantId
    amount_minor: AmountMinor


class OrderSettled(BaseModel):
    """What clearing needs of `order.paid` and `order.refunded`."""

    order_no: Annotated[str, Field(max_length=64)]
    gid: Annotated[str, Field(max_length=64)]
    currency: Currency
    at_ms: Annotated[int, Field(ge=0, lt=2**47)]
    merchants: list[Share]


class CloseRequest(BaseModel):
    """POST /batches/close."""

    model_config = ConfigDict(extra="forbid")

    day: Day


class BatchView(BaseModel):
    """A merchant's day in one currency; net is gross less refunds less fee, and negative if refunds exceed payments."""

    batch_id: str
    merchant_id: str
    day: str
    currency: str
    entries: int
    gross_minor: int
    refunded_minor: int
    fee_basis_points: int
    fee_minor: int
    net_minor: int
    state: BatchState
    problem: str
    closed_at_ms: int
    posted_at_ms: int | None
    settled_at_ms: int | None


class Closed(BaseModel):
    """A day that was closed, and its batches."""

    day: str
    batches: list[BatchView]


class BatchPage(BaseModel):
    """A page of batches; `next_after` is the cursor of the next page, null on the last."""

    batches: list[BatchView]
    next_after: str | None
