"""The least loaded replica gets the call; failing ones are left alone, but never all of them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from settlement.policies.balancer import LeastLoaded
from settlement.policies.outlier import OutlierEjection


def test_a_slow_replica_gets_fewer_calls() -> None:
    balancer = LeastLoaded()
    balancer.started("slow")  # and it never ends
    picked = []
    for _ in range(10):
        address = balancer.pick(["slow", "quick"])
        balancer.started(address)
        picked.append(address)
        if address == "quick":
            balancer.ended(address)
    assert picked == ["quick"] * 10


def test_equals_take_turns() -> None:
    balancer = LeastLoaded()
    assert [balancer.pick(["a", "b", "c"]) for _ in range(6)] == ["a", "b", "c", "a", "b", "c"]


def test_there_must_be_somebody_to_pick() -> None:
    with pytest.raises(ValueError, match="no address"):
        LeastLoaded().pick([])


@given(st.lists(st.sampled_from("abc"), max_size=60))
def test_the_pick_is_never_more_loaded_than_another(calls: list[str]) -> None:
    balancer = LeastLoaded()
    for address in calls:
        balancer.started(address)
    picked = balancer.pick(["a", "b", "c"])
    assert balancer.in_flight(picked) == min(calls.count(address) for address in "abc")


def test_a_replica_that_keeps_failing_is_left_alone_for_a_while() -> None:
    outliers = OutlierEjection(failures_to_eject=3, ejection_base_ms=1_000)
    for _ in range(3):
        assert outliers.allowed(["bad", "good"], 0) == ["bad", "good"]
        outliers.failed("bad", 0)
    assert outliers.allowed(["bad", "good"], 999) == ["good"]
    assert outliers.allowed(["bad", "good"], 1_000) == ["bad", "good"]


def test_a_repeated_ejection_lasts_longer() -> None:
    outliers = OutlierEjection(failures_to_eject=1, ejection_base_ms=100, ejection_max_ms=300)
    lengths_ms, now_ms = [], 0.0
    for _ in range(4):
        outliers.failed("bad", now_ms)
        began_ms = now_ms
        while outliers.allowed(["bad", "good"], now_ms) == ["good"]:
            now_ms += 10
        lengths_ms.append(now_ms - began_ms)
    assert lengths_ms == [100, 200, 300, 300]


def test_one_answer_clears_the_record() -> None:
    outliers = OutlierEjection(failures_to_eject=2)
    outliers.failed("a", 0)
    outliers.succeeded("a")
    outliers.failed("a", 0)
    assert outliers.allowed(["a", "b"], 0) == ["a", "b"]


@given(st.lists(st.tuples(st.sampled_from("abcde"), st.booleans()), max_size=100), st.integers(1, 5))
def test_at_most_half_are_ejected(outcomes: list[tuple[str, bool]], count: int) -> None:
    outliers = OutlierEjection(failures_to_eject=1)
    addresses = list("abcde"[:count])
    for address, ok in outcomes:
        if ok:
            outliers.succeeded(address)
        else:
            outliers.failed(address, 0)
    assert len(outliers.allowed(addresses, 1)) >= count - count // 2


def test_who_refuses_a_connection_is_left_alone_at_once_however_many_do() -> None:
    outliers, addresses = OutlierEjection(ejection_base_ms=1_000), list("abcd")
    for address in "abc":
        outliers.failed(address, 0, refused=True)
    assert outliers.allowed(addresses, 999) == ["d"]
    assert outliers.allowed(addresses, 1_000) == addresses, "tried again after a while"
    outliers.failed("d", 1_000)
    outliers.failed("a", 1_000, refused=True)
    assert outliers.allowed(addresses, 1_001) == ["b", "c", "d"], "one failure that may be chance ejects nobody"


@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from(["ok", "failed", "refused"])), max_size=60))
def test_somebody_is_always_left_to_call(outcomes: list[tuple[str, str]]) -> None:
    outliers = OutlierEjection(failures_to_eject=1)
    for address, outcome in outcomes:
        if outcome == "ok":
            outliers.succeeded(address)
        else:
            outliers.failed(address, 0, refused=outcome == "refused")
        assert outliers.allowed(["a", "b", "c"], 1)
