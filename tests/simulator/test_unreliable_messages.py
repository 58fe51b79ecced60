"""Tricks of networks and machines that no scenario can order from real services: each does what it says."""

import pytest

from simulator.hosts import Host, Process
from simulator.kernel import Kernel
from simulator.model import Simulation, simulate
from simulator.resources import SharedCores

TWO = {"gateway": 2}


def test_lost_messages_are_asked_for_again_and_cost_no_money(platform, fault, assert_at_rest):
    tables = simulate(platform(fault("loss", 1, 6, from_="gateway", to="payment", share=0.4), journeys=("pay",)))
    assert_at_rest(tables)
    assert tables["faults"].hits[0] > 10
    assert "prepare_timeout" in set(tables["payments"].error)


def test_loss_strikes_requests_and_answers(platform, fault):
    lossy = fault("loss", 1, 6, from_="payment", to="channel", share=0.7)
    tables = simulate(platform(lossy, journeys=("pay",), payment__channel_timeout_ms=200))
    states = set(tables["charges"].state)
    assert states & {"refunded", "voided"}, "some answers were lost after the deed"
    assert "cancelled" in states, "and some requests before it"


def test_a_request_that_comes_again_changes_nothing(platform, fault, assert_at_rest):
    again = [
        fault("duplicate", 0, 8, from_="client", to="gateway", within_ms=900),
        fault("duplicate", 0.001, 8, from_="gateway", to="payment", within_ms=900),
        fault("duplicate", 0.002, 8, from_="gateway", to="order", within_ms=900),
        fault("duplicate", 0.003, 8, from_="payment", to="channel", within_ms=900),
    ]
    tables = simulate(platform(*again, replicas={"gateway": 2, "payment": 2}))
    assert_at_rest(tables)
    assert tables["faults"].hits.min() > 30
    assert (tables["payments"].outcome == "ok").all()


def test_what_flies_longer_is_overtaken_and_outlives_its_sender(platform, fault, assert_at_rest):
    late = fault("reorder", 1, 6, from_="gateway", to="order", within_ms=900)
    died = fault("kill", 3, 4, service="gateway", replica=0, restart_after_s=1.0)
    tables = simulate(platform(late, died, gateway__prepare_timeout_ms=500))
    assert_at_rest(tables)
    rows = tables["transactions"]
    assert "prepare_timeout" in set(tables["payments"].error)
    votes = rows[(rows.role == "order") & (rows.event == "vote")].at_s
    assert votes.between(3.01, 4).any(), "asked by a gateway that was dead when the question arrived"


def test_a_slow_disk_delays_what_waits_for_it_and_nothing_else(platform, fault, assert_at_rest):
    slow = fault("slow_disk", 2, 6, service="order", replica=0, delay_ms=300)
    tables = simulate(platform(slow, journeys=("pay", "browse")))
    assert_at_rest(tables)
    requests = tables["requests"].query("2 < started_s < 5.5")
    took_s = requests.ended_s - requests.started_s
    assert took_s[requests.step == "order_create"].min() > 0.3
    assert took_s[requests.step == "goods_list"].max() < 0.1
    later = tables["requests"].query("started_s > 6.5 and step == 'order_create'")
    assert (later.ended_s - later.started_s).max() < 0.2


def test_a_fast_clock_takes_transactions_from_a_living_owner_which_is_then_fenced(platform, fault, assert_at_rest):
    wrong = fault("clock_skew", 1, 6, service="gateway", replica=1, offset_ms=5_000)
    slow = fault("latency", 1, 6, from_="gateway", to="payment", path="/participant/prepare", delay_ms=700)
    plan = platform(wrong, slow, replicas=TWO, journeys=("pay",))
    tables = simulate(plan)
    assert_at_rest(tables)
    rows = tables["transactions"]
    taken = rows[(rows.role == "coordinator") & (rows.epoch > 1)]
    assert taken.gid.nunique() > 5
    simulation = Simulation(plan)
    assert simulation.replicas["gateway-1"].process.clock_skew_s == 0


@pytest.mark.parametrize(("delay_s", "expected_s"), [(0.0, 0.2), (0.5, 0.7)])
def test_a_commit_is_work_and_then_the_disk(delay_s, expected_s):
    kernel = Kernel()
    process = Process(Host(kernel, SharedCores(kernel, "host", 1)), "order-0")
    process.disk_delay_s = delay_s
    done_s = []
    process.commit(0.2).then(lambda: done_s.append(kernel.now_s))
    kernel.run(2)
    assert done_s == [pytest.approx(expected_s)]
