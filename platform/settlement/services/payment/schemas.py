"""What others see of accounts, payouts and movements. Amounts are minor units, times epoch milliseconds."""

from __future__ import annotations

from pydantic import BaseModel

from settlement.ledger.postings import Layer


class AccountView(BaseModel):
    """A customer's balances; available is what was posted less what is held."""

    account: str
    currency: str
    available_minor: int
    held_minor: int
    posted_minor: int


class LayerSum(BaseModel):
    """What one currency sums to in one layer: zero, if the books are right."""

    currency: str
    layer: Layer
    total_minor: int


class AccountSum(LayerSum):
    """What one account sums to in one layer."""

    account: str


class TrialBalance(BaseModel):
    """The sums of the ledger by currency and layer, and by account."""

    balanced: bool
    sums: list[LayerSum]
    accounts: list[AccountSum]


class PayoutView(BaseModel):
    """A payout that was booked."""

    batch_id: str
    merchant_id: str
    currency: str
    gross_minor: int
    refunded_minor: int
    fee_minor: int
    booked_at_ms: int


class Movement(BaseModel):
    """A payment or refund that went through a channel; `state` says where the money is."""

    gid: str
    kind: str
    out_trade_no: str
    refund_no: str | None
    amount_minor: int
    currency: str
    state: str
    created_at_ms: int


class MovementCursor(BaseModel):
    """Where the next page begins."""

    after_ms: int
    after: str


class MovementPage(BaseModel):
    """A page of movements, in the order they began; `next` is null on the last."""

    movements: list[Movement]
    next: MovementCursor | None
