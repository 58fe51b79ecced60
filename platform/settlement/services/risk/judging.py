"""What the rules say of a payment: pure, from the rules, the question and what the user was allowed before."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from settlement.services.risk.schemas import (
    AmountLimit,
    AssessmentRequest,
    BlockedOrders,
    BlockedUsers,
    Fired,
    Rule,
    VelocityCount,
    VelocitySum,
    Verdict,
)


@dataclass(frozen=True, slots=True)
class RuleInForce:
    """A rule and the name and version it is known by."""

    name: str
    version: int
    rule: Rule


@dataclass(frozen=True, slots=True)
class Usage:
    """What a user was allowed within a window: how many payments, and their sum by currency in minor units."""

    count: int
    sums_minor: Mapping[str, int]


def windows_s(rules: Iterable[RuleInForce]) -> list[int]:
    """The windows that these rules look back over, in seconds, without repetition."""
    counting = {r.rule.window_s for r in rules if isinstance(r.rule, VelocityCount | VelocitySum)}
    return sorted(counting)


def judge(
    rules: Iterable[RuleInForce], asked: AssessmentRequest, usage_by_window_s: Mapping[int, Usage]
) -> tuple[Verdict, list[Fired]]:
    """The severest verdict of all rules that fire, and every rule that does."""
    fired = []
    for known in rules:
        reason = _reason(known.rule, asked, usage_by_window_s)
        if reason:
            kind, verdict = known.rule.kind, known.rule.verdict
            fired.append(Fired(name=known.name, version=known.version, kind=kind, verdict=verdict, reason=reason))
    if not fired:
        return "allow", []
    return "deny" if any(rule.verdict == "deny" for rule in fired) else "review", fired


def _reason(rule: Rule, asked: AssessmentRequest, usage_by_window_s: Mapping[int, Usage]) -> str:
    """Why the rule fires; empty if it does not."""
    if isinstance(rule, AmountLimit):
        above = asked.currency == rule.currency and asked.amount_minor > rule.amount_minor_max
        return f"{asked.amount_minor} is above {rule.amount_minor_max} {rule.currency} minor units" if above else ""
    if isinstance(rule, BlockedUsers):
        return f"user {asked.user_id} is blocked" if asked.user_id in rule.user_ids else ""
    if isinstance(rule, BlockedOrders):
        prefix = next((prefix for prefix in rule.prefixes if asked.order_no.startswith(prefix)), None)
        return "" if prefix is None else f"order numbers that begin with {prefix} are blocked"
    usage = usage_by_window_s[rule.window_s]
    if isinstance(rule, VelocityCount):
        count = usage.count + 1
        return f"payment {count} in {rule.window_s} s, {rule.count_max} allowed" if count > rule.count_max else ""
    return _sum_reason(rule, asked, usage)


def _sum_reason(rule: VelocitySum, asked: AssessmentRequest, usage: Usage) -> str:
    if asked.currency != rule.currency:
        return ""
    sum_minor = usage.sums_minor.get(rule.currency, 0) + asked.amount_minor
    if sum_minor <= rule.sum_minor_max:
        return ""
    return f"{sum_minor} {rule.currency} minor units in {rule.window_s} s, {rule.sum_minor_max} allowed"
