"""Each kind of fault does what it says, is undone at its end, and costs no money."""

from random import Random

from simulator.faults import LinkFaults
from simulator.inputs import Fault
from simulator.model import simulate
from simulator.randomness import Streams


def _latency_s(tables, step, start_s, end_s):
    requests = tables["requests"]
    chosen = requests[(requests.step == step) & requests.intended_s.between(start_s, end_s)]
    return chosen.ended_s - chosen.intended_s


def test_kill_resets_connections_and_comes_back(platform, fault, assert_at_rest):
    tables = simulate(platform(fault("kill", 3, 4, service="gateway", replica=0, restart_after_s=1.0)))
    assert_at_rest(tables)
    events = tables["services"].query("replica == 'gateway-0'")
    assert list(events.event) == ["started", "ready", "died", "restarted", "ready", "stopped"]
    down = tables["requests"].query("step == 'pay' and 3.1 < started_s < 4")
    assert set(down.error) == {"refused"}
    assert set(down.status) == {0}
    record = tables["faults"].iloc[0]
    assert (record.started_s, record.ended_s, record.hits, record.target) == (3, 4, 1, "gateway-0")
    assert (tables["payments"].outcome == "ok").all(), "clients that repeat get through"


def test_pause_answers_nothing_and_loses_nothing(platform, fault, assert_at_rest):
    tables = simulate(platform(fault("pause", 3, 5, service="order", replica=0)))
    assert_at_rest(tables)
    assert _latency_s(tables, "goods", 3.1, 3.5).min() > 1.4
    assert not tables["requests"].query("3 < ended_s < 5 and replica == 'order-0'").shape[0]
    assert "died" not in set(tables["services"].event)


def test_latency_on_a_link_slows_only_that_link(platform, fault, assert_at_rest):
    slow = fault("latency", 2, 6, from_="payment", to="channel", delay_ms=400, jitter_ms=100, share=1.0)
    tables = simulate(platform(slow))
    assert_at_rest(tables)
    payments = tables["payments"].query("kind == 'pay' and 2 < started_s < 5.5")
    took_s = payments.ended_s - payments.started_s
    assert took_s[payments.method != "balance"].min() > 0.3
    assert took_s[payments.method == "balance"].max() < 0.2
    assert _latency_s(tables, "goods", 2, 6).max() < 0.1
    assert _latency_s(tables, "pay", 6.5, 8).max() < 0.2


def test_the_delay_is_uniform_around_its_middle_and_never_negative():
    def delays_ms(delay_ms, jitter_ms):
        slow = Fault("f1", "latency", 0, 1, {"delay_ms": delay_ms, "jitter_ms": jitter_ms})
        active, chance = LinkFaults(Streams(7)).add(slow), Random(7).random
        return [1000 * active.delay_s(chance) for _ in range(1000)]

    wide = delays_ms(200, 100)
    assert 100 <= min(wide) < 105
    assert 295 < max(wide) <= 300
    assert 195 < sum(wide) / len(wide) < 205
    assert set(delays_ms(200, 0)) == {200}
    assert min(delays_ms(50, 100)) == 0


def test_error_on_a_route_is_answered_and_not_executed(platform, fault, assert_at_rest):
    refusing = fault("error", 2, 4, service="order", route="POST /orders", status=500)
    tables = simulate(platform(refusing))
    assert_at_rest(tables)
    hit = tables["requests"].query("step == 'order_create' and 2.1 < started_s < 3.9")
    assert set(hit.status) == {500}
    assert not tables["orders"].created_s.between(2.1, 3.9).any()
    assert tables["faults"].hits[0] >= len(hit)


def test_error_on_a_link_concerns_only_its_path(platform, fault, assert_at_rest):
    refusing = fault("error", 0, 8, from_="payment", to="channel", path="/card", status=503)
    # The breaker is that of the whole channel: once it is open, nothing new goes there.
    tables = simulate(platform(refusing, http__breaker_failure_share=0.0))
    assert_at_rest(tables)
    outcomes = tables["payments"].query("kind == 'pay'").groupby("method").outcome.agg(set)
    assert outcomes["card"] == {"fail"}
    assert outcomes["wallet"] == {"ok"}


def test_drop_reply_executes_and_withholds_the_answer(platform, fault, assert_at_rest):
    lost = fault("drop_reply", 2, 4, from_="payment", to="channel", path="/wallet")
    tables = simulate(platform(lost, journeys=("pay",)))
    assert_at_rest(tables)
    charged = tables["charges"].query("channel == 'wallet' and 2 < updated_s")
    assert (charged.state == "refunded").any(), "it was charged, nobody knew, and the abort gave it back"


def test_drop_reply_on_the_decision_leaves_the_participant_done_and_the_coordinator_asking(
    platform, fault, assert_at_rest
):
    lost = fault("drop_reply", 2, 4, service="order", route="POST /participant/decision")
    tables = simulate(platform(lost, journeys=("pay",), http__timeout_ms=500))
    assert_at_rest(tables)
    rows = tables["transactions"]
    hit = rows[rows.event == "decided"].set_index("gid").at_s
    hit = hit[hit.between(2, 3)]
    applied = rows.query("role == 'order' and event == 'applied'").set_index("gid").at_s
    closed = rows[rows.event == "closed"].set_index("gid").at_s
    assert (applied[hit.index] - hit).max() < 0.1
    assert (closed[hit.index] - hit).min() > 0.4


def test_a_crash_point_that_nobody_passes_is_reported(platform, fault):
    never = fault(
        "crash_at",
        1,
        2,
        service="gateway",
        replica=0,
        point="coordinator.exhausted.persist.after",
        nth=1,
        restart_after_s=1.0,
    )
    record = simulate(platform(never))["faults"].iloc[0]
    assert record.hits == 0
    assert record.started_s != record.started_s
    assert "never reached" in record.detail


def test_a_fault_does_not_change_the_luck_before_it(platform, fault):
    calm = simulate(platform())["requests"]
    hit = simulate(platform(fault("kill", 4, 5, service="payment", replica=0, restart_after_s=1.0)))["requests"]
    assert calm[calm.ended_s < 4].equals(hit[hit.ended_s < 4])
