"""Events: delivered by the replica that wrote them, or by another if that is dead; each one once."""

from dataclasses import replace
from itertools import pairwise

import pytest

from simulator.events import ORPHAN_AFTER_S, Relay
from simulator.model import Simulation, simulate


def test_events_cost_their_consumers_the_same_whoever_delivers_them(platform):
    def used_s(**replicas):
        plan = platform(rate_per_s=30, load_s=6, rest_s=10, replicas=replicas)
        costly = replace(plan.calibration, event_cpu_s={"audit": 0.004, "message": 0.004})
        tables = simulate(replace(plan, calibration=costly))
        assert len(tables["events"]) > 100
        return tables["resources"].query("process == 'backoffice-0'").cpu_s_per_s.sum()

    assert used_s(gateway=3, order=3) < 1.1 * used_s()


def test_every_replica_delivers_what_it_has_written(platform):
    """So two producers bring the same events in twice as many deliveries."""

    def used_s(**replicas):
        plan = platform(rate_per_s=30, load_s=6, rest_s=10, replicas=replicas, outbox__poll_interval_ms=500)
        simulation = Simulation(plan)
        simulation.run()
        recorded = simulation.databases.trail.recorded.values()
        assert max(at_s - event.occurred_s for event, at_s in recorded) < 1, "nobody waits for an orphan"
        costs = replace(plan.calibration, event_cpu_s={"message": 0.0}, delivery_cpu_s={"message": 0.01})
        return (
            simulate(replace(plan, calibration=costs))["resources"].query("process == 'backoffice-0'").cpu_s_per_s.sum()
        )

    plan = platform(rate_per_s=30, load_s=6, rest_s=10, outbox__poll_interval_ms=500)
    without_s = simulate(plan)["resources"].query("process == 'backoffice-0'").cpu_s_per_s.sum()
    one_s, two_s = used_s() - without_s, used_s(gateway=2, order=2) - without_s
    assert one_s > 0.1
    assert two_s == pytest.approx(2 * one_s, rel=0.2)


def test_what_a_dead_replica_has_written_is_delivered_by_another_in_the_end(platform, fault):
    """Gateway-0 dies for good; five seconds after it wrote them, gateway-1 delivers its letters."""
    dies = fault("kill", 3, 4, service="gateway", replica=0, restart_after_s=60)
    plan = platform(dies, rate_per_s=20, load_s=6, rest_s=12, replicas={"gateway": 2}, outbox__poll_interval_ms=1000)
    simulation = Simulation(plan)
    simulation.run()
    late_s = [at_s - event.occurred_s for event, at_s in simulation.databases.trail.recorded.values()]
    assert not simulation.databases.untold
    assert max(late_s) > ORPHAN_AFTER_S
    assert sum(late > 2.0 for late in late_s) < len(late_s) / 4


def test_a_delivery_costs_the_same_however_many_events_it_brings(platform):
    def used_s(poll_ms, delivery_s=0.01):
        plan = platform(rate_per_s=20, load_s=6, rest_s=10, outbox__poll_interval_ms=poll_ms)
        costs = replace(plan.calibration, event_cpu_s={"audit": 0.0}, delivery_cpu_s={"audit": delivery_s})
        tables = simulate(replace(plan, calibration=costs))
        assert len(tables["events"]) > 100
        return tables["resources"].query("process == 'backoffice-0'").cpu_s_per_s.sum()

    without_s = used_s(1000, delivery_s=0.0)
    rare_s, frequent_s = used_s(1000) - without_s, used_s(250) - without_s
    assert 0.1 < 2.5 * rare_s < frequent_s < 5 * rare_s


def test_who_hears_of_something_for_the_first_time_may_do_so_while_others_are_told(platform):
    """A round of deliveries takes a while. Meanwhile the first order is paid, and clearing hears of that alone."""
    plan = platform(rate_per_s=40, load_s=1, rest_s=10, seed=1, outbox__poll_interval_ms=20)
    consumers = ("audit", "clearing", "message", "reporting", "statistics")
    costly = replace(plan.calibration, event_cpu_s=dict.fromkeys(consumers, 0.001), call_cpu_s=0.05)
    assert len(simulate(replace(plan, calibration=costly))["events"]) > 50


def test_a_relay_looks_again_when_all_have_answered(platform, monkeypatch):
    """The quick ones have heard before the slow one is told; that is no end of the round."""
    told_s = []
    deliver = Relay._deliver

    def noted(relay, letters, consumer, *rest):
        if consumer == "message" and relay._replica.service == "order":
            told_s.append(relay._platform.kernel.now_s)
        deliver(relay, letters, consumer, *rest)

    monkeypatch.setattr(Relay, "_deliver", noted)
    plan = platform(rate_per_s=40, load_s=4, rest_s=10, outbox__poll_interval_ms=20)
    slow = {"event_cpu_s": {"message": 0.0, "statistics": 0.0}, "delivery_cpu_s": {"message": 0.001, "statistics": 0.3}}
    simulate(replace(plan, calibration=replace(plan.calibration, call_cpu_s=0.02, **slow)))
    apart_s = [later - earlier for earlier, later in pairwise(told_s)]
    assert len(apart_s) > 3
    assert min(apart_s) > 0.3


def test_a_look_is_over_when_own_letters_and_orphans_are_answered(platform, fault):
    """Both may go to the same consumer in one round, which answers twice."""
    plan = platform(
        fault("kill", 3, 4, service="gateway", replica=0, restart_after_s=60),
        rate_per_s=20, load_s=9, rest_s=12, replicas={"gateway": 2}, outbox__poll_interval_ms=500,
    )  # fmt: skip
    slow = {"event_cpu_s": {"reporting": 0.0}, "delivery_cpu_s": {"reporting": 0.4}}
    looks = {}
    deliver = Relay._deliver

    def noted(relay, letters, consumer, batch, round_):
        if consumer == "reporting" and relay._replica.name == "gateway-1":
            looks.setdefault(id(round_), []).append((round_, relay._platform.kernel.now_s))
        deliver(relay, letters, consumer, batch, round_)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Relay, "_deliver", noted)
        simulate(replace(plan, calibration=replace(plan.calibration, **slow)))
    both = [told for told in looks.values() if len(told) == 2]
    assert both, "some look found own letters and orphans"
    begun_s = sorted(told[0][1] for told in looks.values())
    for told in both:
        later_s = [at_s for at_s in begun_s if at_s > told[-1][1]]
        assert not later_s or later_s[0] - told[-1][1] > 0.8
        assert told[0][0].unanswered == 0


def test_carts_are_cleared_by_whichever_order_replica_took_the_order(platform):
    simulation = Simulation(platform(rate_per_s=20, load_s=6, rest_s=8, replicas={"order": 2}))
    written = set()
    simulation.begin()
    while simulation.kernel.peek() < simulation.plan.duration_s:
        simulation.kernel.step()
        written |= {ordered.writer for ordered in simulation.databases.order.outbox.values()}
    assert written == {"order-0", "order-1"}
    assert not simulation.databases.order.outbox
