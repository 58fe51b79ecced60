"""Several gateways: whoever falls silent loses its transactions to the others, and can no longer decide them."""

import pytest

from simulator.model import simulate

TWO = {"gateway": 2}


def test_both_gateways_get_work(platform, assert_at_rest):
    tables = simulate(platform(replicas=TWO))
    assert_at_rest(tables)
    served = tables["requests"].query("step == 'pay'").replica.value_counts()
    assert set(served.index) == {"gateway-0", "gateway-1"}
    assert served.min() > 0.4 * served.max()


def test_the_other_takes_over_after_the_lease_from_one_that_is_gone_for_good(platform, fault, assert_at_rest):
    gone = fault(
        "crash_at",
        2,
        30,
        service="gateway",
        replica=0,
        point="coordinator.decided.persist.after",
        nth=1,
        restart_after_s=1000.0,
    )
    tables = simulate(platform(gone, replicas=TWO))
    assert_at_rest(tables)
    rows = tables["transactions"]
    taken_over = rows[(rows.role == "coordinator") & (rows.epoch == 2)]
    assert len(taken_over)
    died_s = tables["faults"].started_s[0]
    closed_s = taken_over[taken_over.event == "closed"].at_s
    assert closed_s.min() > died_s + 2.9, "not before the lease has run out"
    assert closed_s.max() < died_s + 5.0
    assert "ready" not in list(tables["services"].query(f"replica == 'gateway-0' and at_s >= {died_s}").event)


def test_a_zombie_cannot_decide(platform, fault, assert_at_rest):
    """Paused amid its payments for longer than the lease, it wakes up and finds them decided by the other."""
    slow = fault("latency", 1, 3, from_="gateway", to="payment", path="/participant/prepare", delay_ms=500)
    asleep = fault("pause", 2.2, 8, service="gateway", replica=0)
    tables = simulate(platform(slow, asleep, replicas=TWO))
    assert_at_rest(tables)
    rows = tables["transactions"]
    overtaken = rows[(rows.role == "coordinator") & (rows.epoch == 2) & (rows.event == "decided")]
    assert len(overtaken)
    assert overtaken.at_s.max() < 8, "decided while the first owner slept"
    assert set(overtaken.value) == {"abort"}


@pytest.mark.parametrize("side", ["before", "after"])
def test_the_fenced_zombie_may_even_die_of_it(side, platform, fault, assert_at_rest):
    slow = fault("latency", 1, 3, from_="gateway", to="payment", path="/participant/prepare", delay_ms=500)
    asleep = fault("pause", 2.2, 8, service="gateway", replica=0)
    crash = fault(
        "crash_at",
        7.5,
        9,
        service="gateway",
        replica=0,
        nth=1,
        restart_after_s=1.0,
        point=f"coordinator.fenced.canceltimer.{side}",
    )
    tables = simulate(platform(slow, asleep, crash, replicas=TWO, load_s=10))
    assert_at_rest(tables)
    assert tables["faults"].hits[2] == 1


def test_participants_may_be_several_too(platform, fault, assert_at_rest):
    tables = simulate(
        platform(
            fault("kill", 3, 4, service="payment", replica=1, restart_after_s=1.0),
            fault("pause", 4, 7, service="order", replica=0),
            replicas={"order": 2, "payment": 2},
        )
    )
    assert_at_rest(tables)


@pytest.mark.parametrize("delay_ms", [400, 900, 1_500])
def test_a_gateway_slower_than_its_lease_does_not_take_over_from_itself(delay_ms, platform, fault, assert_at_rest):
    slow = fault("slow_disk", 1, 6, service="gateway", replica=0, delay_ms=delay_ms)
    slow_votes = fault("latency", 1, 6, from_="gateway", to="payment", path="/participant/prepare", delay_ms=300)
    tables = simulate(platform(slow, slow_votes, rate_per_s=4, gateway__lease_ms=700, gateway__prepare_timeout_ms=600))
    assert_at_rest(tables)
    assert set(tables["transactions"].query("role == 'coordinator'").epoch) == {1}
