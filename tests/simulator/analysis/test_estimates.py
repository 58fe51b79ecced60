"""Intervals: they cover what they promise to cover, neither less nor much more."""

import math
import warnings

import numpy as np
import pytest

from simulator.analysis import batch_means, mean_of, paired, quantile_of


def _coverage(estimate_of, truth, trials=400):
    random = np.random.default_rng(4)
    return np.mean([estimate_of(random).covers(truth) for _ in range(trials)])


def test_a_95_percent_interval_of_a_mean_covers_95_percent_of_the_time():
    assert _coverage(lambda random: mean_of(random.normal(3, 1, 8)), 3.0) == pytest.approx(0.95, abs=0.03)


def test_an_interval_of_a_quantile_needs_no_shape():
    truth = -np.log(0.1)
    assert _coverage(lambda random: quantile_of(random.exponential(1, 300), 0.9), truth, 200) >= 0.93


def test_too_few_observations_for_a_high_quantile_have_an_open_end():
    assert quantile_of(np.arange(20.0), 0.99).high == np.inf


def test_batch_means_are_honest_about_correlation():
    """An autoregressive series: treating its values as independent covers far too seldom."""

    def series(random, count=4_000):
        noise, values, level = random.normal(0, 1, count), np.empty(count), 0.0
        for number in range(count):
            level = 0.9 * level + noise[number]
            values[number] = level
        return values

    assert _coverage(lambda random: batch_means(series(random)), 0.0, 100) >= 0.9
    assert _coverage(lambda random: mean_of(series(random)), 0.0, 100) < 0.6


def test_pairs_cancel_what_they_share():
    random = np.random.default_rng(1)
    luck = random.normal(0, 10, 12)
    ours, theirs = luck + 1.0 + random.normal(0, 0.1, 12), luck + random.normal(0, 0.1, 12)
    assert paired(ours, theirs).covers(1.0)
    assert paired(ours, theirs).differs_from_zero
    assert paired(ours, theirs).half_width < 0.05 * mean_of(ours).half_width


def test_what_cannot_be_estimated_is_refused():
    for broken in ([], [[1.0, 2.0]]):
        with pytest.raises(ValueError, match="at least one observation"):
            mean_of(broken)
    with pytest.raises(ValueError, match="cannot be paired"):
        paired([1.0], [1.0, 2.0])
    with pytest.raises(ValueError, match="too few"):
        batch_means([1.0] * 30)
    assert mean_of([2.0]).half_width == np.inf


def test_the_mean_with_a_percentile_of_nothing_is_infinite_its_interval_unknown_and_nobody_is_warned():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = mean_of([0.2, float("inf"), 0.3])
    assert found.value == float("inf")
    assert math.isnan(found.low)
    assert math.isnan(found.high)
