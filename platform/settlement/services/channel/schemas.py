"""What the platform sends to and gets from the channel. Amounts are minor units, times epoch milliseconds."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from settlement.chassis.fields import AmountMinor, Currency

ChannelName = Literal["card", "wallet"]
ChargeState = Literal["authorized", "captured", "voided", "refunded", "declined", "cancelled"]
Number = Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9_:.-]+$")]


class ChargeRequest(BaseModel):
    """A card authorization or a wallet payment; `out_trade_no` is the caller's own number and makes it idempotent."""

    model_config = ConfigDict(extra="forbid")

    out_trade_no: Number
    amount_minor: AmountMinor
    currency: Currency


class RefundRequest(BaseModel):
    """Money to give back; `refund_no` is the caller's own number and makes it idempotent."""

    model_config = ConfigDict(extra="forbid")

    refund_no: Number
    amount_minor: AmountMinor


class ChargeView(BaseModel):
    """A charge as it stands. A tombstone has zero amounts and an empty currency."""

    channel: ChannelName
    out_trade_no: str
    state: ChargeState
    authorized_minor: int
    captured_minor: int
    refunded_minor: int
    currency: str
    updated_at_ms: int


class RefundView(BaseModel):
    """A refund that was made, and the charge after it."""

    refund_no: str
    amount_minor: int
    refunded_at_ms: int
    charge: ChargeView


class StatementEntry(BaseModel):
    """One line of a statement; amounts are signed, given back is negative."""

    id: int
    kind: Literal["capture", "payment", "refund"]
    channel: ChannelName
    out_trade_no: str
    refund_no: str | None
    amount_minor: int
    currency: str
    booked_at_ms: int


class Statement(BaseModel):
    """A page of one day's entries (UTC), in order of booking; `next_after` is null on the last page."""

    day: str
    entries: list[StatementEntry]
    next_after: int | None


class PeriodStatement(BaseModel):
    """A page of one channel's entries booked in [from_ms, until_ms), in order of booking."""

    channel: ChannelName
    from_ms: int
    until_ms: int
    entries: list[StatementEntry]
    next_after: int | None
