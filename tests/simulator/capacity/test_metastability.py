"""The map against its theory: a backlog shrinks only if load x (1 + budget) < 1."""

import pytest

from simulator.capacity.metastability import Bottleneck, Trouble, play, stays_down_by_theory

DESK = Bottleneck(replicas=2, service_s=0.02)
SHORT = Trouble(outage_s=6.0, timeout_s=0.5, before_s=5.0, watched_s=60.0)


@pytest.mark.parametrize("load", [0.4, 0.6, 0.8])
@pytest.mark.parametrize("budget", [0.0, 0.1, 1.0, 2.0])
def test_away_from_the_border_theory_is_right(load: float, budget: float):
    amplified = load * (1 + budget)
    if not 0.9 < amplified < 1.1:
        assert play(DESK, SHORT, load, budget, seed=1).recovers is not stays_down_by_theory(load, budget)


def test_before_the_outage_all_is_well_and_it_is_the_retries_that_keep_it_down():
    down = play(DESK, SHORT, 0.6, 1.0, seed=1)
    assert min(down.goodput[:4]) > 0.95
    assert max(down.goodput[-10:]) < 0.5
    assert down.amplification == pytest.approx(2.0, rel=0.05)
    assert play(DESK, SHORT, 0.6, 0.0, seed=1).amplification == 1.0


def test_a_higher_load_takes_longer():
    times_s = [play(DESK, SHORT, load, 0.1, seed=1).recovery_s for load in (0.3, 0.5, 0.7, 0.8)]
    assert times_s == sorted(times_s)
    # The backlog of the outage, load * outage, shrinks by 1 - load a second.
    assert play(DESK, SHORT, 0.5, 0.0, seed=1).recovery_s == pytest.approx(0.5 * 6 / 0.5, abs=2)


def test_shedding_ends_it():
    shedding = Trouble(**{**vars(SHORT), "shedding": True})
    assert play(DESK, shedding, 0.8, 2.0, seed=1).recovery_s <= 3


def test_without_an_outage_nothing_happens():
    calm = Trouble(**{**vars(SHORT), "outage_s": 0.0})
    assert play(DESK, calm, 0.7, 2.0, seed=1).recovery_s == 0


def test_the_same_seed_is_the_same_run():
    assert play(DESK, SHORT, 0.7, 0.5, seed=3) == play(DESK, SHORT, 0.7, 0.5, seed=3)
