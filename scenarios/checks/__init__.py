"""Checks: pure judgements of a history. Each file is one invariant or one measure; none knows which world made it."""

from collections.abc import Callable, Iterable
from typing import Any

from scenarios.checks import atomicity, client_truth, events, faults_happened, generator, losses, metrics, money
from scenarios.checks.result import CheckResult, Outcome, Verdict, guarded, negated, overall
from scenarios.expectations import Expectation, parse
from scenarios.history import History, history_sha256
from scenarios.thresholds import Threshold

__all__ = ["CheckResult", "Outcome", "Verdict", "check", "judge_all", "overall"]

NAMED: dict[str, Callable[[History], CheckResult]] = {
    atomicity.NAME: atomicity.judge,
    money.NAME: money.judge,
    client_truth.NAME: client_truth.judge,
    events.NAME: events.judge,
}


def check(history: History, expectations: Iterable[str | Threshold | Expectation]) -> Verdict:
    """Judge a run by what was expected of it, and by what is always expected: an honest generator, faults that
    happened.

    An expectation may be its text, see `scenarios.expectations`; those under another protocol than the run's are not
    asked. `history.meta` may carry `question` and `started_at`. Raises ExpectationError or ThresholdError for a text
    that is no expectation; a check that crashes says unknown instead.
    """
    expected = [_read(expectation) for expectation in expectations]
    not_asked = tuple(each.text for each in expected if not each.is_asked_of(history.plan.platform.protocol))
    return _verdict(history, judge_all(history, expected), not_asked)


def judge_all(history: History, expectations: Iterable[Expectation]) -> tuple[CheckResult, ...]:
    """The judgements that `check` makes its verdict of, without the rest of what a reader of a report wants."""
    protocol = history.plan.platform.protocol
    checks = [_judge(history, each) for each in expectations if each.is_asked_of(protocol)]
    if history.plan.faults:
        checks.append(guarded(faults_happened.NAME, lambda: faults_happened.judge(history)))
    checks.append(guarded(generator.NAME, lambda: generator.judge(history)))
    return tuple(checks)


def _losses(history: History) -> dict[str, Any]:
    try:
        return losses.summary(history)
    except Exception as error:  # noqa: BLE001 - as with a check: what breaks here must not hide the verdict
        return {"error": f"{type(error).__name__}: {error}"}


def _read(expectation: str | Threshold | Expectation) -> Expectation:
    if isinstance(expectation, Threshold):
        return Expectation(expectation.text, expectation)
    return parse(expectation) if isinstance(expectation, str) else expectation


def _judge(history: History, expectation: Expectation) -> CheckResult:
    claim = expectation.check
    if isinstance(claim, Threshold):
        return guarded(claim.text, lambda: metrics.judge(history, claim))
    found = guarded(claim, lambda: NAMED[claim](history))
    return negated(expectation.name, found) if expectation.negated else found


def _verdict(history: History, checks: tuple[CheckResult, ...], not_asked: tuple[str, ...]) -> Verdict:
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
        losses=_losses(history),
        not_asked=not_asked,
    )
