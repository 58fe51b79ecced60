"""The screen's recursion against Erlang's formulas, and its order."""

import math

import numpy as np
import pytest

from simulator.capacity.dispatch import waits
from simulator.capacity.screening import Screen
from tests.simulator.capacity.examples import QUICK, row, table


def erlang_c(servers: int, offered: float) -> float:
    """The probability of having to wait in M/M/c."""
    top = offered**servers / math.factorial(servers) * servers / (servers - offered)
    return top / (sum(offered**n / math.factorial(n) for n in range(servers)) + top)


def test_one_replica_is_m_m_1():
    found = waits(80, 0.01, 1.0, servers=1, customers=400_000, seed=3)
    assert found.mean() == pytest.approx(0.8 * 0.01 / 0.2, rel=0.05)


def test_constant_work_is_m_d_1():
    found = waits(80, 0.01, 0.0, servers=1, customers=400_000, seed=3)
    assert found.mean() == pytest.approx(0.8 * 0.01 / 0.2 / 2, rel=0.05)


def test_several_replicas_lie_between_one_queue_and_separate_ones():
    common_s = erlang_c(4, 3.2) * 0.01 / (4 - 3.2)
    separate_s = 0.8 * 0.01 / 0.2
    seeing, blind = (waits(320, 0.01, 1.0, 4, sources, 200_000, seed=3).mean() for sources in (1, 1000))
    assert common_s < seeing < blind < separate_s
    assert seeing < 1.5 * common_s  # join the shortest queue is nearly as good as one queue


def test_a_load_that_cannot_be_borne():
    with pytest.raises(ValueError, match="cannot bear"):
        waits(200, 0.01, 1.0, servers=2)


def test_more_replicas_or_less_load_never_look_worse():
    screen = Screen(table(row("order", 0.008, visits=3), row("gateway", 0.005)), 1.0, QUICK, seed=1)
    by_replicas = [screen.p99_s({"order": count, "gateway": 2}, 150) for count in (2, 3, 4, 5)]
    assert by_replicas == sorted(by_replicas, reverse=True)
    by_rate = [screen.p99_s({"order": 2, "gateway": 2}, rate) for rate in (10, 100, 200, 240, 250)]
    assert by_rate == sorted(by_rate)
    assert by_rate[-1] == math.inf


def test_without_load_it_is_what_the_pilot_saw():
    screen = Screen(table(row("order", 0.008), unloaded_s=0.02), 1.0, QUICK, seed=1)
    assert screen.p99_s({"order": 4}, 0.001) == pytest.approx(0.02)
    screen.learn({"order": 4}, 0.001, 0.03)
    assert screen.p99_s({"order": 4}, 0.001) == pytest.approx(0.03)


def test_idle_work_makes_busy():
    screen = Screen(table(row("order", 0.01, idle_cores=0.2)), 0.5, QUICK, seed=1)
    assert screen.utilisation("order", 2, 40) == pytest.approx((40 * 0.01 / 2 + 0.2) / 0.5)
    assert screen.available(screen.table["order"]) == pytest.approx(0.3)


def test_the_same_luck_for_all():
    assert np.array_equal(waits(80, 0.01, 1.0, 2, seed=5), waits(80, 0.01, 1.0, 2, seed=5))
