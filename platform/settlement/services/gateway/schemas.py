"""What clients and operators send to and get from the gateway. Amounts are minor units, times epoch ms."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import Path
from pydantic import BaseModel, ConfigDict, Field

from settlement.chassis.fields import AmountMinor, Currency, PayMethod, Url
from settlement.protocol.records import CoordinatorPhase, Decision

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


class _TransactionView(BaseModel):
    gid: str
    status: Literal["processing", "succeeded", "failed"]
    order_no: str
    amount_minor: int
    currency: str
    method: PayMethod
    reason: str = Field(default="", description="Why it failed; only there if it did")
    return_url: str = Field(default="", description="Where the payer is to be sent; only there if it was given")


class PaymentView(_TransactionView):
    """A payment as its owner sees it."""


class RefundView(_TransactionView):
    """A refund as its owner sees it, and the payment that it gives back."""

    payment_gid: str


class Outcome(BaseModel):
    """What became of a transaction; one that nobody knows is aborted."""

    outcome: Literal["commit", "abort", "undecided"]


class TransactionView(BaseModel):
    """A transaction with everything that the coordinator knows of it."""

    gid: str
    kind: Literal["payment", "refund"]
    idempotency_key: str
    user_id: int
    order_no: str
    payment_gid: str | None
    amount_minor: int
    currency: str
    method: PayMethod
    out_trade_no: str
    refund_no: str | None
    note: str | None
    notify_url: str | None
    return_url: str | None
    risk: str
    state: CoordinatorPhase
    decision: Decision | None
    reason: str
    epoch: int
    owner: str
    lease_until_ms: int
    attempts: int
    heuristic: bool
    overruled: Decision | None
    begun_at_ms: int
    decided_at_ms: int | None
    closed_at_ms: int | None


class PartyView(BaseModel):
    """Where a participant stands, or why that is not known; `in_doubt_ms` is null if it is not in doubt."""

    name: str
    standing: str
    vote: str | None
    why: str
    voted_at_ms: int | None
    applied_at_ms: int | None
    in_doubt_ms: int | None
    inquiries: int


class CaseView(TransactionView):
    """A transaction as operators look at it, with advice."""

    age_ms: int
    lease_left_ms: int
    participants: list[PartyView]
    advice: str


class CaseList(BaseModel):
    """Transactions, oldest first."""

    transactions: list[CaseView]


class InterventionView(BaseModel):
    """What an operator did, why, and what there was before."""

    id: int
    gid: str
    action: str
    operator: str
    reason: str
    state_before: CoordinatorPhase
    decision_before: Decision | None
    intervened_at_ms: int


class WholeCase(CaseView):
    """A transaction with everything that operators did to it, latest first."""

    interventions: list[InterventionView]


class Intervened(BaseModel):
    """Where a transaction stands after an operator intervened."""

    gid: str
    state: CoordinatorPhase
    decision: Decision | None
    overruled: Decision | None
    heuristic: bool
