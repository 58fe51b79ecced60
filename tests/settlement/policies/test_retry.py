"""Retries stay within their budget, and back off."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from settlement.policies.retry import RetryBudget, backoff_ms, pause_ms, retry_after_ms_of


def test_retries_are_at_most_a_tenth_of_the_calls_and_the_reserve() -> None:
    budget = RetryBudget(share=0.1, reserve=10)
    retries = 0
    for _ in range(1_000):
        budget.call_made()
        retries += budget.try_withdraw()
    assert 100 <= retries <= 110


def test_a_share_of_zero_allows_no_retry() -> None:
    budget = RetryBudget(share=0.0)
    budget.call_made()
    assert not budget.try_withdraw()


def test_an_idle_client_does_not_save_up_a_storm() -> None:
    budget = RetryBudget(share=1.0, reserve=3)
    for _ in range(1_000):
        budget.call_made()
    assert [budget.try_withdraw() for _ in range(4)] == [True, True, True, False]


@pytest.mark.parametrize(("attempt", "ceiling_ms"), [(1, 10), (2, 20), (3, 40), (10, 250), (10_000, 250)])
def test_the_backoff_doubles_up_to_its_maximum(attempt: int, ceiling_ms: float) -> None:
    assert backoff_ms(attempt, 10, 250, 0.999999) == pytest.approx(ceiling_ms, rel=1e-3)


@given(st.integers(1, 100), st.floats(0, 1, exclude_max=True))
def test_the_backoff_spreads_over_the_whole_range(attempt: int, chance: float) -> None:
    assert 0 <= backoff_ms(attempt, 10, 250, chance) < 250


def test_a_first_attempt_has_no_backoff() -> None:
    with pytest.raises(ValueError, match="not a retry"):
        backoff_ms(0, 10, 250, 0.5)


@given(st.integers(1, 20), st.floats(0, 1, exclude_max=True), st.integers(0, 60_000))
def test_nobody_comes_back_earlier_than_asked(attempt: int, chance: float, retry_after_ms: int) -> None:
    pause = pause_ms(attempt, 10, 250, chance, retry_after_ms)
    assert retry_after_ms <= pause <= retry_after_ms + 250
    assert pause_ms(attempt, 10, 250, chance) == backoff_ms(attempt, 10, 250, chance)


@pytest.mark.parametrize(
    ("value", "after_ms"),
    [("0", 0), ("2", 2_000), (None, None), ("", None), ("-1", None), ("1.5", None), ("soon", None), ("9" * 10, None)],
)
def test_what_a_retry_after_header_means(value: str | None, after_ms: float | None) -> None:
    assert retry_after_ms_of(value) == after_ms
