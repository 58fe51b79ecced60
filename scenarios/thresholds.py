"""One grammar for every expectation that is a number: `metric op value [during phase] [for duration]`.

    latency.pay.p99 < 800ms during baseline for 5s

Values are normalised when read: shares to 0..1, durations to seconds, rates to events per second. So a check
compares plain floats. `METRICS` is the list of what can be asked; a metric that is not in it is an error.
With `for`, the threshold is violated only if the metric, taken second by second, breaches it for that long in a row.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from difflib import get_close_matches
from operator import ge, gt, le, lt

from scenarios.units import SECONDS_PER_UNIT, format_duration, parse_duration_s, split_quantity

OPERATORS: dict[str, Callable[[float, float], bool]] = {"<": lt, "<=": le, ">": gt, ">=": ge}

NAMED_EXPECTATIONS = {
    "atomic": "every payment is committed everywhere or nowhere, and ends (AC1 to AC5)",
    "money_conserved": "every currency sums to zero, no hold is left over, the channel's books equal ours",
    "client_truth": "what a client was told is what happened, and no key is charged twice",
    "events_delivered": "every decision is in the audit trail, once (real services only)",
}

STATISTICS = ("mean", "p50", "p90", "p95", "p99", "max")
JOURNEY_STEPS = {
    "pay": ("goods", "cart_put", "order_create", "pay", "poll"),
    "browse": ("goods_list", "goods", "cart_get"),
    "refund": ("goods", "cart_put", "order_create", "pay", "poll", "refund"),
}
JOURNEYS = tuple(JOURNEY_STEPS)
STEPS = tuple(dict.fromkeys(step for steps in JOURNEY_STEPS.values() for step in steps))
RESOURCES = {"goods": "order", "money": "payment"}
"""What a participant holds between its vote and its applying the outcome, and the participant."""
LATENCY_SUBJECTS = tuple(dict.fromkeys((*JOURNEYS, *STEPS)))

RATIO, DURATION, RATE, COUNT, FACTOR = "ratio", "s", "1/s", "count", "factor"
EXPECTED_VALUE = {
    RATIO: "a share, like 99% or 0.99",
    DURATION: "a duration, like 800ms or 2s",
    RATE: "a rate, like 60 or 60/s",
    COUNT: "a whole number, like 0",
    FACTOR: "a factor, like 14.4",
}


class ThresholdError(ValueError):
    """A threshold that cannot be read; the message says what is wrong and what was expected."""


@dataclass(frozen=True)
class Metric:
    """A measurable thing: `pattern` matches its full name, `form` shows it to people, its value is in `unit`."""

    form: str
    unit: str
    meaning: str
    pattern: str


@dataclass(frozen=True)
class Threshold:
    """`metric op value [during phase] [for duration]`; `value` is in `unit` (ratio 0..1, s, 1/s, count, factor)."""

    text: str
    metric: str
    op: str
    value: float
    unit: str
    during: str | None = None
    sustained_s: float | None = None

    def holds(self, measured: float) -> bool:
        """Whether `measured`, in this threshold's unit, satisfies it. NaN never does."""
        return OPERATORS[self.op](measured, self.value)


PLACEHOLDERS = {"subject": LATENCY_SUBJECTS, "resource": tuple(RESOURCES), "statistic": STATISTICS}


def _metric(form: str, unit: str, meaning: str) -> Metric:
    pattern = re.escape(form)
    for name, choices in PLACEHOLDERS.items():
        pattern = pattern.replace(re.escape(f"<{name}>"), f"(?:{'|'.join(choices)})")
    return Metric(form, unit, meaning, pattern)


METRICS: tuple[Metric, ...] = (
    _metric("availability.success", RATIO, "share of client operations that succeeded"),
    _metric("availability.time", RATIO, "share of seconds in which at least 99 % of the operations succeeded"),
    _metric(
        "availability.user", RATIO, "user-uptime: share of the users' time during which the platform worked for them"
    ),
    _metric(
        "availability.error_budget_burn", FACTOR, "failures relative to a 99.9 % objective; 1 spends the budget exactly"
    ),
    _metric("latency.<subject>.<statistic>", DURATION, "time from the intended start, successful ones only"),
    _metric("latency.<subject>.failed.<statistic>", DURATION, "time from the intended start, failed ones only"),
    _metric("throughput.settled", RATE, "committed payments per second"),
    _metric("throughput.knee", RATE, "committed payments per second where more load stops helping"),
    _metric("throughput.requests", RATE, "HTTP requests answered per second"),
    _metric("in_doubt.max", DURATION, "longest time between a participant's yes and its applying the outcome"),
    _metric("in_doubt.p99", DURATION, "99th percentile of the time in doubt"),
    _metric("in_doubt.p50", DURATION, "median time in doubt"),
    _metric("in_doubt.mean", DURATION, "mean time in doubt"),
    _metric("in_doubt.count", COUNT, "transactions that were in doubt while a fault was active"),
    _metric(
        "lock_hold.<resource>.<statistic>",
        DURATION,
        "how long a prepared participant held goods or money",
    ),
    _metric(
        "blocking.window",
        DURATION,
        "longest time from a coordinator's absence to the first end of what it left in doubt",
    ),
    _metric("orphans.inquiries", COUNT, "times a participant had to ask what became of a transaction"),
    _metric("takeovers.count", COUNT, "times a transaction was taken over from whoever drove it"),
    _metric("takeovers.contested", COUNT, "transactions that two coordinators drove at the same time"),
    _metric("fenced.count", COUNT, "writes refused because another replica had taken the transaction over"),
    _metric(
        "recovery.time", DURATION, "longest time from a fault's hit until success and in-doubt are as in the baseline"
    ),
    _metric("generator.dropped", COUNT, "arrivals the load generator could not start"),
    _metric("generator.lag_p99", DURATION, "99th percentile of actual minus intended start"),
)

GRAMMAR = "metric op value [during phase] [for duration]"
_SHAPE = re.compile(
    r"\s*(?P<metric>[A-Za-z_][\w.]*)\s*(?P<op><=|>=|==|!=|<|>|=)\s*(?P<value>\S+(?: (?!during\b|for\b)\S+)?)"
    r"(?:\s+during\s+(?P<during>\S+))?(?:\s+for\s+(?P<sustained>\S+(?: \S+)?))?\s*"
)


def parse(text: str) -> Threshold:
    """Read one threshold. Raises ThresholdError that names what is wrong and what was expected."""
    shape = _SHAPE.fullmatch(text)
    if not shape:
        raise ThresholdError(
            f"{text!r} is not a threshold; expected {GRAMMAR}, like latency.pay.p99 < 800ms during baseline"
        )
    metric = find_metric(shape["metric"])
    if shape["op"] not in OPERATORS:
        raise ThresholdError(f"{shape['op']!r} is not a comparison; expected one of {', '.join(OPERATORS)}")
    return Threshold(
        text=" ".join(text.split()),
        metric=shape["metric"],
        op=shape["op"],
        value=parse_value(shape["value"], metric),
        unit=metric.unit,
        during=shape["during"],
        sustained_s=_sustained_s(shape["sustained"]),
    )


def find_metric(name: str) -> Metric:
    """The metric called `name`. Raises ThresholdError with the nearest names."""
    for metric in METRICS:
        if re.fullmatch(metric.pattern, name):
            return metric
    near = get_close_matches(name, metric_names(), n=1, cutoff=0.6)
    hint = f"did you mean {near[0]}? " if near else ""
    raise ThresholdError(f"unknown metric {name!r}; {hint}expected one of {', '.join(m.form for m in METRICS)}")


def metric_names() -> list[str]:
    """Every name a threshold can ask for, in the order of METRICS."""
    return [name for metric in METRICS for name in _written_out(metric.form)]


def _written_out(form: str) -> list[str]:
    """Every name of one form: `in_doubt.max`, or `latency.pay.p50`, `latency.pay.p90` and so on."""
    for placeholder, choices in PLACEHOLDERS.items():
        if f"<{placeholder}>" in form:
            return [name for choice in choices for name in _written_out(form.replace(f"<{placeholder}>", choice))]
    return [form]


def parse_value(text: str, metric: Metric) -> float:
    """A threshold's value in the metric's unit. Raises ThresholdError for a wrong unit or an impossible number."""
    try:
        number, unit = split_quantity(text)
        value = _converted(number, unit, metric.unit)
    except (ValueError, KeyError):
        raise ThresholdError(f"{text!r} does not fit {metric.form}; expected {EXPECTED_VALUE[metric.unit]}") from None
    if value < 0:
        raise ThresholdError(f"{text!r} is negative; expected {EXPECTED_VALUE[metric.unit]}")
    if metric.unit == RATIO and value > 1:
        raise ThresholdError(f"{text!r} is more than everything; expected {EXPECTED_VALUE[RATIO]}")
    return value


def json_pattern() -> str:
    """A regular expression for editors: right names, comparisons and form; units are left to `parse`."""
    names = "|".join(metric.pattern for metric in METRICS)
    value, tail = r"[0-9.]+ ?(%|ms|s|min|h|/s|/min|x)?", r"( +during +[a-z0-9]+)?( +for +[0-9.]+ ?(ms|s|min|h))?"
    return rf"^({names}) *(<=|>=|<|>) *{value}{tail}$"


def _converted(number: float, unit: str, into: str) -> float:
    factors: dict[str, dict[str, float]] = {
        RATIO: {"": 1.0, "%": 0.01},
        DURATION: SECONDS_PER_UNIT,
        RATE: {"": 1.0, "/s": 1.0, "/min": 1 / 60},
        COUNT: {"": 1.0},
        FACTOR: {"": 1.0, "x": 1.0},
    }
    if into == COUNT and number != int(number):
        raise ValueError("a count is whole")
    return round(number * factors[into][unit], 12)


def _sustained_s(text: str | None) -> float | None:
    if text is None:
        return None
    try:
        seconds = parse_duration_s(text)
    except ValueError as error:
        raise ThresholdError(f"for: {error}") from None
    if seconds <= 0:
        raise ThresholdError(f"for: {text!r} is no time at all; expected a duration above zero")
    return seconds


def format_value(value: float, unit: str) -> str:
    """A measured value as people write it: 0.996 ratio -> "99.6%", 0.8 s -> "800ms"."""
    if unit == RATIO:
        return f"{value * 100:.4g}%"
    if unit == DURATION:
        return format_duration(float(f"{value:.4g}"))
    return f"{value:.4g}" + ("/s" if unit == RATE else "")
