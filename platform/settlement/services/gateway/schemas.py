"""What clients send to the gateway. Amounts are minor units."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import Header, Path
from pydantic import BaseModel, ConfigDict, Field

AmountMinor = Annotated[int, Field(strict=True, ge=1, le=10**12)]
Currency = Annotated[str, Field(pattern=r"^[A-Z]{3}$")]
Method = Literal["card", "wallet", "balance"]
# Printable ASCII without spaces: what a URL consists of.
Url = Annotated[str, Field(max_length=200, pattern=r"^https?://[!-~]+$")]
IdempotencyKey = Annotated[str | None, Header(min_length=1, max_length=255, pattern=r"^[!-~]+$")]
Gid = Annotated[str, Path(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9_-]+$")]


class PaymentRequest(BaseModel):
    """POST /payments."""

    model_config = ConfigDict(extra="forbid")

    order_no: Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[!-~]+$")]
    amount_minor: AmountMinor
    currency: Currency
    method: Method
    notify_url: Url | None = None
    return_url: Url | None = None


class RefundRequest(BaseModel):
    """POST /payments/{gid}/refunds. The whole amount, or nothing: partial refunds are not taken yet."""

    model_config = ConfigDict(extra="forbid")

    amount_minor: AmountMinor
    reason: Annotated[str, Field(max_length=200)] | None = None
    notify_url: Url | None = None
