"""What clients send to the gateway. Amounts are minor units."""

from __future__ import annotations

from typing import Annotated

from fastapi import Path
from pydantic import BaseModel, ConfigDict, Field

from settlement.chassis.fields import AmountMinor, Currency, PayMethod, Url

Gid = Annotated[str, Path(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9_-]+$")]


class PaymentRequest(BaseModel):
    """POST /payments."""

    model_config = ConfigDict(extra="forbid")

    order_no: Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[!-~]+$")]
    amount_minor: AmountMinor
    currency: Currency
    method: PayMethod
    notify_url: Url | None = None
    return_url: Url | None = None


class RefundRequest(BaseModel):
    """POST /payments/{gid}/refunds. The whole amount, or nothing: partial refunds are not taken yet."""

    model_config = ConfigDict(extra="forbid")

    amount_minor: AmountMinor
    reason: Annotated[str, Field(max_length=200)] | None = None
    notify_url: Url | None = None


class OperatorOrder(BaseModel):
    """What an operator orders about a transaction in doubt: who, and why. Both stay on record."""

    model_config = ConfigDict(extra="forbid")

    operator: Annotated[str, Field(min_length=1, max_length=64)]
    reason: Annotated[str, Field(min_length=1, max_length=200)]


class HeuristicOrder(OperatorOrder):
    """A heuristic decision. `against_decision` insists on one that contradicts the protocol's."""

    against_decision: Annotated[bool, Field(strict=True)] = False
