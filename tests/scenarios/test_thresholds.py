"""The grammar of thresholds: what is read, in which unit, and what is refused with which help."""

import re
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scenarios.thresholds import METRICS, ThresholdError, find_metric, format_value, json_pattern, metric_names, parse


@pytest.mark.parametrize(
    ("text", "metric", "op", "value", "unit", "during", "sustained_s"),
    [
        ("latency.pay.p99 < 800ms during baseline for 5s", "latency.pay.p99", "<", 0.8, "s", "baseline", 5.0),
        ("availability.success >= 99%", "availability.success", ">=", 0.99, "ratio", None, None),
        ("availability.time>=0.99", "availability.time", ">=", 0.99, "ratio", None, None),
        ("availability.error_budget_burn <= 14.4x", "availability.error_budget_burn", "<=", 14.4, "factor", None, None),
        ("in_doubt.max < 10s", "in_doubt.max", "<", 10.0, "s", None, None),
        ("in_doubt.count >= 1", "in_doubt.count", ">=", 1.0, "count", None, None),
        ("throughput.knee > 60/s", "throughput.knee", ">", 60.0, "1/s", None, None),
        ("throughput.settled >= 120/min during stage2", "throughput.settled", ">=", 2.0, "1/s", "stage2", None),
        ("latency.poll.failed.max <= 2 s for 1 min", "latency.poll.failed.max", "<=", 2.0, "s", None, 60.0),
        ("  recovery.time   <  8s ", "recovery.time", "<", 8.0, "s", None, None),
        ("generator.dropped <= 0", "generator.dropped", "<=", 0.0, "count", None, None),
    ],
)  # fmt: skip
def test_thresholds_are_normalised(
    text: str, metric: str, op: str, value: float, unit: str, during: str | None, sustained_s: float | None
) -> None:
    read = parse(text)
    assert (read.metric, read.op, read.value, read.unit) == (metric, op, value, unit)
    assert (read.during, read.sustained_s) == (during, sustained_s)
    assert parse(read.text) == read
    assert re.search(json_pattern(), read.text)


@pytest.mark.parametrize(
    ("text", "help_text"),
    [
        ("latency.pay.p98 < 1s", r"unknown metric 'latency.pay.p98'; did you mean latency.pay.p\d\d\?"),
        ("in_dout.max < 1s", r"did you mean in_doubt.max\?"),
        ("in_doubt.max < 10", "'10' does not fit in_doubt.max; expected a duration, like 800ms or 2s"),
        ("in_doubt.max < 10 parsecs", "'10 parsecs' does not fit in_doubt.max"),
        ("in_doubt.max < -1s", "'-1s' is negative"),
        ("availability.success >= 120%", "more than everything"),
        ("availability.success >= 5s", "expected a share"),
        ("in_doubt.count >= 1.5", "expected a whole number"),
        ("throughput.knee > 60ms", "expected a rate"),
        ("in_doubt.max == 3s", "'==' is not a comparison; expected one of <, <=, >, >="),
        ("in_doubt.max < 3s for 0s", "no time at all"),
        ("in_doubt.max < 3s for ever", "'ever' is not a duration"),
        ("in_doubt.max", "is not a threshold; expected metric op value"),
        ("", "is not a threshold"),
        ("in_doubt.max < 3s during a b", "is not a threshold"),
    ],
)
def test_what_cannot_be_read_says_what_was_expected(text: str, help_text: str) -> None:
    with pytest.raises(ThresholdError, match=help_text):
        parse(text)


def test_every_metric_can_be_asked_for_by_its_full_name() -> None:
    sample = {"ratio": "50%", "s": "1s", "1/s": "1/s", "count": "1", "factor": "1"}
    names = metric_names()
    assert len(names) == len(set(names)) > len(METRICS)
    for name in names:
        assert parse(f"{name} < {sample[find_metric(name).unit]}").metric == name


def test_a_threshold_holds_or_not_and_never_for_what_was_not_measured() -> None:
    threshold = parse("latency.pay.p99 < 800ms")
    assert threshold.holds(0.799)
    assert not threshold.holds(0.8)
    assert not threshold.holds(float("nan"))
    assert parse("latency.pay.p99 <= 800ms").holds(0.8)


@given(st.text(max_size=60))
def test_any_text_is_a_threshold_or_an_error_with_help(text: str) -> None:
    with suppress(ThresholdError):  # any other exception would be a bug
        assert parse(text).metric in metric_names()


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [(0.996, "ratio", "99.6%"), (0.8, "s", "800ms"), (2.5, "s", "2.5s"), (61.234, "1/s", "61.23/s"), (3, "count", "3")],
)
def test_values_are_shown_in_their_unit(value: float, unit: str, text: str) -> None:
    assert format_value(value, unit) == text
