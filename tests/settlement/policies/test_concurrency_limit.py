"""Limits of what is in progress: exact when fixed, found when adaptive, and never a queue."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from settlement.policies.concurrency_limit import Aimd, Fixed, Gate, Gradient, Limit

CAPACITY = 20


def _latency_ms(in_progress: int) -> float:
    """A server that does 20 things at once in 50 ms each; more only wait for each other."""
    return 50.0 * max(1.0, in_progress / CAPACITY)


class Server:
    """A server behind a limit; its time goes on from load to load."""

    def __init__(self, limit: Limit) -> None:
        self._gate = Gate(limit)
        self._now_ms = 0.0

    def under_load(self, offered: int, spans: int, latency_ms: Callable[[int], float] = _latency_ms) -> list[int]:
        """Keep `offered` clients trying for that many latencies; what was in progress in each."""
        seen = []
        for _ in range(spans):
            entered = sum(self._gate.try_enter() for _ in range(offered))
            took_ms = latency_ms(entered)
            self._now_ms += took_ms
            seen.append(entered)
            for _ in range(entered):
                self._gate.leave(took_ms, self._now_ms)
            assert self._gate.in_progress == 0
        return seen


def test_a_fixed_limit_turns_away_exactly_what_is_too_much() -> None:
    gate = Gate(Fixed(2))
    assert [gate.try_enter() for _ in range(4)] == [True, True, False, False]
    assert (gate.in_progress, gate.turned_away) == (2, 2)
    gate.leave(5, 5)
    assert gate.try_enter()


def test_a_new_limit_acts_at_once_and_throws_nobody_out() -> None:
    gate = Gate(Fixed(3))
    assert all(gate.try_enter() for _ in range(3))
    gate.follow(Fixed(1))
    gate.leave(1, 1)
    gate.leave(1, 2)
    assert not gate.try_enter()
    gate.leave(1, 3)
    assert gate.try_enter()


def test_the_gradient_leaves_an_idle_server_alone() -> None:
    limit = Gradient(200)
    assert Server(limit).under_load(offered=10, spans=500) == [10] * 500
    assert limit.value == 200


def test_the_gradient_comes_down_when_the_latency_rises_and_back_when_it_falls() -> None:
    limit = Gradient(200)
    server = Server(limit)
    server.under_load(offered=15, spans=300)
    seen = server.under_load(offered=500, spans=100)
    assert seen[0] == 200
    assert max(seen[20:]) < 100, "the long-term latency is remembered"
    server.under_load(offered=500, spans=600, latency_ms=lambda _: 50.0)
    assert limit.value == 200


def test_aimd_keeps_the_latency_near_its_bound() -> None:
    server = Server(Aimd(400, lambda: 200.0))
    seen = server.under_load(offered=1_000, spans=2_000)
    settled = [_latency_ms(entered) for entered in seen[100:]]
    assert max(settled) <= 205
    assert sum(settled) / len(settled) > 130, "and uses most of what the bound allows"


def test_aimd_follows_a_new_bound_at_once() -> None:
    bound_ms = 200.0
    server = Server(Aimd(400, lambda: bound_ms))
    server.under_load(offered=1_000, spans=50)
    bound_ms = 100.0
    assert max(_latency_ms(entered) for entered in server.under_load(offered=1_000, spans=50)[5:]) <= 105


def test_aimd_does_not_take_somebody_else_s_slowness_for_its_own_crowd() -> None:
    limit = Aimd(200, lambda: 100.0, value_min=40)
    for number in range(100):
        limit.ended(latency_ms=5_000, in_progress=40, now_ms=10_000.0 * number)
    assert limit.value == 200
    limit.ended(latency_ms=5_000, in_progress=41, now_ms=2_000_000)
    assert limit.value == 40


def test_aimd_takes_a_crowd_of_late_ones_for_one_mishap() -> None:
    limit = Aimd(90, lambda: 100.0)
    for _ in range(90):
        limit.ended(latency_ms=500, in_progress=90, now_ms=1_000)
    assert limit.value == 60


TIMEOUT_MS = 2_000.0


def _finished_per_s(limit: Limit, offered_per_s: int, capacity_per_s: int, seconds: int) -> float:
    """A server that shares itself among all it has begun, and whose work is lost if it takes longer than a timeout."""
    gate, began_ms, left, finished = Gate(limit), list[float](), list[float](), 0
    for tick in range(seconds * 100):
        now_ms = tick * 10.0
        for _ in range(offered_per_s // 100):
            if gate.try_enter():
                began_ms.append(now_ms)
                left.append(1.0)
        share = capacity_per_s / 100 / max(1, len(left))
        left = [work - share for work in left]
        ended = [work <= 0 or now_ms - begun >= TIMEOUT_MS for work, begun in zip(left, began_ms, strict=True)]
        for work, begun, is_ended in zip(left, began_ms, ended, strict=True):
            if is_ended:
                gate.leave(now_ms - begun, now_ms)
                finished += work <= 0 and tick >= seconds * 50
        left = [work for work, is_ended in zip(left, ended, strict=True) if not is_ended]
        began_ms = [begun for begun, is_ended in zip(began_ms, ended, strict=True) if not is_ended]
    return finished / (seconds / 2)


def test_shedding_keeps_an_overloaded_server_at_work_that_would_else_finish_nothing() -> None:
    """Twice the capacity is offered, and what takes 2 s is thrown away: the shape of a metastable failure."""
    assert _finished_per_s(Fixed(100_000), offered_per_s=200, capacity_per_s=100, seconds=20) < 5
    shedding = Aimd(200, lambda: TIMEOUT_MS / 2)
    assert _finished_per_s(shedding, offered_per_s=200, capacity_per_s=100, seconds=20) > 95


@pytest.mark.parametrize("limit", [Gradient(50), Aimd(50, lambda: 10.0)])
@given(samples=st.lists(st.tuples(st.floats(0, 60_000), st.integers(1, 100), st.integers(0, 500)), max_size=100))
def test_whatever_happens_the_limit_stays_within_its_bounds(
    limit: Limit, samples: list[tuple[float, int, int]]
) -> None:
    now_ms = 0.0
    for latency_ms, in_progress, pause_ms in samples:
        now_ms += pause_ms
        limit.ended(latency_ms, in_progress, now_ms)
        assert 8 <= limit.value <= 50
