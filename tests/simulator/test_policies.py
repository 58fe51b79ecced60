"""The shipped policies at work in the model: each does visibly what it is there for."""

import pytest

from settlement.policies.circuit_breaker import State, Tuning
from simulator.model import Simulation, simulate
from simulator.peers import Peer

NEVER = 1_000.0


def test_a_dead_replica_costs_a_caller_few_attempts_and_is_called_again_when_it_is_back(
    platform, fault, assert_at_rest, attempts
):
    gone = fault("kill", 2, 5, service="payment", replica=1, restart_after_s=3.0)
    tables = simulate(
        platform(gone, replicas={"payment": 2}, journeys=("pay",), rate_per_s=20, load_s=12, registry__lease_ms=9000)
    )
    assert_at_rest(tables)
    assert (tables["payments"].outcome == "ok").all()
    to_dead = [at_s for at_s, source, target, _ in attempts if target == "payment-1" and 2.01 < at_s < 5]
    assert 1 <= len(to_dead) <= 3, "ejected for 1 s, for 2 s, for 4 s; the registry lists it all the while"
    again = [at_s for at_s, source, target, _ in attempts if target == "payment-1" and at_s > 9.2]
    assert len(again) > 20


def test_a_service_nobody_is_registered_for_any_more_is_called_for_a_while_longer(platform, fault, attempts):
    gone = fault("kill", 1, 8, service="payment", replica=0, restart_after_s=NEVER)
    simulate(platform(gone, journeys=("pay",), registry__lease_ms=1_500, load_s=12, http__breaker_failure_share=0.0))
    called = [at_s for at_s, source, target, _ in attempts if target == "payment-0"]
    # The lease ends in its second or third second, and what was known is kept for 5 s more.
    assert 6 < max(called) < 9


@pytest.mark.parametrize(("share", "factor_max"), [(0.0, 1.0), (0.1, 1.25), (1.0, 4.0)])
def test_the_budget_bounds_what_retries_add(share, factor_max, platform, fault, attempts):
    refusing = fault("error", 1, 8, from_="gateway", to="payment", path="/participant/prepare", status=503)
    plan = platform(refusing, journeys=("pay",), rate_per_s=20)
    plan.settings.update({"http.retry_budget_share": share, "http.breaker_failure_share": 0.0})
    simulate(plan)
    firsts = sum(1 for at_s, source, *_, attempt in attempts if source == "gateway-0" and attempt == 1 and at_s > 1)
    retries = sum(1 for at_s, source, *_, attempt in attempts if source == "gateway-0" and attempt > 1)
    assert (firsts + retries) / firsts <= factor_max
    assert (retries > 0) == (share > 0)
    if share == 1.0:
        assert retries > 0.3 * firsts


def test_what_a_dying_replica_was_asked_is_asked_of_another(platform, fault, assert_at_rest, attempts):
    died = fault("kill", 3, 8, service="payment", replica=0, restart_after_s=NEVER)
    slow = fault("slow_disk", 2, 4, service="payment", replica=0, delay_ms=400)
    tables = simulate(platform(died, slow, journeys=("pay",), replicas={"payment": 2}))
    assert_at_rest(tables)
    assert (tables["payments"].outcome == "ok").all()
    assert any(attempt > 1 and target == "payment-1" for _, _, target, attempt in attempts)


def test_a_breaker_spares_everybody_the_wait_and_lets_calls_through_when_the_service_is_back(platform, fault):
    stuck = fault("pause", 2, 8, service="channel", replica=0)
    plan = platform(stuck, journeys=("pay",), rate_per_s=30, load_s=14, payment__channel_timeout_ms=300)
    tables, plan.settings["http.breaker_failure_share"] = simulate(plan), 0.0
    unprotected = simulate(plan)

    def took_s(run):
        asked = run["requests"].query("step == 'pay' and 4 < started_s < 7")
        return (asked.ended_s - asked.started_s).quantile(0.5)

    assert took_s(tables) < 0.2 < 0.6 < took_s(unprotected)
    late = tables["payments"].query("started_s > 11.5 and method == 'card'")
    assert len(late) > 10
    assert (late.outcome == "ok").all()


def test_a_peer_decides_as_its_breaker_does():
    """Successes are told late, in pages: 6 of 20 failures of the last window open nothing, the share decides."""
    peer = Peer(0.1, Tuning(failure_share=0.5, calls_min=10, window_ms=1_000, open_ms=500))
    for number in range(14):
        peer.worked(peer.ask(number / 100), number / 100)
    for _ in range(13):
        peer.failed(peer.ask(0.5), 0.5)
    assert peer.state is State.CLOSED
    peer.failed(peer.ask(0.5), 0.5)
    assert peer.state is State.OPEN
    assert peer.is_open(0.9)
    assert peer.ask(0.9) is None
    probes = [peer.ask(1.1) for _ in range(4)]
    assert probes.count(None) == 1, "half open: three probes at once"
    for probe in probes[:3]:
        peer.worked(probe, 1.2)
    assert peer.state is State.CLOSED
    assert peer.ask(1.3) is not None
    peer.failed(peer.ask(5.0), 5.0)
    assert peer.state is State.CLOSED, "what left the window does not count"


def test_while_many_are_silent_at_once_nobody_is_dropped(platform, fault):
    names = ("payment", "order", "cart", "gateway")
    silent = [fault("pause", 1 + number / 1000, 7, service=name, replica=0) for number, name in enumerate(names)]
    simulation = Simulation(platform(*silent, registry__lease_ms=2_000))
    simulation.begin()
    simulation.kernel.run_until(6.5)
    listed = simulation.plant._directory.listed
    assert all(listed[name] for name in names)
