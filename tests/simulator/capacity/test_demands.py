"""The demand table against one that was computed by hand."""

import pytest

from simulator import calibration
from simulator.capacity.demands import measure, table_of
from simulator.capacity.playing import stage_of
from tests.simulator.capacity.examples import BUILD, QUICK, pilot

GROUPS = {"gateway": ("gateway",), "order": ("order",), "reporting": ("reporting",), "channel": ("channel",)}
DOCUMENT = {
    "cores": 2, "hop_ms": 0, "hop_variation": 0, "call_cpu_ms": 0.5, "commit_cpu_ms": 0.4, "commit_wait_ms": 0,
    "database_cpu_ms": 0, "client_cpu_ms": 0, "event_cpu_ms": {}, "idle_cpu": {}, "startup_s": {"default": 1},
    "rss_bytes": 1,
    "endpoints": {
        "gateway": {"default": {"cpu_ms": 2.0}},
        "order": {"default": {"cpu_ms": 1.0}, "POST /participant/decision": {"cpu_ms": 3.0}},
    },
}  # fmt: skip


def test_a_table_by_hand():
    """100 payments: the gateway works 2 ms, calls twice for 0.5 ms, and commits twice for 0.4 ms."""
    visits = {
        ("client", "gateway", "POST /payments"): 100,
        ("gateway", "order", "POST /participant/prepare"): 100,
        ("gateway", "order", "POST /participant/decision"): 100,
    }
    cpu_s = {"gateway": 0.1 * (2 + 2 * 0.5 + 2 * 0.4) + 0.2, "order": 0.1 * (1 + 3 + 0.4), "reporting": 0.84}
    # Of a core, in each of two replicas, for ten seconds. Nobody visits reporting, and it hardly does more than that.
    idle = {"gateway": 0.01, "order": 0.0, "reporting": 0.04}
    replicas = dict.fromkeys(cpu_s, 2)
    found = table_of(GROUPS, calibration.from_document(DOCUMENT), pilot(visits, cpu_s, 100), idle, replicas, 1.0)
    gateway, order = found["gateway"], found["order"]
    assert found.fixed == ("reporting",)
    assert [row.process for row in found.rows] == ["order", "gateway"]
    assert gateway.demand_s == pytest.approx(0.0038)
    assert (gateway.endpoints_s, gateway.calls_s, gateway.commits_s) == pytest.approx((0.002, 0.001, 0.0008))
    assert order.demand_s == pytest.approx(0.0044)
    assert (order.visits, order.awaited, order.per_visit_s) == pytest.approx((2, 1, 0.0022))
    assert order.variation == pytest.approx(0.5)  # 1 and 3: mean 2, standard deviation 1
    assert order.callers == ("gateway",)
    assert found.little_error == pytest.approx(0)
    # A client waits for one visit to each; what is left of 30 ms is delay.
    assert found.delay_s == pytest.approx(0.030 - 0.0038 - 0.0022)


def test_demands_on_slow_cores_are_the_same_work():
    visits = {("client", "gateway", "POST /payments"): 100}
    idle, replicas = dict.fromkeys(GROUPS, 0.0), dict.fromkeys(GROUPS, 2)
    cpu_s = {"gateway": 0.8, "order": 0.0, "reporting": 0.0}
    found = table_of(GROUPS, calibration.from_document(DOCUMENT), pilot(visits, cpu_s, 100), idle, replicas, 0.5)
    assert found["gateway"].demand_s == pytest.approx(0.004)


def test_the_platform_s_own_table():
    found = measure(stage_of(BUILD, "compact", 1.0, QUICK), seed=1)
    assert found.rows[0].process == "order"
    assert set(found.fixed) >= {"configcenter", "usercenter"}
    assert abs(found.little_error) < 0.02
    for row in found.rows:
        assert row.endpoints_s + row.calls_s <= row.demand_s < 0.05
