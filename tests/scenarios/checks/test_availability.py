"""Availability in three ways, against figures that can be worked out by hand."""

import pytest

from scenarios.checks import availability, check, metrics
from scenarios.checks.result import Outcome
from scenarios.history import History
from scenarios.thresholds import parse

from .histories import Run


def closed_users(outage_s: tuple[float, float] = (20.0, 30.0)) -> Run:
    """100 users, 0.1 s an operation, 60 s; during the outage each waits for its timeout of 5 s, in vain."""
    run = Run(load_s=60.0, duration_s=60.0)
    for user in range(100):
        step, number = 0, 0
        while step < 600:  # tenths of a second: exact
            at_s = step / 10
            down = outage_s[0] <= at_s < outage_s[1]
            run.request(f"u{user}-{number}", at_s, 5.0 if down else 0.1, "unknown" if down else "ok")
            step, number = step + (50 if down else 1), number + 1
    return run


@pytest.fixture(scope="module")
def outage() -> History:
    return closed_users().build()


def test_the_outage_that_the_success_ratio_hides(outage: History):
    history = outage
    assert round(availability.success(history, 0, 60) * 100, 1) == 99.6
    assert round(availability.time(history, 0, 60) * 100, 1) == 83.3
    assert round(availability.user(history, 0, 60) * 100, 1) == 83.3
    assert availability.error_budget_burn(history, 0, 60) == pytest.approx(200 / 50_200 / 0.001)


def test_the_worst_window_is_where_the_outage_was(outage: History):
    worst, start_s = availability.worst_window(outage, 0, 60, window_s=5)
    assert worst == 0.0
    assert 20 <= start_s <= 25


@pytest.mark.parametrize(
    ("threshold", "verdict"),
    [
        ("availability.success >= 99.5%", Outcome.PASS),
        ("availability.success >= 99.7%", Outcome.FAIL),
        ("availability.time >= 83%", Outcome.PASS),
        ("availability.time >= 84%", Outcome.FAIL),
        ("availability.user >= 84%", Outcome.FAIL),
        ("availability.error_budget_burn <= 1", Outcome.FAIL),
        ("availability.success >= 100% during baseline", Outcome.PASS),
    ],
)
def test_thresholds(outage: History, threshold: str, verdict: Outcome):
    result = metrics.judge(outage, parse(threshold))
    assert result.verdict is verdict
    assert (verdict is Outcome.PASS) == (not result.evidence)


def test_a_retry_that_succeeds_is_a_success():
    run = Run().payment("a", told="ok")
    run.request("a", 1.0, journey="pay", step="pay", outcome="unknown", status=0)
    run.request("b", 2.0, 0.05, "fail", status=503).request("b", 2.2)
    assert availability.success(run.build(), 0, 30) == 1.0


def test_a_journey_that_dies_before_it_pays_is_a_failure():
    run = Run().request("a", 1.0, journey="pay").request("a", 1.1, 0.05, "fail", journey="pay", step="order_create")
    assert availability.success(run.build(), 0, 30) == 0.0


def test_a_payment_that_was_never_told_is_a_failure():
    run = Run().payment("a", told="unknown").payment("b", 2.0)
    assert availability.success(run.build(), 0, 30) == 0.5


def test_a_quick_failure_spoils_its_own_second_only():
    run = Run(load_s=10.0)
    for second in range(10):
        run.request(f"a{second}", second + 0.2, outcome="fail" if second == 4 else "ok")
    assert availability.time(run.build(), 0, 10) == pytest.approx(0.9)


def test_nobody_came():
    assert check(Run().build(), ["availability.success >= 1%"]).checks[0].verdict is Outcome.UNKNOWN
