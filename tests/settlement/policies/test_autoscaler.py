"""The autoscaler: Kubernetes' own examples, and what holds for every sequence of measurements."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from settlement.policies.autoscaler import Autoscaler, Scaling, desired_replicas, scale_up_limit


@pytest.mark.parametrize(
    ("current", "metric", "target", "expected"),
    [
        (2, 200, 100, 4),  # "if the current metric value is 200m, and the desired value is 100m, ... doubled"
        (2, 50, 100, 1),  # "if the current value is instead 50m, you'll halve the number"
        (3, 0.95, 1.0, 3),  # within the tolerance of 0.1
        (3, 1.1, 1.0, 3),
        (3, 1.11, 1.0, 4),
        (5, 0.89, 1.0, 5),  # ceil(4.45)
        (10, 0.5, 0.6, 9),
        (1, 0.3, 0.1, 3),
        (4, 0.0, 0.6, 0),
    ],
)
def test_known_answers(current, metric, target, expected):
    assert desired_replicas(current, metric, target, tolerance=0.1) == expected


@pytest.mark.parametrize(("current", "most"), [(1, 5), (3, 7), (4, 8), (5, 10), (50, 100)])
def test_a_period_adds_four_or_doubles(current, most):
    assert scale_up_limit(current) == most
    assert Autoscaler(Scaling(0.1, replicas_max=1_000)).recommend(current, 100.0, 0.0) == most


def test_down_goes_to_the_most_of_the_last_five_minutes():
    scaler = Autoscaler(Scaling(target=0.5))
    assert scaler.recommend(8, 0.5, 0.0) == 8
    assert scaler.recommend(8, 0.25, 15.0) == 8, "eight were asked for a moment ago"
    assert scaler.recommend(8, 0.3, 299.0) == 8
    assert scaler.recommend(8, 0.25, 301.0) == 5, "0.3 of 8 asked for five, within the window"
    assert scaler.recommend(5, 0.1, 700.0) == 1


def test_a_fleet_that_lost_its_replicas_gets_the_least_at_once():
    assert Autoscaler(Scaling(0.5, replicas_min=3)).recommend(0, 0.0, 0.0) == 3


def test_impossible_wishes_are_all_named():
    with pytest.raises(ValueError, match=r"target.*period_s.*replicas_min.*replicas_max.*tolerance.*stabilisation_s"):
        Scaling(0, replicas_min=0, replicas_max=-1, tolerance=-1, period_s=0, stabilisation_s=-1)


measurements = st.lists(st.floats(0, 3), min_size=1, max_size=60)


@given(measurements, st.integers(1, 5), st.integers(0, 20))
def test_whatever_is_measured_the_limits_hold(measured, least, more):
    scaler, current = Autoscaler(Scaling(0.6, replicas_min=least, replicas_max=least + more)), least
    for number, metric in enumerate(measured):
        wanted = scaler.recommend(current, metric, 15.0 * number)
        assert least <= wanted <= least + more
        assert wanted <= scale_up_limit(current)
        if abs(metric / 0.6 - 1) <= 0.1:
            assert wanted == current
        if metric < 0.6:
            assert wanted <= current
        else:
            assert wanted >= current
        current = wanted


@given(st.integers(1, 20), st.floats(0.05, 0.95), st.floats(0.1, 20))
def test_a_constant_load_settles_where_the_target_is_met(start, target, load):
    """`load` cores of work in all: enough replicas in the end, and not one too many."""
    scaler, current = Autoscaler(Scaling(target, replicas_max=1_000)), start
    for number in range(60):
        current = scaler.recommend(current, load / current, 15.0 * number)
    assert load / current <= target * 1.1 + 1e-9
    assert current == 1 or load / (current - 1) > target * 0.9 - 1e-9
