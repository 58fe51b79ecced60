"""Every metric that a threshold can ask for, over any stretch of the run, and the judgement of a threshold.

`during` names a phase of the plan; without it a metric covers `load`, the end of the warm-up to the end of the load.
Metrics of the whole run (generator, knee) are the same in every phase; recovery looks at faults that hit within the
phase.

`metric op value for D` is violated only if the metric of single seconds breaches for at least D in a row: a shorter
excursion is forgiven. Seconds in which there was nothing to measure do not breach.
"""

import math
from collections.abc import Callable

import pandas

from scenarios.checks import availability, blocking, in_doubt, latency, recovery, throughput
from scenarios.checks.result import EVIDENCE_ROWS_MAX, CheckResult, Outcome, Row, finite, plain_row, rows_of
from scenarios.history import History
from scenarios.thresholds import RESOURCES, Threshold, format_value, metric_names

DEFAULT_PHASE = "load"
WHOLE_RUN = (
    "generator.dropped", "generator.lag_p99", "throughput.knee", "recovery.time", "in_doubt.count", "blocking.window",
    "orphans.inquiries", "takeovers.count", "takeovers.contested",
    "fenced.count",
)  # fmt: skip

_SIMPLE: dict[str, Callable[[History, float, float], float]] = {
    "availability.success": availability.success,
    "availability.time": availability.time,
    "availability.user": availability.user,
    "availability.error_budget_burn": availability.error_budget_burn,
    "throughput.settled": throughput.settled,
    "throughput.requests": throughput.requests,
    "throughput.knee": lambda history, start_s, end_s: throughput.knee(history),
    "recovery.time": recovery.recovery_time,
    "in_doubt.count": in_doubt.count,
    "blocking.window": blocking.window,
    "orphans.inquiries": blocking.inquiries,
    "takeovers.count": blocking.takeovers,
    "takeovers.contested": blocking.contested,
    "fenced.count": blocking.fenced,
    "generator.dropped": lambda history, start_s, end_s: _generator(history, "dropped"),
    "generator.lag_p99": lambda history, start_s, end_s: _generator(history, "lag_p99_s"),
}


def measure(history: History, metric: str, start_s: float, end_s: float) -> float:
    """A metric over [start_s, end_s), in its unit. NaN: nothing to measure. Raises KeyError for an unknown metric."""
    if metric in _SIMPLE:
        return float(_SIMPLE[metric](history, start_s, end_s))
    family, *middle, name = metric.split(".")
    if family == "in_doubt" and not middle:
        return in_doubt.in_doubt(history, name, start_s, end_s)
    if family == "lock_hold" and middle:
        return in_doubt.in_doubt(history, name, start_s, end_s, role=RESOURCES[middle[0]])
    if family == "latency" and middle:
        return latency.latency(history, middle[0], name, middle[1:] == ["failed"], start_s, end_s)
    raise KeyError(f"no metric {metric!r}")


def stretch(history: History, metric: str, during: str | None) -> tuple[float, float]:
    """The seconds that a metric covers. Raises KeyError for a phase that the plan does not have."""
    if during is None and metric in WHOLE_RUN:
        return -math.inf, math.inf
    phase = history.plan.phase(during or DEFAULT_PHASE)
    return phase.start_s, phase.end_s


def all_metrics(history: History) -> dict[str, float | None]:
    """Every metric that this run can measure, over its default stretch; infinite ones are None."""
    found = {}
    for metric in metric_names():
        value = measure(history, metric, *stretch(history, metric, None))
        if not math.isnan(value):
            found[metric] = finite(value)
    return found


def judge(history: History, threshold: Threshold) -> CheckResult:
    """Hold a metric against a threshold."""
    start_s, end_s = stretch(history, threshold.metric, threshold.during)
    value = measure(history, threshold.metric, start_s, end_s)
    if math.isnan(value):
        return _result(threshold, Outcome.UNKNOWN, value, "Nothing of the kind happened then, so nothing was measured.")
    if threshold.metric.startswith("in_doubt.") and len(history.plan.faults) and not in_doubt.count(history):
        return _result(threshold, Outcome.UNKNOWN, value, "No transaction was in doubt during a fault: not tested.")
    if threshold.sustained_s is not None:
        return _judge_sustained(history, threshold, value, start_s, end_s)
    shown = format_value(value, threshold.unit)
    if threshold.holds(value):
        return _result(threshold, Outcome.PASS, value, f"It was {shown}; expected {bound(threshold)}.")
    explanation = f"It was {shown}; expected {bound(threshold)}."
    if math.isinf(value):
        explanation = "It was not back at its baseline level when the run ended."
    return _result(threshold, Outcome.FAIL, value, explanation, worst(history, threshold, start_s, end_s))


def bound(threshold: Threshold) -> str:
    """What a threshold holds its metric against: `< 800ms during baseline`."""
    return threshold.text.removeprefix(threshold.metric).strip()


def _judge_sustained(history: History, threshold: Threshold, value: float, start_s: float, end_s: float) -> CheckResult:
    wanted_s = threshold.sustained_s or 0.0
    breaches = breached(history, threshold, start_s, end_s)
    longest_s = max((row["lasted_s"] for row in breaches), default=0.0)
    if longest_s < wanted_s:
        return _result(threshold, Outcome.PASS, value, f"It was breached for at most {longest_s:g} s in a row.")
    long = sorted((row for row in breaches if row["lasted_s"] >= wanted_s), key=lambda row: -row["lasted_s"])
    return _result(threshold, Outcome.FAIL, value, f"It was breached for {longest_s:g} s in a row.", long)


def breached(history: History, threshold: Threshold, start_s: float, end_s: float) -> list[Row]:
    """The stretches of consecutive seconds in [start_s, end_s) whose own metric does not satisfy the threshold."""
    found: list[Row] = []
    for step in range(math.ceil(end_s - start_s)):
        second_s = start_s + step
        until_s = min(second_s + 1, end_s)
        value = measure(history, threshold.metric, second_s, until_s)
        if math.isnan(value) or threshold.holds(value):
            continue
        if found and found[-1]["until_s"] == second_s:
            found[-1].update(until_s=until_s, lasted_s=until_s - found[-1]["from_s"])
        else:
            found.append({"from_s": second_s, "until_s": until_s, "lasted_s": until_s - second_s})
    return found


def worst(history: History, threshold: Threshold, start_s: float, end_s: float) -> list[Row]:
    """What to look at first when a threshold is broken: the slowest, the failed, the longest in doubt."""
    family, *middle, _ = threshold.metric.split(".")
    if family == "latency":
        table = latency.samples(history, middle[0], middle[1:] == ["failed"]).sort_values("latency_s", ascending=False)
        return _within(table, start_s, end_s)
    if family == "blocking":
        return blocking.windows(history)
    if family in ("in_doubt", "lock_hold"):
        table = in_doubt.intervals(history).sort_values("duration_s", ascending=False)
        return _within(table, start_s, end_s)
    if family == "recovery":
        return sorted((vars(found) for found in recovery.recoveries(history)), key=lambda row: -row["recovery_s"])
    if family == "availability":
        table = history["requests"]
        columns = ["operation", "journey", "step", "status", "outcome", "error", "intended_s", "ended_s"]
        return _within(table[table["outcome"] != "ok"][columns], start_s, end_s)
    if threshold.metric == "throughput.knee":
        return [{**vars(step), "kept_up": step.kept_up} for step in throughput.steps(history)]
    return []


def _within(table: pandas.DataFrame, start_s: float, end_s: float) -> list[Row]:
    began_s = table["from_s"] if "from_s" in table else table["intended_s"]
    return rows_of(table[(began_s >= start_s) & (began_s < end_s)].head(EVIDENCE_ROWS_MAX))


def _generator(history: History, column: str) -> float:
    table = history["generator"]
    return float(table[column].iloc[0]) if len(table) else math.nan


def _result(
    threshold: Threshold, verdict: Outcome, value: float, explanation: str, evidence: list[Row] | None = None
) -> CheckResult:
    rows = tuple(plain_row(row) for row in (evidence or [])[:EVIDENCE_ROWS_MAX])
    return CheckResult(threshold.text, verdict, finite(value), threshold.unit, bound(threshold), explanation, rows)
