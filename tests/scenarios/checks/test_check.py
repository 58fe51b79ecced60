"""The verdict of a run: what is always judged, how many judgements become one, what a broken check says."""

import json

import pytest

from scenarios.checks import NAMED, Verdict, check
from scenarios.checks.result import EVIDENCE_ROWS_MAX, CheckResult, Outcome, overall
from scenarios.expectations import ExpectationError
from scenarios.history import History, history_sha256
from scenarios.thresholds import parse

from .histories import Row, ordinary


def result(verdict: Outcome) -> CheckResult:
    return CheckResult("a check", verdict, 1.0, "count", "", "It is so.")


def test_a_correct_run_passes():
    history = ordinary().build()
    verdict = check(history, [*NAMED, "latency.pay.p99 < 1s", parse("in_doubt.max < 1s")])
    assert verdict.verdict is Outcome.PASS
    assert [found.name for found in verdict.checks][-1] == "generator_honest"
    assert (verdict.scenario, verdict.world, verdict.seed) == ("hand-written", "simulated", 7)
    assert verdict.question == "Does it hold?"
    assert verdict.history_sha256 == history_sha256(history)


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        ("", "unknown"),
        ("pass pass", "pass"),
        ("pass fail unknown", "fail"),
        ("pass unknown", "unknown"),
        ("fail unknown invalid", "invalid"),
    ],
)
def test_the_gravest_check_decides(found: str, expected: str):
    assert overall([result(Outcome(word)) for word in found.split()]) == expected


@pytest.mark.parametrize(
    "change",
    [{"dropped": 2}, {"lag_p99_s": 0.6}, {"cpu_s_per_s": 0.95}, {"workers_lost": 1}],
)
def test_a_dishonest_generator_makes_the_run_invalid(change: Row):
    verdict = check(ordinary().change("generator", lambda row: True, **change).build(), ["atomic"])
    assert verdict.verdict is Outcome.INVALID
    assert verdict.checks[0].verdict is Outcome.PASS
    assert verdict.checks[-1].evidence


def test_one_percent_of_dropped_arrivals_is_borne():
    verdict = check(ordinary().change("generator", lambda row: True, dropped=1).build(), ["atomic"])
    assert verdict.verdict is Outcome.PASS


def test_a_run_without_a_record_of_its_generator_is_unknown():
    assert check(ordinary().drop("generator", lambda row: True).build(), ["atomic"]).verdict is Outcome.UNKNOWN


@pytest.mark.parametrize("change", [{"hits": 0}, {"started_s": float("nan"), "ended_s": float("nan")}])
def test_a_fault_that_never_hit_proves_nothing(change: Row):
    verdict = check(ordinary().fault().change("faults", lambda row: True, **change).build(), ["atomic"])
    assert verdict.verdict is Outcome.UNKNOWN
    assert "say" in next(found.explanation for found in verdict.checks if found.name == "faults_happened")


def test_a_planned_fault_without_any_record_proves_nothing():
    verdict = check(ordinary().fault().drop("faults", lambda row: True).build(), ["atomic"])
    assert verdict.verdict is Outcome.UNKNOWN


def test_a_check_that_crashes_says_unknown_and_why(monkeypatch: pytest.MonkeyPatch):
    def broken(history: History) -> CheckResult:
        raise ZeroDivisionError("by nothing")

    monkeypatch.setitem(NAMED, "atomic", broken)
    verdict = check(ordinary().build(), ["atomic", "client_truth"])
    assert verdict.verdict is Outcome.UNKNOWN
    assert "ZeroDivisionError: by nothing" in verdict.checks[0].explanation
    assert verdict.checks[1].verdict is Outcome.PASS


def test_an_expectation_that_is_none_is_refused():
    with pytest.raises(ExpectationError):
        check(ordinary().build(), ["atomicity"])


def test_evidence_is_bounded_and_shows_every_broken_property():
    run = ordinary()
    for number in range(50):
        run.payment(f"x{number}", 10.0 + number / 10)
    run.drop("transactions", lambda row: row["role"] == "order" and row["event"] in ("vote", "applied"))
    run.change("transactions", lambda row: row["event"] == "closed", event="exhausted")
    found = check(run.build(), ["atomic"]).checks[0]
    assert len(found.evidence) <= EVIDENCE_ROWS_MAX
    assert {row["property"].split()[0] for row in found.evidence} == {"AC3", "AC5"}
    assert found.value == 56 + 57


def test_a_verdict_survives_json():
    run = ordinary().fault(at_s=1.0, until_s=2.0).change("payments", lambda row: row["key"] == "a-pay", outcome="fail")
    verdict = check(run.build(), [*NAMED, "recovery.time < 1s"])
    text = json.dumps(verdict.to_dict(), allow_nan=False)
    assert Verdict.from_dict(json.loads(text)) == verdict
