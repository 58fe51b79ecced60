"""What happens to machines, their network, and the servers behind them; and replicas that come and go."""

from dataclasses import replace

import pytest

from settlement.policies.autoscaler import Scaling
from simulator.calibration import DEFAULT_ROUTE
from simulator.inputs import Autoscaling
from simulator.model import Simulation, simulate
from simulator.placement import Placement


def test_without_a_database_nothing_is_promised_and_afterwards_everything_is_settled(platform, fault, assert_at_rest):
    tables = simulate(platform(fault("outage", 2, 5, of="mariadb", restart_after_s=3)))
    assert_at_rest(tables)
    assert tables["faults"].target[0] == "mariadb"
    during = tables["requests"].query("2.1 < started_s and ended_s < 5")
    assert set(during.error) == {"database_unavailable"}
    assert (during.ended_s - during.started_s).max() < 0.5, "a database that is away is a prompt 503"
    assert (tables["requests"].query("started_s > 5.1 and journey == 'browse'").outcome == "ok").all()
    decided = tables["transactions"].query("event == 'decided'").at_s
    assert not decided.between(2.05, 5).any()


def test_without_a_broker_events_wait_and_payments_do_not(platform, fault, assert_at_rest):
    plan = platform(fault("outage", 2, 5, of="redis", restart_after_s=3))
    simulation = Simulation(plan)
    tables = simulation.run()
    assert_at_rest(tables)
    assert (tables["payments"].outcome == "ok").all()
    assert not simulation.databases.order.outbox
    events = tables["events"]
    assert not events.recorded_s.between(2.01, 4.99).any()
    decided = tables["transactions"].query("event == 'decided'").gid
    assert sorted(events[events.type.str.endswith("succeeded")].subject) == sorted(decided), "each once"


def test_a_dead_registry_is_not_missed(platform, fault, assert_at_rest):
    dead = fault("kill", 1, 20, service="configcenter", replica=0, restart_after_s=19.0)
    gone = fault("kill", 3, 4, service="order", replica=1, restart_after_s=1.0)
    tables = simulate(platform(dead, gone, replicas={"order": 2}))
    assert_at_rest(tables)
    assert (tables["payments"].outcome == "ok").mean() > 0.9


def test_a_throttled_replica_is_slow_for_as_long_as_it_is(platform, fault, assert_at_rest):
    tables = simulate(
        platform(fault("throttle", 2, 5, service="payment", replica=0, cpus=0.05), journeys=("pay",), load_s=10)
    )
    assert_at_rest(tables)
    paid = tables["payments"]
    took_s = paid.ended_s - paid.started_s
    assert took_s[paid.started_s < 1.9].median() < 0.1 < 0.3 < took_s[paid.started_s.between(2.5, 4.5)].median()
    assert tables["resources"].query("process == 'payment-0' and 3 <= at_s <= 5").cpu_s_per_s.max() < 0.07


def test_a_replica_that_is_cut_off_runs_on_and_loses_its_transactions_to_the_others(platform, fault, assert_at_rest):
    parted = fault("partition", 2, 8, service="gateway", replica=0)
    tables = simulate(platform(parted, replicas={"gateway": 2}, load_s=12))
    assert_at_rest(tables)
    asked = tables["requests"].query("step == 'pay' and 2.1 < ended_s < 7.9")
    assert not (asked.replica == "gateway-0").any()
    assert "died" not in set(tables["services"].event)


def test_a_start_is_work_and_takes_longer_where_cores_are_shared(platform, fault):
    def started(rate_per_s):
        plan = platform(
            fault("kill", 2, 3, service="payment", replica=0, restart_after_s=1.0), rate_per_s=rate_per_s, load_s=6
        )
        tables = simulate(plan)
        at_s = tables["services"].query("replica == 'payment-0' and at_s > 0").set_index("event").at_s
        used = tables["resources"].query("process == 'payment-0' and @at_s.restarted <= at_s <= @at_s.ready")
        return at_s["ready"] - at_s["restarted"], used.cpu_s_per_s.max()

    start_s = platform().calibration.start_s("payment")
    alone_s, alone_cores = started(1)
    assert alone_s == pytest.approx(start_s, rel=0.05)
    assert alone_cores == pytest.approx(1.0, abs=0.25)
    assert started(60)[0] > 1.2 * start_s


def test_the_autoscaler_follows_the_load_up_and_down(platform):
    plan = platform(rate_per_s=120, load_s=30, rest_s=60, journeys=("browse",))
    apart = replace(plan, placement=Placement(cores=1), calibration=replace(plan.calibration, client_cpu_s=0.0001))
    slow = replace(apart.calibration, startup_s={DEFAULT_ROUTE: 2.0})
    scaling = Scaling(0.2, replicas_max=4, period_s=5, stabilisation_s=15)
    tables = simulate(replace(apart, calibration=slow, autoscaling=Autoscaling("order", scaling)))
    events = tables["services"].query("service == 'order'")
    ready = events.query("event == 'ready' and at_s > 0")
    assert len(ready) >= 1
    assert ready.at_s.min() == pytest.approx(7.0), "asked for after one period, there after its start-up time"
    served = tables["requests"].query("step == 'goods' and 15 < started_s < 30").replica
    assert served.nunique() >= 2
    assert set(tables["requests"].outcome) == {"ok"}
    alive = set(events.query("event == 'ready'").replica) - set(
        events.query("event == 'stopped' and at_s < 89").replica
    )
    assert alive == {"order-0"}
    assert {"order-1"} <= set(tables["stations"].name)
