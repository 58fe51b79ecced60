"""Checks: pure judgements of a history. Each file is one invariant or one measure; none knows which world made it."""

from collections.abc import Callable, Iterable
from typing import Any

from scenarios.checks import atomicity, client_truth, events, faults_happened, generator, metrics, money
from scenarios.checks.result import CheckResult, Outcome, Verdict, guarded, overall
from scenarios.history import History, history_sha256
from scenarios.thresholds import Threshold, parse

__all__ = ["CheckResult", "Outcome", "Verdict", "check"]

NAMED: dict[str, Callable[[History], CheckResult]] = {
    atomicity.NAME: atomicity.judge,
    money.NAME: money.judge,
    client_truth.NAME: client_truth.judge,
    events.NAME: events.judge,
}


def check(history: History, expectations: Iterable[str | Threshold]) -> Verdict:
    """Judge a run by what was expected of it, and by what is always expected: an honest generator, faults that
    happened.

    An expectation is a name of NAMED, a threshold, or a threshold's text. `history.meta` may carry `question` and
    `started_at`. Raises ThresholdError for a text that is no expectation; a check that crashes says unknown instead.
    """
    checks = [_judge(history, expectation) for expectation in expectations]
    if history.plan.faults:
        checks.append(guarded(faults_happened.NAME, lambda: faults_happened.judge(history)))
    checks.append(guarded(generator.NAME, lambda: generator.judge(history)))
    return _verdict(history, tuple(checks))


def _judge(history: History, expectation: str | Threshold) -> CheckResult:
    if isinstance(expectation, str) and expectation in NAMED:
        return guarded(expectation, lambda: NAMED[expectation](history))
    threshold = parse(expectation) if isinstance(expectation, str) else expectation
    return guarded(threshold.text, lambda: metrics.judge(history, threshold))


def _verdict(history: History, checks: tuple[CheckResult, ...]) -> Verdict:
    plan, meta = history.plan, dict(history.meta)
    platform: dict[str, Any] = vars(plan.platform)
    return Verdict(
        scenario=plan.scenario,
        world=history.world,
        seed=plan.seed,
        question=str(meta.pop("question", "")),
        verdict=overall(checks),
        checks=checks,
        metrics=metrics.all_metrics(history),
        history_sha256=history_sha256(history),
        started_at=str(meta.pop("started_at", "")),
        platform=dict(platform),
        phases=tuple({"name": phase.name, "start_s": phase.start_s, "end_s": phase.end_s} for phase in plan.phases),
        meta=meta,
    )
