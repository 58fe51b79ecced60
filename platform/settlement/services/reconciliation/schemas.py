"""What operators send to and see of reconciliation. Amounts are signed minor units, times epoch milliseconds."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from settlement.chassis.fields import Currency

ChannelName = Literal["card", "wallet"]
CHANNELS: tuple[ChannelName, ...] = ("card", "wallet")
PERIOD_MS_MAX = 32 * 86_400_000
UPLOADED_AT_ONCE_MAX = 1_000

Moment = Annotated[int, Field(strict=True, ge=0, lt=2**47)]
Number = Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9_:.-]+$")]
DifferenceKind = Literal["mismatch", "missing", "duplicate", "conflicting"]
DifferenceState = Literal["open", "resolved"]


class PeriodIn(BaseModel):
    """A channel and a period [from_ms, until_ms) of at most 32 days."""

    model_config = ConfigDict(extra="forbid")

    channel: ChannelName
    from_ms: Moment
    until_ms: Moment

    @model_validator(mode="after")
    def _in_order(self) -> PeriodIn:
        if not 0 < self.until_ms - self.from_ms <= PERIOD_MS_MAX:
            raise ValueError(f"until_ms must exceed from_ms, by at most {PERIOD_MS_MAX}")
        return self


class LineIn(BaseModel):
    """One line of a statement; `id` is the channel's own number of it. What is given back is negative."""

    model_config = ConfigDict(extra="forbid")

    id: Annotated[int, Field(strict=True, ge=1, le=2**53 - 1)]
    kind: Literal["capture", "payment", "refund"]
    out_trade_no: Number
    refund_no: Number | None = None
    amount_minor: Annotated[int, Field(strict=True, ge=-(10**12), le=10**12)]
    currency: Currency
    booked_at_ms: Moment

    @model_validator(mode="after")
    def _refund_has_a_number(self) -> LineIn:
        if (self.kind == "refund") != (self.refund_no is not None):
            raise ValueError("a refund, and nothing else, has a refund_no")
        return self


class Lines(BaseModel):
    """POST /statements/{id}/entries: more lines of an uploaded statement."""

    model_config = ConfigDict(extra="forbid")

    entries: Annotated[list[LineIn], Field(max_length=UPLOADED_AT_ONCE_MAX)]


class StatementIn(PeriodIn):
    """POST /statements: an uploaded statement, with its first lines."""

    entries: Annotated[list[LineIn], Field(max_length=UPLOADED_AT_ONCE_MAX)] = []


class RunIn(BaseModel):
    """POST /runs: reconcile a statement that was uploaded."""

    model_config = ConfigDict(extra="forbid")

    statement_id: Annotated[int, Field(strict=True, ge=1, le=2**53)]


class Resolution(BaseModel):
    """POST /differences/{id}/resolve: what an operator found out."""

    model_config = ConfigDict(extra="forbid")

    note: Annotated[str, Field(min_length=1, max_length=500)]


class RunView(BaseModel):
    """A run, and what became of the items of its period."""

    run_id: int
    channel: str
    from_ms: int
    until_ms: int
    grace_ms: int
    statement_id: int | None
    state: Literal["running", "finished", "failed"]
    lines: int
    matched: int
    pending: int
    found: int
    new: int
    problem: str
    started_at_ms: int
    ended_at_ms: int | None


class DifferenceView(BaseModel):
    """A difference. `side` says who has a missing item *not*; `aspect` what of a mismatch differs."""

    difference_id: int
    channel: str
    kind: DifferenceKind
    side: Literal["", "ours", "theirs"]
    aspect: Literal["", "amount", "currency", "state"]
    out_trade_no: str
    refund_no: str | None
    ours_minor: int | None
    theirs_minor: int | None
    currency: str
    ours_state: str
    at_ms: int
    statement_id: int
    run_id: int
    state: DifferenceState
    note: str
    resolved_by: str
    found_at_ms: int
    resolved_at_ms: int | None


class StatementView(BaseModel):
    """A statement that was uploaded or pulled; it has everything booked before `covers_until_ms`."""

    statement_id: int
    channel: ChannelName
    source: Literal["uploaded", "pulled"]
    from_ms: int
    until_ms: int
    covers_until_ms: int
    imported_at_ms: int
    lines: int


class RunPage(BaseModel):
    """A page of runs, newest first; `next_before` is the cursor of the next page, null on the last."""

    runs: list[RunView]
    next_before: int | None


class DifferencePage(BaseModel):
    """A page of differences, oldest first; `next_after` is the cursor of the next page, null on the last."""

    differences: list[DifferenceView]
    next_after: int | None
