"""Latency, throughput, time in doubt, recovery, and what thresholds make of them."""

import math

import pytest

from scenarios.checks import in_doubt, metrics, recovery, throughput
from scenarios.checks.result import CheckResult, Outcome, guarded
from scenarios.plan import LoadStage, Phase
from scenarios.thresholds import metric_names, parse

from .histories import Run, load_plan, ordinary


def judged(run: Run, threshold: str) -> CheckResult:
    history = run.build()
    return guarded(threshold, lambda: metrics.judge(history, parse(threshold)))


def measured(run: Run, metric: str, start_s: float = 0.0, end_s: float = 30.0) -> float:
    return metrics.measure(run.build(), metric, start_s, end_s)


def steady(load_s: float = 30.0, per_s: int = 10) -> Run:
    """Browsing, ten operations a second, 50 ms each, all well."""
    run = Run(load_s=load_s, duration_s=load_s + 10)
    for number in range(int(load_s * per_s)):
        run.request(f"look-{number}", number / per_s)
    return run


def failing(run: Run, start_s: float, end_s: float) -> Run:
    return run.change("requests", lambda row: start_s <= row["intended_s"] < end_s, outcome="fail", status=503)


def test_every_metric_of_the_grammar_can_be_measured():
    run = ordinary().fault(at_s=0.9, until_s=1.5).request("e", 5.0, 1.0, "fail", step="poll", journey="pay")
    history = run.build()
    for metric in metric_names():
        assert isinstance(metrics.measure(history, metric, 0.0, 30.0), float), metric


def test_percentiles_are_exact():
    run = Run()
    for number in range(1, 101):
        run.request(f"a{number}", 1.0, number / 100)
    assert measured(run, "latency.goods.p50") == pytest.approx(0.50)
    assert measured(run, "latency.goods.p99") == pytest.approx(0.99)
    assert measured(run, "latency.goods.max") == pytest.approx(1.00)
    assert measured(run, "latency.goods.mean") == pytest.approx(0.505)


def test_latency_counts_from_the_intended_start():
    """One stall of 1.4 s at 2000/s: the requests that should have started meanwhile waited too."""
    rate, stall_s = 2000, 1.4
    run = Run(load_s=13.0)
    for number in range(13 * rate):
        at_s = number / rate
        waited_s = max(0.0, 4.0 + stall_s - at_s) if at_s >= 4.0 else 0.0
        run.request(f"a{number}", at_s, 0.005 + waited_s, started_s=at_s + waited_s)
    history = run.build()
    table = history["requests"]
    assert metrics.measure(history, "latency.goods.p99", 0, 13) == pytest.approx(1.27, abs=0.01)
    assert (table["ended_s"] - table["started_s"]).quantile(0.99) < 0.006


def test_failures_do_not_touch_the_latency_of_successes():
    run = Run().request("a", 1.0, 0.1).request("b", 1.0, 5.0, "unknown").request("c", 1.0, 0.3, "fail")
    assert measured(run, "latency.goods.max") == pytest.approx(0.1)
    assert measured(run, "latency.goods.failed.max") == pytest.approx(5.0)


def test_latency_is_by_phase():
    run = steady()
    run.request("slow", 15.0, 2.0)
    assert judged(run, "latency.goods.max < 1s during baseline").verdict is Outcome.PASS
    broken = judged(run, "latency.goods.max < 1s")
    assert broken.verdict is Outcome.FAIL
    assert broken.evidence[0] == {"intended_s": 15.0, "ended_s": 17.0, "latency_s": 2.0}


def test_a_journey_takes_from_its_first_step_to_its_last():
    run = Run().request("a", 1.0, 0.1, step="goods_list").request("a", 1.1, 0.1).request("a", 1.2, 0.2, step="cart_get")
    assert measured(run, "latency.browse.max") == pytest.approx(0.4)


@pytest.mark.parametrize(
    ("slow_s", "verdict"), [(3, Outcome.PASS), (4, Outcome.PASS), (5, Outcome.FAIL), (8, Outcome.FAIL)]
)
def test_for_forgives_what_does_not_last(slow_s: int, verdict: Outcome):
    run = steady().change("requests", lambda row: 12 <= row["intended_s"] < 12 + slow_s, ended_s=25.0)
    result = judged(run, "latency.goods.p99 < 800ms for 5s")
    assert result.verdict is verdict
    if verdict is Outcome.FAIL:
        assert result.evidence == ({"from_s": 12.0, "until_s": 12.0 + slow_s, "lasted_s": float(slow_s)},)


def test_two_short_breaches_are_not_one_long_one():
    run = steady().change("requests", lambda row: row["intended_s"] // 1 in (12, 13, 15, 16), ended_s=25.0)
    assert judged(run, "latency.goods.p99 < 800ms for 4s").verdict is Outcome.PASS


def test_settled_payments():
    assert measured(ordinary(), "throughput.settled", 0, 10) == pytest.approx(0.5)
    assert judged(ordinary(), "throughput.settled >= 100").verdict is Outcome.FAIL


def stepped(settled_per_s: list[float], latency_s: list[float] | None = None) -> Run:
    """A closed load of steps of 10 s that offer 10, 20, 30 .. payments/s and settle `settled_per_s`."""
    count = len(settled_per_s)
    run = Run(load_s=10.0 * count)
    run.load = load_plan("closed", tuple(LoadStage(10.0 * n, 10.0 * n + 10, users=1) for n in range(count)))
    for number, settled in enumerate(settled_per_s):
        for index in range(10 * (number + 1) * 10):
            at_s = 10.0 * number + index / (10 * (number + 1))
            commit = index < settled * 10
            run.payment(f"{number}-{index}", at_s, "balance", commit=commit)
        if latency_s:
            inside = lambda row, n=number: 10.0 * n <= row["intended_s"] < 10.0 * n + 10  # noqa: E731
            for row in filter(inside, run.rows["payments"]):
                row["ended_s"] = row["intended_s"] + latency_s[number]
    return run


def test_the_knee_is_the_last_step_that_kept_up():
    run = stepped([10, 19.5, 24, 22])
    assert throughput.knee(run.build()) == pytest.approx(19.5)
    result = judged(run, "throughput.knee >= 60")
    assert result.verdict is Outcome.FAIL
    assert [row["kept_up"] for row in result.evidence] == [True, True, False, False]


def test_a_step_that_settles_too_late_did_not_keep_up():
    assert throughput.knee(stepped([10, 20], [0.1, 3.0]).build()) == pytest.approx(10)


def test_without_a_step_that_kept_up_the_knee_is_the_plateau():
    assert throughput.knee(stepped([5, 8, 7]).build()) == pytest.approx(8)


def test_time_in_doubt():
    run = Run().payment("a", 1.0).payment("b", 2.0, doubt_s=2.99)
    assert measured(run, "in_doubt.max") == pytest.approx(3.0)
    assert measured(run, "in_doubt.p50") == pytest.approx(0.02)
    result = judged(run, "in_doubt.max < 1s")
    assert result.verdict is Outcome.FAIL
    assert {row["gid"] for row in result.evidence[:2]} == {"pay-b"}


def test_what_is_never_applied_is_in_doubt_until_the_end():
    run = Run().payment("a", 1.0).drop("transactions", lambda row: row["role"] == "order" and row["event"] == "applied")
    assert measured(run, "in_doubt.max") == pytest.approx(40.0 - 1.01)


def test_the_coordinator_s_side_ends_when_all_acknowledged():
    table = in_doubt.coordinator_intervals(Run().payment("a", 1.0, doubt_s=2.0).build())
    assert table["duration_s"].tolist() == pytest.approx([2.01])


def test_an_in_doubt_threshold_needs_a_transaction_in_doubt_during_the_fault():
    run = Run().payment("a", 1.0).fault(at_s=10.0, until_s=12.0)
    assert judged(run, "in_doubt.max < 10s").verdict is Outcome.UNKNOWN
    run.payment("b", 10.5)
    assert judged(run, "in_doubt.max < 10s").verdict is Outcome.PASS
    assert measured(run, "in_doubt.count", -math.inf, math.inf) == 1


def test_the_timeline_counts_transactions_not_votes():
    line = in_doubt.timeline(Run().payment("a", 1.0, doubt_s=2.0).build(), step_s=0.5)
    assert line.loc[[0.5, 1.5, 2.5, 3.5]].tolist() == [0, 1, 1, 0]


def test_recovery_is_from_the_hit_to_the_last_failing_second():
    run = failing(steady().fault(at_s=12.0, until_s=14.0), 12.0, 17.0)
    assert measured(run, "recovery.time") == pytest.approx(5.0)
    assert judged(run, "recovery.time < 8s").verdict is Outcome.PASS
    assert judged(run, "recovery.time < 4s").verdict is Outcome.FAIL


def test_a_relapse_counts():
    run = failing(failing(steady().fault(at_s=12.0), 12.0, 13.0), 18.0, 19.0)
    assert measured(run, "recovery.time") == pytest.approx(7.0)


def test_a_fault_that_nobody_noticed():
    assert measured(steady().fault(at_s=12.0), "recovery.time") == 0.0


def test_a_transaction_in_doubt_delays_recovery():
    run = steady().fault(at_s=12.0).payment("a", 1.0, told="ok").payment("b", 12.5, doubt_s=6.0)
    assert measured(run, "recovery.time") == pytest.approx(6.52)


def test_a_platform_that_never_recovers():
    run = steady().fault(at_s=12.0).payment("b", 12.5)
    run.drop("transactions", lambda row: row["role"] == "order" and row["event"] == "applied")
    result = judged(run, "recovery.time < 1000s")
    assert result.verdict is Outcome.FAIL
    assert result.value is None
    assert "when the run ended" in result.explanation


def test_each_fault_has_its_own_recovery():
    run = steady().fault(at_s=12.0, until_s=13.0).fault(at_s=20.0, until_s=21.0)
    failing(failing(run, 12.0, 14.0), 20.0, 24.0)
    assert [found.recovery_s for found in recovery.recoveries(run.build())] == pytest.approx([2.0, 4.0])


def test_the_usual_failures_of_the_baseline_are_no_disturbance():
    run = failing(failing(steady().fault(at_s=12.0), 3.0, 3.1), 25.0, 25.1)
    assert measured(run, "recovery.time") == 0.0


def test_without_a_fault_there_is_no_recovery_to_measure():
    assert judged(steady(), "recovery.time < 1s").verdict is Outcome.UNKNOWN


def test_a_phase_that_the_run_does_not_have_is_unknown():
    run = steady()
    run.phases = [Phase("load", 0.0, 30.0)]
    result = judged(run, "availability.success >= 99% during after")
    assert result.verdict is Outcome.UNKNOWN
    assert "no phase 'after'" in result.explanation
