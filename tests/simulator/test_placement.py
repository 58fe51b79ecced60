"""On hosts of their own, services do not take each other's cores; a slower host does the same work in more time."""

from dataclasses import replace

import pytest

from simulator.model import Simulation, simulate
from simulator.placement import Placement
from simulator.recorder import named

APART = Placement(cores=1)


def _played(plan):
    simulation = Simulation(plan)
    simulation.begin()
    simulation.kernel.run(plan.duration_s)
    return simulation


def _written(simulation, table):
    return named({table: list(zip(*getattr(simulation.recorder, table), strict=True))})[table]


def _pay_mean_s(simulation):
    rows = [row for row in _written(simulation, "payments") if row["outcome"] == "ok"]
    return sum(row["ended_s"] - row["intended_s"] for row in rows) / len(rows)


def _busy_s(simulation, service):
    rows = [row for row in _written(simulation, "resources") if row["process"].startswith(service)]
    simulation.end()
    return sum(row["cpu_s_per_s"] for row in rows)


def _sampled(plan):
    simulation = Simulation(plan)
    simulation.run()
    return simulation


def test_what_shares_no_host_waits_less(platform):
    plan = platform(rate_per_s=55, journeys=("pay",))
    together, apart = _played(plan), _played(replace(plan, placement=APART))
    assert _pay_mean_s(apart) < 0.7 * _pay_mean_s(together)


def test_the_registry_hears_from_more_when_there_are_more(platform):
    def used(replicas):
        plan = platform(rate_per_s=1, load_s=10, rest_s=0, replicas=replicas)
        costs = replace(plan.calibration, idle_cpu={"configcenter": 0.1, "gateway": 0.1})
        table = simulate(replace(plan, calibration=costs))["resources"].groupby("process")["cpu_s_per_s"].mean()
        return table["configcenter-0"], table["gateway-0"]

    alone, more = used({}), used({"gateway": 3, "order": 2, "payment": 2})
    assert more[0] == pytest.approx(alone[0] * (1 + 4 / 14), rel=0.05)
    assert more[1] < 1.2 * alone[1]


def test_only_the_slower_service_works_longer(platform):
    plan = replace(platform(rate_per_s=5), placement=APART)
    slower = replace(plan, placement=Placement(cores=1, slower={"payment": 1.5}))
    usual, stretched = _sampled(plan), _sampled(slower)
    assert _busy_s(stretched, "payment") == pytest.approx(1.5 * _busy_s(usual, "payment"), rel=0.01)
    assert _busy_s(stretched, "order") == pytest.approx(_busy_s(usual, "order"), rel=0.01)


def test_half_a_core_works_half_as_fast_and_two_cores_not_faster_than_one(platform):
    assert Placement(cores=0.5).speed(("order",)) == 0.5
    assert Placement(cores=2).speed(("order",)) == 1.0


def test_impossible_speeds_are_all_named():
    with pytest.raises(ValueError, match=r"cores.*order.*payment"):
        Placement(cores=0, slower={"order": -1, "payment": 0})
    with pytest.raises(ValueError, match="hosts of their own"):
        Placement(slower={"order": 1.1})


def test_served_requests_are_counted_by_caller_and_route(platform):
    simulation = _played(platform(rate_per_s=2, journeys=("pay",)))
    orders = simulation.network.visits["client", "order", "POST /orders"]
    assert orders == len(simulation.recorder.payments)
    assert simulation.network.visits["order", "cart", "GET /internal/carts/{user_id}"] == orders
