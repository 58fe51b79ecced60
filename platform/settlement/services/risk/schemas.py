"""Rules as operators write them, and the question that the gateway asks. Amounts are minor units."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, RootModel

from settlement.chassis.fields import AmountMinor, Currency, PayMethod

WINDOW_S_MAX = 30 * 86_400
LISTED_MAX = 1_000

RuleName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,63}$")]
UserId = Annotated[int, Field(strict=True, ge=1, le=2**63 - 1)]
OrderPrefix = Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[!-~]+$")]
WindowS = Annotated[int, Field(strict=True, ge=1, le=WINDOW_S_MAX)]
Refusal = Literal["review", "deny"]
Verdict = Literal["allow", "review", "deny"]


class _Rule(BaseModel):
    """What every rule has: its verdict when it fires, and whether it is in force."""

    model_config = ConfigDict(extra="forbid")

    verdict: Refusal = "deny"
    enabled: bool = True


class AmountLimit(_Rule):
    """Fires for a payment above an amount in one currency."""

    kind: Literal["amount_limit"]
    currency: Currency
    amount_minor_max: AmountMinor


class VelocityCount(_Rule):
    """Fires for the payment that would be one too many of its user within the last `window_s`."""

    kind: Literal["velocity_count"]
    count_max: Annotated[int, Field(strict=True, ge=0, le=10**9)]
    window_s: WindowS


class VelocitySum(_Rule):
    """Fires for the payment that would take its user above a sum in one currency within the last `window_s`."""

    kind: Literal["velocity_sum"]
    currency: Currency
    sum_minor_max: AmountMinor
    window_s: WindowS


class BlockedUsers(_Rule):
    """Fires for every payment of these users."""

    kind: Literal["blocked_users"]
    user_ids: Annotated[frozenset[UserId], Field(min_length=1, max_length=LISTED_MAX)]


class BlockedOrders(_Rule):
    """Fires for every order whose number begins so."""

    kind: Literal["blocked_orders"]
    prefixes: Annotated[list[OrderPrefix], Field(min_length=1, max_length=LISTED_MAX)]


Rule = Annotated[AmountLimit | VelocityCount | VelocitySum | BlockedUsers | BlockedOrders, Field(discriminator="kind")]


class RuleDocument(RootModel[Rule]):
    """A rule on its own, as it is stored."""


class NewRule(BaseModel):
    """POST /rules."""

    model_config = ConfigDict(extra="forbid")

    name: RuleName
    rule: Rule


class RuleChange(BaseModel):
    """PUT /rules/{name}: the new rule, and the version that it was made from."""

    model_config = ConfigDict(extra="forbid")

    version: Annotated[int, Field(strict=True, ge=1, le=2**31 - 1)]
    rule: Rule


class RuleView(BaseModel):
    """A rule in force, or one that was."""

    name: str
    version: int
    rule: Rule
    changed_at_ms: int
    change: Literal["created", "changed", "deleted"] | None = None


class RuleList(BaseModel):
    """The rules in force, those that are not enabled too."""

    rules: list[RuleView]


class RuleHistory(BaseModel):
    """Every version of one rule."""

    versions: list[RuleView]


class AssessmentRequest(BaseModel):
    """POST /assessments. `payment_key` is the caller's own name of the payment, and makes the call idempotent."""

    model_config = ConfigDict(extra="forbid")

    payment_key: Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9_-]+$")]
    user_id: UserId
    order_no: Annotated[str, Field(min_length=1, max_length=64)]
    amount_minor: AmountMinor
    currency: Currency
    method: PayMethod


class Fired(BaseModel):
    """A rule that spoke against a payment, in the version that was in force, and why."""

    name: str
    version: int
    kind: str
    verdict: Refusal
    reason: str


class Assessment(BaseModel):
    """A verdict and what it rests on; `rules` is empty when the payment is allowed."""

    assessment_id: int
    payment_key: str
    user_id: int
    order_no: str
    amount_minor: int
    currency: str
    method: str
    verdict: Verdict
    rules: list[Fired]
    assessed_at_ms: int


class AssessmentPage(BaseModel):
    """A page of assessments, newest first; `next_before` is the cursor of the next page, null on the last."""

    assessments: list[Assessment]
    next_before: int | None
