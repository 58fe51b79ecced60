"""How figures and verdicts are said to people. Terminal, HTML and JUnit say the same."""

import math
from typing import Any

from scenarios.checks import CheckResult, Outcome, Verdict
from scenarios.checks.transactions import committed
from scenarios.report.run import Run
from scenarios.thresholds import NAMED_EXPECTATIONS, find_metric, format_value

NOTHING = "–"  # noqa: RUF001 - an en dash is meant
NOT = "not "
MINOR_DIGITS = {"JPY": 0}
MARKS = {Outcome.PASS: "✓", Outcome.FAIL: "✗", Outcome.UNKNOWN: "?", Outcome.INVALID: "!"}

HEADLINES = {
    Outcome.PASS: "Everything that was expected held.",
    Outcome.FAIL: "Something that was expected did not hold.",
    Outcome.UNKNOWN: "The run cannot answer everything that was asked.",
    Outcome.INVALID: "The load was not the planned one, so no figure of this run can be trusted.",
}

TITLES = {
    **{name: name.replace("_", " ") for name in NAMED_EXPECTATIONS},
    "generator_honest": "load generator honest",
    "faults_happened": "faults happened",
}

MEANINGS = {
    **NAMED_EXPECTATIONS,
    "generator_honest": "the clients did what was planned; judged in every run",
    "faults_happened": "every planned fault did hit something; judged in every run with faults",
}

KEY_FIGURES = {
    "throughput.settled": "payments settled",
    "availability.success": "operations ok",
    "latency.pay.p50": "median payment",
    "latency.pay.p99": "p99 payment",
    "in_doubt.max": "longest in doubt",
    "recovery.time": "recovery",
}


def title(name: str) -> str:
    """A check's name for people; a threshold is called by its metric, its bound is said elsewhere."""
    if name.startswith(NOT):
        return f"not {title(name.removeprefix(NOT))}"
    return TITLES.get(name, name.split()[0])


def meaning(name: str) -> str:
    """What a check asks for, '' if its name says it."""
    if name.startswith(NOT):
        return f"expected to be violated in this run: {MEANINGS.get(name.removeprefix(NOT), '')}"
    return MEANINGS.get(name, "")


def headline(verdict: Verdict) -> str:
    """The verdict in one sentence; a violation that was expected is never called a success of the platform."""
    violated = [check for check in verdict.checks if check.negated and check.verdict is Outcome.PASS]
    held = [check for check in verdict.checks if check.negated and check.verdict is Outcome.FAIL]
    if verdict.verdict is Outcome.PASS and violated:
        return "The platform broke as the scenario expected, and the lab found it."
    if verdict.verdict is Outcome.FAIL and held:
        return f"{HEADLINES[Outcome.FAIL]} The platform was expected to break, and did not."
    return HEADLINES[verdict.verdict]


def not_asked(verdict: Verdict) -> str:
    """Which expectations were not asked of this run, and why; '' if all were."""
    if not verdict.not_asked:
        return ""
    return f"Not asked, because the protocol is {verdict.platform.get('protocol')}: {'; '.join(verdict.not_asked)}."


def money(amount_minor: int, currency: str) -> str:
    """An amount as people write it: `1 234.50 CNY`."""
    digits = MINOR_DIGITS.get(currency, 2)
    return f"{amount_minor / 10**digits:,.{digits}f} {currency}".replace(",", "\u202f").replace(" ", "\u00a0")


def losses(verdict: Verdict) -> str:
    """Who lost how much, in one sentence."""
    found = verdict.losses
    if not found.get("orders"):
        return ""
    if not found["broken"]:
        return f"Nobody lost anything: the money taken is what {plural(found['orders'], 'order')} say."
    parts = [f"{row['who']}s lost {money(row['lost_minor'], row['currency'])}" for row in found["lost"]]
    sentence = " and ".join(parts)
    return f"{sentence[0].upper()}{sentence[1:]} on {plural(found['broken'], 'order')} of {found['orders']}."


def value(check: CheckResult) -> str:
    """A check's value: `99.4%`, `3 violations`, a dash if there is none."""
    if check.value is None:
        return NOTHING
    if check.parts:
        count = int(check.value)
        return "no violation" if not count else f"{count} violation{'s' if count > 1 else ''}"
    return format_value(check.value, check.unit)


def figure(verdict: Verdict, metric: str) -> str:
    """A metric of a verdict: a dash if it was not measured."""
    if metric not in verdict.metrics:
        return NOTHING
    measured = verdict.metrics[metric]
    if measured is None:
        return "not within the run"
    unit = find_metric(metric).unit
    return (
        seconds(measured)
        if unit == "s"
        else format_value(float(f"{measured:.3g}") if unit != "ratio" else measured, unit)
    )


def seconds(duration_s: float) -> str:
    """A duration, three digits: `41 ms`, `3.2 s`."""
    if not math.isfinite(duration_s):
        return "forever"
    if 0 < duration_s < 0.9995:
        return f"{duration_s * 1000:.3g}\u00a0ms"
    return f"{duration_s:.3g}\u00a0s"


def plural(count: int, one: str, many: str = "") -> str:
    """`1 payment`, `2 payments`."""
    return f"{count:,} {one if count == 1 else many or one + 's'}".replace(",", "\u202f")


def story(run: Run) -> str:
    """What happened, in two sentences: what the clients lived through, and what the platform did."""
    return f"{_clients(run)} {_platform(run)}"


def _clients(run: Run) -> str:
    counts = run.operations["outcome"].value_counts().to_dict()
    total, ok, failed, unknown = len(run.operations), *(int(counts.get(word, 0)) for word in ("ok", "fail", "unknown"))
    if not total:
        return "No client came."
    came = f"In {run.history.plan.load_s:g} s of load, clients tried {plural(total, 'operation')}"
    if ok == total:
        return f"{came}, and every one succeeded."
    parts = [f"{plural(ok, 'succeeded', 'succeeded')}"]
    parts += [f"{plural(failed, 'failed', 'failed')}"] if failed else []
    parts += [f"{plural(unknown, 'was', 'were')} left without an answer"] if unknown else []
    return f"{came}: {', '.join(parts[:-1])} and {parts[-1]}."


def _platform(run: Run) -> str:
    settled = f"The platform settled {plural(len(committed(run.history, 'payment')), 'payment')}"
    hits = run.faults[run.faults["started_s"].notna() & (run.faults["hits"] > 0)]
    if hits.empty:
        return f"{settled} with no fault to bear."
    doubt = run.verdict.metrics.get("in_doubt.max")
    longest = f"; a transaction was in doubt for at most {seconds(doubt)}" if doubt is not None else ""
    return f"{settled} through {plural(len(hits), 'fault')}{longest}, and {_recovered(run)}."


def _recovered(run: Run) -> str:
    if "recovery.time" not in run.verdict.metrics:
        return "recovery could not be measured"
    recovery_s = run.verdict.metrics["recovery.time"]
    if recovery_s is None:
        return "the platform was not back at its baseline level when the run ended"
    if recovery_s == 0:
        return "neither clients nor participants noticed more than in the baseline"
    return f"the platform was back at its baseline level at most {seconds(recovery_s)} after each hit"


def cell(content: Any) -> str:
    """A value of an evidence row."""
    if content is None:
        return NOTHING
    return f"{content:g}" if isinstance(content, float) else str(content)
