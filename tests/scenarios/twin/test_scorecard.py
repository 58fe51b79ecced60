"""Predictions against measurements: errors, intervals, and which targets hold."""

import math

import pytest

from scenarios.report import twin as report
from scenarios.twin.playing import Twin, held_out
from scenarios.twin.scorecard import METRICS, UTILISATION, Measured, Row, Verdict, scorecard, verdict_of
from settlement.topology import DEFAULT_TOPOLOGY

GOOD = {
    "throughput.settled": 20.0, UTILISATION: 0.5, "latency.pay.mean": 0.040, "latency.pay.p50": 0.030,
    "latency.pay.p95": 0.08, "latency.pay.p99": 0.12, "availability.success": 1.0, "availability.time": 1.0,
    "in_doubt.max": 0.1, "recovery.time": math.nan,
}  # fmt: skip


def run(**changed: float) -> Measured:
    return Measured(GOOD | {name.replace("__", "."): value for name, value in changed.items()})


def row_of(rows: list[Row], name: str) -> Row:
    return next(row for row in rows if row.metric.name == name)


def test_a_perfect_twin_meets_every_target() -> None:
    rows = scorecard("same", [run(), run()], [run(), run()])
    assert verdict_of(rows) == "pass"
    assert {row.verdict for row in rows} == {Verdict.MET, Verdict.SHOWN}
    assert "recovery.time" not in {row.metric.name for row in rows}  # nothing failed, nothing recovered


def test_errors_are_taken_seed_by_seed() -> None:
    real = [run(latency__pay__mean=0.040), run(latency__pay__mean=0.080)]
    model = [run(latency__pay__mean=0.044), run(latency__pay__mean=0.088)]
    row = row_of(scorecard("slow", real, model), "latency.pay.mean")
    assert row.error is not None
    assert row.error.value == pytest.approx(0.10)
    assert row.error.half_width == pytest.approx(0.0, abs=1e-9)  # the worlds share their luck
    assert row.real is not None
    assert row.real.half_width > 0.1
    assert row.verdict is Verdict.MISSED


def test_a_miss_of_a_point_of_availability_is_a_miss() -> None:
    rows = scorecard("down", [run(availability__success=0.95)], [run(availability__success=0.97)])
    row = row_of(rows, "availability.success")
    assert row.verdict is Verdict.MISSED
    assert report.line(row).error == "+2.0 pt"
    assert verdict_of(rows) == "fail"


def test_above_eighty_percent_of_the_machine_errors_are_only_shown() -> None:
    rows = scorecard("full", [run(utilisation=0.9)], [run(utilisation=0.9, latency__pay__p99=1.0)])
    assert {row.verdict for row in rows} == {Verdict.SHOWN}
    assert verdict_of(rows) == "pass"


def test_what_strangers_on_the_machine_disturbed_gets_no_verdict() -> None:
    busy = Measured({**GOOD, "latency.pay.mean": 4.0}, others_cores=1.2)
    rows = scorecard("busy", [busy], [run()])
    assert {row.verdict for row in rows} == {Verdict.DISTURBED, Verdict.SHOWN}
    assert verdict_of(rows) == "invalid"


def test_what_has_a_target_and_was_not_measured_is_no_success() -> None:
    rows = scorecard("silent", [run(latency__pay__p99=math.nan)], [run()])
    assert row_of(rows, "latency.pay.p99").verdict is Verdict.UNKNOWN
    assert verdict_of(rows) == "invalid"


def test_the_report_shows_every_row_and_plots_latencies() -> None:
    rows = scorecard("slow-bank", [run(), run()], [run(latency__pay__p99=0.2), run(latency__pay__p99=0.2)])
    page = report.page(Twin("processes", "mine.json", [1, 2], rows))
    assert page.count("<svg") == 1
    assert "slow-bank" in page
    assert "+66.7 %" in page
    assert all(metric.name in page for metric in METRICS if metric.name != "recovery.time")


def test_held_out_scenarios_are_unlike_what_calibration_plays() -> None:
    scenarios = {scenario.name: scenario for scenario in held_out()}
    assert sum(bool(scenario.faults) for scenario in scenarios.values()) >= 2
    assert any(scenario.platform.replicas for scenario in scenarios.values())
    assert any("channel.latency_ms" in scenario.platform.settings for scenario in scenarios.values())


def test_containers_hold_one_service_each_so_the_model_is_played_apart_too() -> None:
    assert {scenario.platform.topology for scenario in held_out(world="compose")} == {"split"}
    assert {scenario.platform.topology for scenario in held_out()} == {DEFAULT_TOPOLOGY}
