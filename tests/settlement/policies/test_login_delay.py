"""Typos cost nothing, guessing costs ever more, and nobody waits for ever."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from settlement.policies.login_delay import delay_ms


def test_free_then_doubling_then_the_bound() -> None:
    waits_ms = [delay_ms(failures, free=3, base_ms=1_000, max_ms=10_000) for failures in range(9)]
    assert waits_ms == [0, 0, 0, 0, 1_000, 2_000, 4_000, 8_000, 10_000]


@given(st.integers(0, 10**9), st.integers(0, 100), st.integers(1, 10_000), st.integers(1, 10**7))
def test_more_failures_never_wait_less(failures: int, free: int, base_ms: int, max_ms: int) -> None:
    assert delay_ms(failures, free, base_ms, max_ms) <= delay_ms(failures + 1, free, base_ms, max_ms) <= max_ms
