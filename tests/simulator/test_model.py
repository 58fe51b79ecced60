"""Whole runs without faults: what clients see, what is written down, and that nothing is left to chance."""

from dataclasses import replace

import pandas as pd
import pytest

from settlement.topology import BACKOFFICE
from simulator.calibration import Assumed
from simulator.inputs import Arrival, Load, Stage
from simulator.model import Simulation, simulate
from simulator.placement import Placement


def _same(left, right):
    return all(left[name].equals(right[name]) for name in left)


def test_the_same_plan_gives_the_same_history(platform, fault):
    plan = platform(
        fault("latency", 2, 6, from_="payment", to="channel", delay_ms=300, jitter_ms=100, share=0.5),
        fault("kill", 3, 4, service="order", replica=0, restart_after_s=1.0),
    )
    assert _same(simulate(plan), simulate(plan))


def test_another_seed_gives_another_history(platform):
    plan = platform()
    assert not simulate(plan)["requests"].equals(simulate(replace(plan, seed=8))["requests"])


def test_a_calm_run_settles_everything(platform, assert_at_rest):
    tables = simulate(platform())
    assert_at_rest(tables)
    assert (tables["payments"].outcome == "ok").all()
    assert (tables["requests"].outcome == "ok").all()
    assert set(tables["orders"].status) == {"paid", "refunded"}
    assert set(tables["payments"].method) == {"card", "wallet", "balance"}


def test_a_decline_is_a_definite_failure_and_moves_nothing(platform, assert_at_rest):
    tables = simulate(platform(channel__decline_share=1.0))
    assert_at_rest(tables)
    by_method = tables["payments"].groupby("method").outcome.agg(set)
    assert by_method["card"] == by_method["wallet"] == {"fail"}
    assert by_method["balance"] == {"ok"}
    assert set(tables["charges"].state) == {"declined"}


def test_an_empty_purse_is_refused(platform, assert_at_rest):
    tables = simulate(platform(payment__opening_balance_minor=0))
    assert_at_rest(tables)
    poor = tables["payments"][tables["payments"].method == "balance"]
    assert set(poor.error) == {"insufficient_funds"}


def test_goods_that_are_sold_out_are_not_sold(platform, assert_at_rest):
    tables = simulate(platform(order__stock_per_goods=1))
    assert_at_rest(tables)
    assert "out_of_stock" in set(tables["payments"].error)
    assert (tables["stock"].available_units >= 0).all()


def test_two_clients_who_pay_one_order_charge_it_once(platform, assert_at_rest):
    """A client that gives up early and repeats meets its own first attempt, by key."""
    plan = platform(load=Load(timeout_s=0.012), journeys=("pay",))
    tables = simulate(plan)
    assert_at_rest(tables)
    attempts = tables["requests"].query("step == 'pay'").groupby("operation").size()
    assert (attempts > 1).any()
    assert (tables["charges"].groupby("out_trade_no").size() == 1).all()


def test_saturation_shows_a_knee(platform):
    """Two cores settle what two cores can: below the knee latency is flat, beyond it a queue grows."""

    def p50_s(rate_per_s):
        requests = simulate(platform(rate_per_s=rate_per_s, journeys=("pay",), rest_s=5))["requests"]
        paid = requests[requests.step == "pay"]
        return (paid.ended_s - paid.intended_s).median()

    assert p50_s(10) < 0.05
    assert p50_s(40) < 0.1
    assert p50_s(160) > 5 * p50_s(40)


def test_arrivals_that_find_nobody_wait_and_are_dropped_and_counted(platform):
    tables = simulate(platform(rate_per_s=100, load=Load(pool=2, timeout_s=0.2)))
    generator = tables["generator"].iloc[0]
    assert generator.dropped > 0
    assert generator.started + generator.dropped == generator.planned


def test_closed_users_do_one_thing_after_the_other(platform, assert_at_rest):
    load = Load(kind="closed", think_s=0.5, stages=(Stage(0, 4, 3), Stage(4, 8, 6)))

    def journeys(user):
        return (Arrival(n, 0.0, "pay", "card", user + 1, 1, f"u{user}-{n}") for n in range(100))

    plan = replace(platform(load=load), arrivals=(), user_journeys=journeys)
    tables = simulate(plan)
    assert_at_rest(tables)
    started = tables["payments"].started_s
    early, late = started.between(1, 4).sum(), started.between(5, 8).sum()
    assert late == pytest.approx(2 * early, rel=0.3)
    own = tables["payments"].assign(user=tables["payments"].operation.str.split("-").str[0]).sort_values("started_s")
    assert all(
        pd.Series(group.started_s.to_numpy()[1:]).ge(group.ended_s.to_numpy()[:-1]).all()
        for _, group in own.groupby("user")
    )


def test_a_merged_process_serves_all_its_services(platform, fault, assert_at_rest):
    tables = simulate(
        platform(fault("kill", 3, 4, service="usercenter", replica=0, restart_after_s=1.0), topology="merged")
    )
    assert_at_rest(tables)
    died = tables["services"].query("event == 'died'")
    assert set(died.service) == {"usercenter", "order"}


def test_a_payment_does_not_need_the_back_office(platform, fault, assert_at_rest):
    tables = simulate(platform(fault("kill", 1, 6, service="message", replica=0, restart_after_s=5.0)))
    assert_at_rest(tables)
    assert set(tables["services"].query("event == 'died'").service) == set(BACKOFFICE)
    assert "backoffice-0" in set(tables["resources"].process)
    assert set(tables["payments"].outcome) == {"ok"}


def test_a_client_works_before_and_between_its_requests(platform):
    plan = platform(rate_per_s=2, journeys=("browse",))
    costs = replace(plan.calibration, client_cpu_s=0.004, journey_cpu_s=0.01, assumed=Assumed(aside=0.75))
    tables = simulate(replace(plan, calibration=costs))
    requests = tables["requests"]
    firsts = requests[requests.step == "goods_list"]
    assert (firsts.started_s - firsts.intended_s).min() == pytest.approx(0.01), "it sets out"
    taken_s = (requests.ended_s - requests.started_s).min()
    assert 0.001 < taken_s < 0.003, "a quarter of its own work is within what it measures"
    ordered = requests.sort_values(["operation", "started_s"])
    rests_s = (ordered.started_s - ordered.ended_s.shift())[ordered.operation == ordered.operation.shift()]
    assert rests_s.min() == pytest.approx(0.003), "and three quarters between its requests"
    later = requests[requests.step != "goods_list"]
    assert (later.started_s == later.intended_s).all(), "which nobody is kept waiting by"
    used_s = len(requests) * 0.004 + len(firsts) * 0.01
    spent = tables["resources"].query("process == 'client'").cpu_s_per_s.sum()
    assert spent == pytest.approx(used_s, rel=0.05)


def test_the_lab_works_beside_a_platform_on_the_same_machine(platform):
    plan = platform(rate_per_s=2)
    costs = replace(plan.calibration, idle_cpu={"lab": 0.05, "client": 0.02})
    for placement, used in ((Placement(), {"lab": 0.05, "client": 0.02}), (Placement(cores=1), {"client": 0.02})):
        simulation = Simulation(replace(plan, arrivals=(), calibration=costs, placement=placement))
        tables = simulation.run()
        spent = tables["resources"].groupby("process").cpu_s_per_s.mean()
        assert spent[spent > 0].to_dict() == pytest.approx(used, rel=0.05)
