"""What turns requests away in the model: limits of callers and of replicas, the gateway's admission, and risk."""

from dataclasses import replace
from itertools import pairwise

import pytest

from scenarios.report.stress_des import settings_read
from settlement.policies.token_bucket import TokenBuckets
from settlement.settings import SETTINGS
from simulator.doors import Tallies
from simulator.inputs import Load
from simulator.model import Simulation, simulate
from simulator.placement import Placement


def elsewhere(plan, **slower):
    """The same with every process on a host of its own, and clients who are no bottleneck."""
    costs = replace(plan.calibration, client_cpu_s=0.0)
    return replace(plan, calibration=costs, placement=Placement(cores=1.0, slower=slower))


ONE_USER = Load(pool=1, timeout_s=5.0, deadline_s=10.0)


def refused(tables, code):
    return tables["requests"].query("error == @code")


def took_s(requests):
    return requests.ended_s - requests.started_s


def test_a_user_who_asks_too_often_is_refused_and_costs_little(platform, assert_at_rest):
    greedy = platform(
        journeys=("browse",), rate_per_s=60, load=ONE_USER, limit__user_rate_per_s=5.0, limit__user_burst=10
    )
    tables = simulate(greedy)
    assert_at_rest(tables)
    too_many = refused(tables, "rate_limited")
    assert set(too_many.status) == {429}
    assert set(too_many.outcome) == {"fail"}
    assert set(too_many.replica) == {"order-0"}, "who was not shown the goods looks no further"
    at_order = tables["requests"].query("replica == 'order-0' and outcome == 'ok'")
    assert len(at_order) <= 10 + 5 * (tables["requests"].ended_s.max() + 1)
    assert took_s(too_many).median() < 0.7 * took_s(at_order).median()


def test_many_users_who_ask_as_often_together_are_not(platform):
    tables = simulate(platform(journeys=("browse",), rate_per_s=60, limit__user_rate_per_s=5.0, limit__user_burst=10))
    assert (tables["requests"].outcome == "ok").all()


def test_a_bucket_told_late_decides_as_one_told_at_once():
    asked = [(n * 7 % 3, 12.5 * n + (400 if n > 150 else 0)) for n in range(400)]
    late, shipped = Tallies(20.0, 8), TokenBuckets()
    for key, at_ms in asked:
        expected = shipped.take(str(key), at_ms, 20.0, 8)
        refusal = late.take(key, at_ms)
        assert (refusal is None) == expected.allowed
        assert refusal in (None, expected)
    assert late.take("new", asked[-1][1]) is None


def test_services_that_are_refused_come_back_when_they_were_told_to(platform, attempts):
    tables = simulate(
        platform(journeys=("pay",), rate_per_s=20, load=ONE_USER, limit__service_rate_per_s=3.0,
                 limit__service_burst=4, http__retry_budget_share=1.0, outbox__poll_interval_ms=60_000)
    )  # fmt: skip
    asked = [(at_s, attempt) for at_s, *way, attempt in attempts if way == ["order-0", "cart-0"]]
    pauses_s = [at_s - before_s for (before_s, _), (at_s, attempt) in pairwise(asked) if attempt > 1]
    assert len(pauses_s) >= 3
    assert all(1.0 <= pause_s < 1.3 for pause_s in pauses_s), "Retry-After: 1, and then some jitter"
    assert (tables["requests"].query("step == 'order_create'").outcome == "ok").all()


def test_a_replica_with_its_hands_full_answers_503_at_once(platform, assert_at_rest):
    flood = {"journeys": ("browse",), "rate_per_s": 500, "load_s": 3, "load": Load(pool=400, timeout_s=5.0)}
    bounded = simulate(elsewhere(platform(**flood, limit__concurrency_max=8)))
    endless = simulate(elsewhere(platform(**flood, limit__concurrency_mode="off")))
    assert_at_rest(bounded)
    turned_away = refused(bounded, "overloaded")
    assert len(turned_away) > 50
    assert set(turned_away.status) == {503}
    assert set(turned_away.outcome) == {"fail"}
    assert not len(refused(endless, "overloaded"))
    served = bounded["requests"].query("outcome == 'ok' and replica == 'order-0'")
    assert took_s(served).quantile(0.9) < 0.5 * took_s(endless["requests"].query("replica == 'order-0'")).quantile(0.9)


def test_what_was_decided_is_completed_at_a_door_that_is_full(platform, assert_at_rest):
    tables = simulate(platform(journeys=("pay", "browse"), rate_per_s=120, load_s=4, limit__concurrency_max=3))
    assert len(refused(tables, "overloaded"))
    assert_at_rest(tables)


def test_a_gateway_begins_no_more_than_it_may_and_clients_come_back_with_their_key(platform, assert_at_rest):
    slow = {"journeys": ("pay",), "rate_per_s": 20, "load_s": 4, "channel__latency_ms": 300}
    tables = simulate(platform(**slow, gateway__admission_mode="fixed", gateway__admission_max=2))
    assert_at_rest(tables)
    turned_away = refused(tables, "overloaded")
    assert set(turned_away.step) == {"pay"}
    assert set(turned_away.replica) == {"gateway-0"}
    payments = tables["payments"].set_index("operation")
    assert not (payments.outcome == "unknown").any(), "nothing was begun: no doubt"
    assert (payments.outcome[turned_away.operation.unique()] == "ok").sum() > 5, "told to come back, and served then"
    begun = tables["transactions"].query("event == 'begun'")
    assert len(begun) == (payments.outcome == "ok").sum()
    assert not len(refused(simulate(platform(**slow, gateway__admission_mode="off")), "overloaded"))


def test_an_adaptive_admission_keeps_decisions_within_their_time(platform):
    flood = {"journeys": ("pay",), "rate_per_s": 120, "load_s": 5, "load": Load(pool=600, timeout_s=5.0)}
    kept = simulate(elsewhere(platform(**flood), payment=4.0))
    lost = simulate(elsewhere(platform(**flood, gateway__admission_mode="off"), payment=4.0))

    def aborted(tables):
        decided = tables["transactions"].query("role == 'coordinator' and event == 'decided'")
        return (decided.value == "abort").mean()

    assert len(refused(kept, "overloaded"))
    assert aborted(kept) < 0.05 < 0.5 < aborted(lost)


def test_risk_is_asked_before_every_payment_and_off_means_off(platform):
    def asked(**settings):
        simulation = Simulation(platform(journeys=("pay",), **settings))
        simulation.run()
        return simulation.network.visits["gateway", "risk", "POST /assessments"], len(simulation.recorder.payments)

    visits, payments = asked()
    assert visits == payments > 20
    assert asked(gateway__risk_mode="off")[0] == 0
    assert asked(degrade__risk="always")[0] == 0


@pytest.mark.parametrize(("mode", "outcome"), [("fail_open", "ok"), ("fail_closed", "fail")])
def test_without_risk_payments_go_on_or_not_as_the_mode_says(mode, outcome, platform, fault, assert_at_rest):
    down = fault("kill", 0.5, 30, service="risk", replica=0, restart_after_s=40)
    tables = simulate(
        platform(down, journeys=("pay",), gateway__risk_mode=mode, rest_s=12, topology="split", load_s=5,
                 load=Load(deadline_s=3.0))
    )  # fmt: skip
    assert_at_rest(tables)
    late = tables["payments"].query("started_s > 1")
    assert set(late.outcome) == {outcome}
    assert bool(len(refused(tables, "risk_unavailable"))) == (mode == "fail_closed")


@pytest.mark.parametrize(("switch", "waits"), [("automatic", False), ("never", True)])
def test_the_switch_spares_payments_the_wait_for_a_risk_that_is_in_trouble(switch, waits, platform, fault):
    slow = fault("latency", 1, 12, from_="gateway", to="risk", path="/assessments", delay_ms=2_000)
    plan = platform(
        slow, journeys=("pay",), rate_per_s=25, load_s=10, degrade__risk=switch, gateway__risk_timeout_ms=400
    )
    # Left to itself the breaker looks again after a while; that is another story.
    plan.settings.update({"http.breaker_open_ms": 20_000, "http.breaker_open_max_ms": 20_000})
    if waits:
        plan.settings["http.breaker_failure_share"] = 0.0
    tables = simulate(plan)
    asked = tables["requests"].query("step == 'pay' and 5 < started_s < 9 and outcome == 'ok'")
    assert (took_s(asked).median() > 0.4) == waits


def test_a_cart_that_has_not_changed_is_not_read_again(platform):
    looking = {"journeys": ("browse",), "rate_per_s": 20, "load": ONE_USER}

    def cart_cpu_s(**settings):
        simulation = Simulation(platform(**looking, **settings))
        simulation.run()
        return simulation.replicas["cart-0"].process.cpu_s

    remembered, read = cart_cpu_s(), cart_cpu_s(degrade__cart_cache="always")
    assert remembered == pytest.approx(0.7 * read, rel=0.02)
    assert cart_cpu_s(cart__cache_ttl_ms=1) == pytest.approx(read)


def test_a_changed_cart_is_read_again(platform):
    """A payment puts something in, orders it, and has it taken out: an order's cart is always new."""

    def cart_cpu_s(**settings):
        simulation = Simulation(platform(journeys=("pay",), rate_per_s=5, **settings))
        simulation.run()
        return simulation.replicas["cart-0"].process.cpu_s

    assert cart_cpu_s() == cart_cpu_s(degrade__cart_cache="always")


def test_the_list_of_goods_is_served_as_it_was_when_the_switch_says_so(platform):
    def order_cpu_s(**settings):
        simulation = Simulation(platform(journeys=("browse",), rate_per_s=20, **settings))
        simulation.run()
        return simulation.replicas["order-0"].process.cpu_s

    fresh = order_cpu_s()
    assert order_cpu_s(degrade__goods_list="always") == pytest.approx(0.85 * fresh, rel=0.03)
    assert order_cpu_s(degrade__goods_list="never") == fresh


NOT_ON_A_JOURNEY = {"limit.account_rate_per_s", "limit.account_burst", "degrade.statistics"}


def test_the_settings_of_the_real_doors_are_those_of_the_simulated_ones():
    families = ("limit.", "gateway.admission_", "gateway.risk_", "degrade.", "cart.cache_")
    real = {name for name in SETTINGS if name.startswith(families)}
    assert real - NOT_ON_A_JOURNEY <= set(settings_read())
    assert not NOT_ON_A_JOURNEY & set(settings_read())


def test_defaults_limit_nobody_under_an_ordinary_load(platform):
    tables = simulate(platform(rate_per_s=40))
    assert (tables["requests"].status < 400).all()
