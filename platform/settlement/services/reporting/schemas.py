"""What reporting takes from events and operators, and shows of its reports. Amounts are minor units, days are UTC."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

Kind = Literal["transactions", "summary", "clearing"]
Format = Literal["csv", "json"]
KINDS: tuple[Kind, ...] = ("transactions", "summary", "clearing")
FORMATS: tuple[Format, ...] = ("csv", "json")
MEDIA_TYPES: dict[Format, str] = {"csv": "text/csv; charset=utf-8", "json": "application/json"}


def _real_day(text: str) -> str:
    date.fromisoformat(text)
    return text


Day = Annotated[str, Field(pattern=r"^\d{4}-\d{2}-\d{2}$"), AfterValidator(_real_day)]
Moment = Annotated[int, Field(ge=0, lt=2**47)]
Text64 = Annotated[str, Field(max_length=64)]
Minor = Annotated[int, Field(ge=-(2**62), le=2**62)]


class Decided(BaseModel):
    """What reporting needs of `payment.*` and `refund.*`."""

    gid: Text64
    payment_gid: Text64 | None = None
    order_no: Text64
    user_id: int
    amount_minor: Minor
    currency: Annotated[str, Field(max_length=3)]
    method: Annotated[str, Field(max_length=16)]
    reason: Text64 | None = None
    decided_at_ms: Moment


class BatchSettled(BaseModel):
    """What reporting needs of `clearing.settled`."""

    batch_id: Text64
    merchant_id: Annotated[str, BeforeValidator(str), Field(max_length=32)]
    day: Day
    currency: Annotated[str, Field(max_length=3)]
    gross_minor: Minor
    refunded_minor: Minor
    fee_minor: Minor
    net_minor: Minor


class ReportRequest(BaseModel):
    """POST /reports."""

    model_config = ConfigDict(extra="forbid")

    day: Day
    kind: Kind


class FileView(BaseModel):
    """A stored form of a report."""

    format: Format
    sha256: str
    size_bytes: int


class ReportView(BaseModel):
    """A report; `pending` until both its files are stored, and `problem` says what kept the last attempt from it."""

    report_id: int
    day: str
    kind: Kind
    state: Literal["pending", "ready"]
    rows: int
    attempts: int
    problem: str
    asked_at_ms: int
    stored_at_ms: int | None
    files: list[FileView]


class ReportPage(BaseModel):
    """A page of reports, newest first; `next_before` is the cursor of the next page, null on the last."""

    reports: list[ReportView]
    next_before: int | None
