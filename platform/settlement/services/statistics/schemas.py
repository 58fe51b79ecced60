"""What the statistics service reads of events, and the figures it shows. Amounts are minor units, times epoch ms."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, Field

from settlement.chassis.fields import Currency, PayMethod

Group = Literal["minute", "merchant", "status", "method"]
Time = Annotated[int, Field(ge=0, lt=2**53)]


class MerchantShare(BaseModel):
    """What one merchant has of an order."""

    merchant_id: int
    amount_minor: int


class OrderEvent(BaseModel):
    """What is counted of an `order.*` event."""

    amount_minor: int
    currency: Currency
    method: PayMethod
    at_ms: Time
    merchants: list[MerchantShare]


class DecidedEvent(BaseModel):
    """What is counted of a `payment.*` or `refund.*` event."""

    amount_minor: int
    currency: Currency
    method: PayMethod
    decided_at_ms: Time


class Figure(BaseModel):
    """One line of a statistic; of the four groups, the one asked for is set."""

    minute_ms: int | None = None
    merchant_id: int | None = None
    method: str | None = None
    kind: str | None = None
    status: str
    currency: str
    count: int
    amount_minor: int


class Figures(BaseModel):
    """The events of whole minutes from `from_ms` (inclusive) to `to_ms` (exclusive)."""

    from_ms: int
    to_ms: int
    group: Group
    rows: list[Figure]


class CurrencySummary(BaseModel):
    """Everything that happened in one currency; `success_share` is null while no payment was decided."""

    currency: str
    orders_created: int = 0
    orders_paid: int = 0
    orders_cancelled: int = 0
    orders_refunded: int = 0
    payments_succeeded: int = 0
    payments_failed: int = 0
    refunds_succeeded: int = 0
    refunds_failed: int = 0
    ordered_minor: int = 0
    paid_minor: int = 0
    refunded_minor: int = 0
    net_minor: int = 0
    success_share: float | None = None


class Summary(BaseModel):
    """The events of whole minutes from `from_ms` (inclusive) to `to_ms` (exclusive), by currency."""

    from_ms: int
    to_ms: int
    currencies: list[CurrencySummary]
