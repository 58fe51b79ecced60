"""Operational laws against systems that can be solved by hand."""

import math

import pytest

from simulator.capacity import availability, laws


def machine_repair(customers: int, repair_s: float, run_s: float) -> tuple[float, float]:
    """M/M/1//N, exact: throughput and response time (Kleinrock, "Queueing Systems" I, 3.8)."""
    weights = [math.perm(customers, broken) * (repair_s / run_s) ** broken for broken in range(customers + 1)]
    throughput = (1 - weights[0] / sum(weights)) / repair_s
    return throughput, customers / throughput - run_s


@pytest.mark.parametrize("customers", range(1, 41, 3))
def test_the_asymptotes_hold_for_the_machine_repair_model(customers: int):
    found = laws.bounds({"repair": 0.1}, {"repair": 1}, think_s=1.0)
    throughput, response_s = machine_repair(customers, 0.1, 1.0)
    assert throughput <= found.throughput_per_s_max(customers) * (1 + 1e-9)
    assert response_s >= found.response_s_min(customers) * (1 - 1e-9)


def test_the_asymptotes_are_met_far_from_the_knee():
    found = laws.bounds({"repair": 0.1}, {"repair": 1}, think_s=1.0)
    assert found.knee == pytest.approx(11)
    assert machine_repair(1, 0.1, 1.0)[0] == pytest.approx(found.throughput_per_s_max(1))
    assert machine_repair(40, 0.1, 1.0)[0] == pytest.approx(found.throughput_per_s_max(40))


def test_replicas_move_the_bottleneck():
    demands_s = {"gateway": 0.005, "order": 0.008}
    alone, helped = (
        laws.bounds(demands_s, {"gateway": 1, "order": 1}),
        laws.bounds(demands_s, {"gateway": 1, "order": 2}),
    )
    assert (alone.bottleneck, alone.capacity_per_s) == ("order", pytest.approx(125))
    assert (helped.bottleneck, helped.capacity_per_s) == ("gateway", pytest.approx(200))
    assert alone.knee == pytest.approx(0.013 * 125)


def test_nobody_is_bound_by_nothing():
    with pytest.raises(ValueError, match="nobody has any demand"):
        laws.bounds({"cart": 0.0}, {"cart": 1})


@pytest.mark.parametrize(("rate", "needed"), [(1, 1), (80, 1), (81, 2), (160, 2), (161, 3)])
def test_replicas_by_the_utilisation_law(rate: float, needed: int):
    assert laws.replicas_needed(rate, 0.01, 1.0, 0.8) == needed


def test_little():
    assert laws.customers_by_little(20, 0.5, think_s=1.5) == 40


def test_k_out_of_n():
    assert availability.of_process(3, 2, 0.9) == pytest.approx(0.9**3 + 3 * 0.9**2 * 0.1)
    assert availability.of_platform({"a": 2, "b": 1}, {"a": 1, "b": 1}, 0.9) == pytest.approx(0.99 * 0.9)
    assert availability.minutes_lost_per_year(0.999) == pytest.approx(526, abs=1)
