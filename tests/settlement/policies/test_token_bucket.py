"""A token bucket admits its burst at once and its rate for ever, and says truthfully when to come back."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from settlement.policies.token_bucket import HAIR, Taken, TokenBucket, TokenBuckets

EPOCH_MS = 1_700_000_000_000


def test_burst_first_then_the_rate() -> None:
    bucket = TokenBucket(rate_per_s=2, burst=3)
    assert [bucket.take(EPOCH_MS) for _ in range(4)] == [
        Taken(True, 2, 0, 500),
        Taken(True, 1, 0, 1_000),
        Taken(True, 0, 0, 1_500),
        Taken(False, 0, 500, 1_500),
    ]
    assert not bucket.take(EPOCH_MS + 499).allowed
    assert bucket.take(EPOCH_MS + 500) == Taken(True, 0, 0, 1_500)


def test_a_refusal_takes_nothing() -> None:
    bucket = TokenBucket(rate_per_s=1, burst=10)
    assert bucket.take(0, cost=6).allowed
    assert bucket.take(0, cost=6) == Taken(False, 4, 2_000, 6_000)
    assert bucket.take(0, cost=4).allowed


def test_rest_fills_the_bucket_and_never_more() -> None:
    bucket = TokenBucket(rate_per_s=5, burst=2)
    assert bucket.take(0).allowed
    assert [bucket.take(3_600_000).allowed for _ in range(3)] == [True, True, False]


def test_a_clock_that_steps_back_gives_nothing_away() -> None:
    bucket = TokenBucket(rate_per_s=1, burst=1)
    assert bucket.take(10_000).allowed
    assert bucket.take(5_000) == Taken(False, 0, 6_000, 6_000)
    assert not bucket.take(10_999).allowed
    assert bucket.take(11_000).allowed


def test_new_values_act_at_once() -> None:
    bucket = TokenBucket(rate_per_s=1, burst=100)
    assert bucket.take(0).remaining == 99
    bucket.follow(rate_per_s=1, burst=2)
    assert bucket.take(0).remaining == 1


@pytest.mark.parametrize(("rate_per_s", "burst", "cost"), [(0, 1, 1), (-1, 1, 1), (1, 1, 2), (1, 0, 1), (1, 1, -1)])
def test_what_can_never_be_admitted_is_a_mistake(rate_per_s: float, burst: float, cost: float) -> None:
    with pytest.raises(ValueError, match="cost"):
        TokenBucket(rate_per_s, burst).take(0, cost)


def test_every_key_has_its_own_bucket_and_the_keys_are_bounded() -> None:
    buckets = TokenBuckets(keys_max=2)
    assert buckets.take("a", 0, rate_per_s=1, burst=1).allowed
    assert buckets.take("b", 0, rate_per_s=1, burst=1).allowed
    assert not buckets.take("a", 0, rate_per_s=1, burst=1).allowed
    assert buckets.take("c", 0, rate_per_s=1, burst=1).allowed
    assert len(buckets) == 2
    assert not buckets.take("a", 0, rate_per_s=1, burst=1).allowed, "b was used longest ago, and is forgotten"


RATES = st.floats(0.01, 10_000, allow_nan=False)
ARRIVALS = st.lists(st.tuples(st.integers(0, 5_000), st.floats(0.1, 3.0)), min_size=1, max_size=60)


@given(RATES, st.integers(3, 1_000), ARRIVALS)
def test_over_any_span_at_most_burst_and_rate_are_admitted(
    rate_per_s: float, burst: int, arrivals: list[tuple[int, float]]
) -> None:
    bucket = TokenBucket(rate_per_s, burst)
    now_ms, admitted = EPOCH_MS, []
    for pause_ms, cost in arrivals:
        now_ms += pause_ms
        if bucket.take(now_ms, cost).allowed:
            admitted.append((now_ms, cost))
    for first in range(len(admitted)):
        for last in range(first, len(admitted)):
            span_s = (admitted[last][0] - admitted[first][0]) / 1_000
            total = sum(cost for _, cost in admitted[first : last + 1])
            assert total <= burst + rate_per_s * span_s + 2 * HAIR


@given(RATES, st.integers(3, 1_000), ARRIVALS)
def test_whoever_waits_as_told_is_admitted_and_not_much_earlier(
    rate_per_s: float, burst: int, arrivals: list[tuple[int, float]]
) -> None:
    bucket = TokenBucket(rate_per_s, burst)
    now_ms = EPOCH_MS
    for pause_ms, cost in arrivals:
        now_ms += pause_ms
        taken = bucket.take(now_ms, cost)
        assert taken.allowed == (taken.retry_after_ms == 0)
        if not taken.allowed:
            if taken.retry_after_ms > 2:
                assert not bucket.take(now_ms + taken.retry_after_ms - 2, cost).allowed
            now_ms += taken.retry_after_ms
            assert bucket.take(now_ms, cost).allowed


# A machine that is up for 9 h 10 min: its clock reaches a power of two before the wait is over, and loses a digit.
BEFORE_2_TO_THE_25_MS = 33_003_196.425695997


@given(st.floats(0, 2e12))
@example(BEFORE_2_TO_THE_25_MS)
def test_how_long_to_wait_is_told_alike_whatever_the_clock_reads(now_ms: float) -> None:
    bucket = TokenBucket(rate_per_s=0.001, burst=4)
    assert bucket.take(now_ms, cost=4) == Taken(True, 0, 0, 4_000_000)
    assert bucket.take(now_ms) == Taken(False, 0, 1_000_000, 4_000_000)


@given(st.sampled_from([0, EPOCH_MS]), st.integers(1, 100_000), st.integers(1, 1_000))
@example(0, 13, 1)  # 1 / (1 / 13) is a hair more than 13
def test_a_wait_of_whole_milliseconds_is_told_to_the_millisecond(now_ms: int, token_ms: int, burst: int) -> None:
    bucket = TokenBucket(1_000 / token_ms, burst)
    assert bucket.take(now_ms, cost=burst).reset_ms == burst * token_ms
    assert bucket.take(now_ms).retry_after_ms == token_ms
    assert not bucket.take(now_ms + token_ms - 1).allowed
    assert bucket.take(now_ms + token_ms).allowed


@given(RATES, st.integers(1, 1_000), st.integers(0, 1_000))
def test_after_the_reset_the_whole_burst_is_there(rate_per_s: float, burst: int, taken_before: int) -> None:
    bucket = TokenBucket(rate_per_s, burst)
    reset_ms = 0
    for _ in range(taken_before):
        reset_ms = bucket.take(EPOCH_MS).reset_ms
    assert bucket.take(EPOCH_MS + reset_ms, cost=burst).allowed
