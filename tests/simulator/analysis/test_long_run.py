"""One long run until the interval of its batch means is narrow enough, and no sooner than it can be believed."""

import numpy as np
import pytest

from simulator.analysis import long_run
from simulator.formulas import mmc_wait
from simulator.screening import waits


def _mm1(seed, load=0.7, count=2_000_000):
    random = np.random.default_rng(seed)
    return waits(random.exponential(1 / load, count), random.exponential(1.0, count), 1)


def test_it_ends_when_the_interval_is_narrow_enough_and_the_interval_is_honest():
    found = [long_run(_mm1(seed), relative=0.05) for seed in range(1, 41)]
    assert all(each.reached for each in found)
    assert all(each.estimate.relative <= 0.05 for each in found)
    assert np.mean([each.estimate.covers(mmc_wait(0.7, 1)) for each in found]) >= 0.85


def test_more_precision_takes_a_longer_run():
    loose, tight = (long_run(_mm1(1), relative=width) for width in (0.1, 0.02))
    assert loose.observations < tight.observations
    assert tight.estimate.half_width < loose.estimate.half_width


def test_a_run_that_is_over_too_soon_says_so():
    assert not long_run(_mm1(1, count=4_000), relative=0.01).reached
    assert not long_run(_mm1(1), relative=0.01, at_most=8_000).reached
    with pytest.raises(ValueError, match="too few"):
        long_run([1.0] * 30)


def test_a_narrow_interval_of_correlated_batches_is_not_believed():
    """A slow wave: within 2,000 observations it looks like a level of its own."""
    wave = 10 + np.sin(np.arange(4_000) / 600) + np.random.default_rng(1).normal(0, 0.01, 4_000)
    assert not long_run(wave, relative=0.1).reached


def test_the_warm_up_is_cut_once():
    random = np.random.default_rng(5)
    falling = 100 * np.exp(-np.arange(50_000) / 100) + random.normal(5, 1, 50_000)
    found = long_run(falling, relative=0.01)
    assert found.reached
    assert found.cut >= 300
    assert found.estimate.value == pytest.approx(5.0, rel=0.02)
