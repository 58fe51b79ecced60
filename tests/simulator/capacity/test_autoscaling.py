"""The autoscaler against Kubernetes' documented algorithm, and what tuning does to cost and speed."""

import pytest

from simulator.capacity.autoscaling import Profile, best, scaled
from simulator.capacity.hpa import Autoscaler, Tuning
from tests.simulator.capacity.examples import row, table

TABLE = table(row("order", 0.008, visits=2), row("gateway", 0.005), unloaded_s=0.02)
STEP = Profile(((40.0, 120.0), (160.0, 300.0), (40.0, 480.0)))


@pytest.mark.parametrize(
    ("replicas", "utilisation", "wanted"),
    [
        (4, 0.50, 4),  # as wished
        (4, 0.54, 4),  # within the tolerance of 10 %
        (4, 0.60, 5),  # ceil(4 * 1.2)
        (4, 0.20, 2),  # ceil(4 * 0.4), no window
        (2, 1.00, 4),
        (6, 1.00, 12),  # at most double ...
        (1, 1.00, 2),
    ],
)
def test_one_decision(replicas: int, utilisation: float, wanted: int):
    assert Autoscaler(Tuning(0.5, stabilisation_s=0.0)).decide(15.0, replicas, utilisation) == wanted


def test_upwards_at_most_double_or_four_more():
    assert Autoscaler(Tuning(0.1, 0.0)).decide(15.0, 1, 1.0) == 5
    assert Autoscaler(Tuning(0.1, 0.0)).decide(15.0, 8, 1.0) == 16


def test_downwards_only_to_the_highest_of_the_window():
    scaler = Autoscaler(Tuning(0.5, stabilisation_s=60.0))
    assert scaler.decide(15.0, 4, 0.5) == 4
    assert [scaler.decide(now_s, 4, 0.25) for now_s in (30.0, 45.0, 60.0, 75.0)] == [4, 4, 4, 4]
    assert scaler.decide(90.0, 4, 0.25) == 2


def test_within_its_bounds():
    scaler = Autoscaler(Tuning(0.5, 0.0, replicas_min=2, replicas_max=6))
    assert scaler.decide(15.0, 5, 1.0) == 6
    assert scaler.decide(30.0, 6, 0.0) == 2


def test_a_lower_target_costs_more_and_is_quicker():
    low, high = (scaled(STEP, TABLE, Tuning(target), 0.1, 10.0, seed=1) for target in (0.4, 0.9))
    assert low.replica_hours > high.replica_hours
    assert low.slow < high.slow


def test_a_longer_memory_costs_more():
    short, long = (scaled(STEP, TABLE, Tuning(0.6, window_s), 0.1, 10.0, seed=1) for window_s in (0.0, 300.0))
    assert short.replica_hours < long.replica_hours


def test_nothing_changes_under_a_steady_load():
    found = scaled(Profile(((100.0, 300.0),)), TABLE, Tuning(0.5), 0.1, 10.0, seed=1)
    assert found.changes == 0
    assert set(found.replicas) == {3}  # 100/s of 8 ms and of 5 ms at half a core each: 2 and 1
    assert found.replica_hours == pytest.approx(3 * 300 / 3600)


def test_the_best_is_the_cheapest_that_is_quick_enough():
    found = [scaled(STEP, TABLE, Tuning(target), 0.1, 10.0, seed=1) for target in (0.3, 0.5, 0.9)]
    chosen = best(found, slow_max=found[1].slow)
    assert chosen == found[1]
    assert best(found, slow_max=-1.0) is None


def test_a_wave_rises_and_falls():
    wave = Profile.wave(200.0)
    rates = [rate for rate, _ in wave.stages]
    assert max(rates) == 200
    assert rates[0] == rates[-1] == 50
    assert wave.payments == pytest.approx(sum(rate * for_s for rate, for_s in wave.stages))
