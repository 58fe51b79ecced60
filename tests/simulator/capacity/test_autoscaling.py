"""What the tuning of the autoscaler does to cost and speed."""

import pytest

from settlement.policies.autoscaler import Scaling
from simulator.capacity.autoscaling import Profile, best, scaled
from tests.simulator.capacity.examples import row, table

TABLE = table(row("order", 0.008, visits=2), row("gateway", 0.005), unloaded_s=0.02)
STEP = Profile(((40.0, 120.0), (160.0, 300.0), (40.0, 480.0)))


def scaling(target: float, stabilisation_s: float = 300.0) -> Scaling:
    return Scaling(target, replicas_max=64, stabilisation_s=stabilisation_s)


def test_a_lower_target_costs_more_and_is_quicker():
    low, high = (scaled(STEP, TABLE, scaling(target), 0.1, 10.0, seed=1) for target in (0.4, 0.9))
    assert low.replica_hours > high.replica_hours
    assert low.slow < high.slow


def test_a_longer_memory_costs_more():
    short, long = (scaled(STEP, TABLE, scaling(0.6, window_s), 0.1, 10.0, seed=1) for window_s in (0.0, 300.0))
    assert short.replica_hours < long.replica_hours


def test_nothing_changes_under_a_steady_load():
    found = scaled(Profile(((100.0, 300.0),)), TABLE, scaling(0.5), 0.1, 10.0, seed=1)
    assert found.changes == 0
    assert set(found.replicas) == {3}  # 100/s of 8 ms and of 5 ms at half a core each: 2 and 1
    assert found.replica_hours == pytest.approx(3 * 300 / 3600)


def test_the_best_is_the_cheapest_that_is_quick_enough():
    found = [scaled(STEP, TABLE, scaling(target), 0.1, 10.0, seed=1) for target in (0.3, 0.5, 0.9)]
    chosen = best(found, slow_max=found[1].slow)
    assert chosen == found[1]
    assert best(found, slow_max=-1.0) is None


def test_a_wave_rises_and_falls():
    wave = Profile.wave(200.0)
    rates = [rate for rate, _ in wave.stages]
    assert max(rates) == 200
    assert rates[0] == rates[-1] == 50
    assert wave.payments == pytest.approx(sum(rate * for_s for rate, for_s in wave.stages))
