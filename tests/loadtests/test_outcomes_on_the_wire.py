"""What clients conclude when answers are lost, late or bad, and what they do about it."""

from pathlib import Path

import pytest

from tests.loadtests.playing import plan_of, play
from tests.loadtests.stub import Stub, serving

PATIENT_S = 1.2
"""A timeout that only silence reaches: stub and generator may stand still for a while where others use the machine."""


@pytest.mark.parametrize("reset", [True, False], ids=["reset", "silence"])
def test_a_lost_answer_is_unknown_and_repeated_with_the_same_key(tmp_path: Path, reset: bool) -> None:
    with serving(Stub(lose_replies=1, reset=reset)) as stub:
        played = play(plan_of(rate_per_s=5, timeout_s=3.0 if reset else PATIENT_S), stub, tmp_path)
    assert set(stub.attempts.values()) == {2}
    assert set(stub.executed) == {f"k{number}-pay" for number in range(5)}
    for number in range(5):
        attempts = [row for row in played.step("pay") if row["operation"] == f"k{number}"]
        assert [row["outcome"] for row in attempts] == ["unknown", "ok"]
        assert attempts[0]["error"] == ("reset" if reset else "timeout")
    assert {(row["outcome"], row["gid"]) for row in played.operations} == {
        ("ok", gid) for gid in stub.executed.values()
    }


def test_an_answer_that_breaks_off_before_its_body_says_nothing(tmp_path: Path) -> None:
    with serving(Stub(lose_replies=1, torn=True)) as stub:
        played = play(plan_of(rate_per_s=3), stub, tmp_path)
    attempts = [(row["status"], row["outcome"]) for row in played.step("pay")]
    assert sorted(attempts) == [(201, "ok")] * 3 + [(201, "unknown")] * 3
    assert [row["outcome"] for row in played.operations] == ["ok"] * 3


def test_an_operation_that_never_gets_an_answer_is_repeated_until_its_deadline_and_unknown(tmp_path: Path) -> None:
    with serving(Stub(lose_replies=1000)) as stub:
        played = play(plan_of(rate_per_s=3, timeout_s=PATIENT_S, deadline_s=2.5), stub, tmp_path)
    assert [row["outcome"] for row in played.operations] == ["unknown"] * 3
    assert min(stub.attempts.values()) >= 2
    for row in played.operations:
        assert row["ended_s"] - row["started_s"] >= 2.5 - 0.2  # how exactly it ends: see test_deadlines
        assert row["gid"] == ""


def test_processing_is_polled_until_it_is_done(tmp_path: Path) -> None:
    with serving(Stub(processing_polls=2)) as stub:
        played = play(plan_of(rate_per_s=3, journey="refund"), stub, tmp_path)
    assert [row["outcome"] for row in played.operations] == ["ok"] * 6
    assert len(played.step("poll")) == 12
    assert sorted(row["kind"] for row in played.operations) == ["pay"] * 3 + ["refund"] * 3


def test_a_decline_is_a_failure_and_ends_a_refund_journey(tmp_path: Path) -> None:
    with serving(Stub(decline=True)) as stub:
        played = play(plan_of(rate_per_s=3, journey="refund"), stub, tmp_path)
    assert [(row["kind"], row["outcome"], row["error"]) for row in played.operations] == [
        ("pay", "fail", "declined")
    ] * 3
    assert [row["status"] for row in played.step("pay")] == [402] * 3
    assert not stub.executed


def test_a_checkout_that_breaks_is_a_failed_payment_without_a_request_to_pay(tmp_path: Path) -> None:
    with serving(Stub(break_orders=True)) as stub:
        played = play(plan_of(rate_per_s=3), stub, tmp_path)
    assert [(row["outcome"], row["error"]) for row in played.operations] == [("fail", "order_create: broken")] * 3
    assert [row["outcome"] for row in played.step("order_create")] == ["unknown"] * 3, "a 500 tells nothing"
    assert not stub.attempts


def test_every_attempt_carries_its_own_trace(tmp_path: Path) -> None:
    with serving(Stub()) as stub:
        played = play(plan_of(rate_per_s=4), stub, tmp_path)
    sent = {header.split("-")[1] for header in stub.traceparents}
    assert sent == {row["trace_id"] for row in played.requests}
    assert len(sent) == 16
    assert {row["replica"] for row in played.requests} == {"stub-0"}


def test_a_session_that_is_about_to_end_is_renewed(tmp_path: Path) -> None:
    with serving(Stub(session_ms=1_000)) as stub:
        played = play(plan_of(rate_per_s=4, pool=2), stub, tmp_path)
    assert [row["outcome"] for row in played.operations] == ["ok"] * 4
    assert (stub.accounts, stub.log_ins) == (2, 2 + 4)
