"""Scenarios that are good: read, changed by --set, written out, and the catalogue."""

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scenarios.plan import plan
from scenarios.spec import InvalidScenario, catalogue_names, load_scenario
from scenarios.units import format_duration, parse_duration_s, parse_rate_per_s

Write = Callable[..., Path]
OUTAGES = {"database-outage", "redis-outage", "registry-outage"}
SHIPPED = OUTAGES | {
    "baseline", "coordinator-crash", "participant-crash", "channel-lost-reply", "slow-channel", "saturation",
    "article-lost-confirm", "article-gateway-crash",
    "zombie-coordinator", "double-coordinator",
}  # fmt: skip


def test_a_scenario_is_read_with_its_units(write: Write) -> None:
    scenario = load_scenario(write(("rate: 20", "rate: 120/min"), ("for: 5s", "for: 0.1min")))
    assert scenario.load.stages[0].rate_per_s == 2.0
    assert scenario.load_s == 6.0
    assert scenario.duration_s == 11.0
    assert scenario.faults[0].parameters() == {"service": "gateway", "replica": 0, "restart_after_s": 1.0}
    assert scenario.faults[0].end_s == 3.0


def test_the_catalogue_is_complete_and_every_run_is_short() -> None:
    assert set(catalogue_names()) == SHIPPED
    for name in SHIPPED:
        scenario = load_scenario(name)
        assert scenario.name == name
        assert scenario.duration_s <= 60
        assert {"atomic", "money_conserved", "client_truth"} <= {e.check for e in scenario.expect}


def test_the_coordinator_dies_in_every_part_of_the_run() -> None:
    scenario = load_scenario("coordinator-crash")
    assert scenario.duration_s <= 45
    run = plan(scenario, 1)
    points = [(fault.at_s, fault.parameters["point"]) for fault in run.faults]
    for phase in ("warmup", "stage1", "stage2"):
        window = run.phase(phase)
        decided = "coordinator.decided.persist.after"
        assert any(window.start_s <= at_s < window.end_s for at_s, point in points if point == decided), phase
    assert "coordinator.decided.persist.before" in {point for _, point in points}


@pytest.mark.parametrize("name", sorted(SHIPPED))
def test_what_is_saved_with_a_run_is_the_same_scenario(name: str, tmp_path: Path) -> None:
    scenario = load_scenario(name, ["load.pool=7", "platform.settings.http.timeout_ms=1234"])
    saved = tmp_path / "scenario.yaml"
    saved.write_text(scenario.to_yaml(), encoding="utf-8")
    assert load_scenario(saved) == scenario
    assert plan(load_scenario(saved), 3) == plan(scenario, 3)


def test_set_changes_lists_mappings_and_settings_with_dots(write: Write) -> None:
    changes = [
        "load.stages.0.rate=50",
        "platform.replicas.gateway=2",
        "platform.settings.gateway.prepare_timeout_ms=500",
        "load.mix={pay: 1, browse: 1}",
        "faults=[]",
    ]
    scenario = load_scenario(write(), changes)
    assert scenario.load.stages[0].rate_per_s == 50
    assert scenario.platform.replicas == {"gateway": 2}
    assert scenario.platform.settings == {"gateway.prepare_timeout_ms": 500}
    assert scenario.load.mix == {"pay": 1, "browse": 1}
    assert scenario.faults == []


def test_a_closed_load_has_users_and_think_time(write: Write) -> None:
    scenario = load_scenario(write(("mix:", "kind: closed\n  think: 100ms\n  mix:"), ("rate: 20", "users: 20")))
    assert scenario.load.stages[0].users == 20
    assert scenario.load.think_s == 0.1


def test_all_faults_can_be_written(write: Write) -> None:
    faults = """faults:
  - {at: 0s, kind: kill, service: order, restart_after: 1s}
  - {at: 0s, kind: pause, service: payment, for: 500ms}
  - {at: 0s, kind: crash_at, service: gateway, point: coordinator.decided.persist.after, nth: 3, restart_after: 1s}
  - {at: 1s, kind: latency, from: payment, to: channel, path: /wallet, delay: 800ms, jitter: 200ms, share: 0.5, for: 2s}
  - {at: 1s, kind: error, service: order, route: POST /orders, status: 500, for: 2s}
  - {at: 1s, kind: drop_reply, from: payment, to: channel, for: 2s}
"""
    scenario = load_scenario(
        write(("faults:\n  - {at: 2s, kind: kill, service: gateway, restart_after: 1s}\n", faults))
    )
    latency, error, drop = (fault.parameters() for fault in scenario.faults[3:])
    assert latency == {
        "from": "payment", "to": "channel", "path": "/wallet", "share": 0.5, "delay_ms": 800, "jitter_ms": 200,
    }  # fmt: skip
    assert error == {"service": "order", "route": "POST /orders", "share": 1.0, "status": 500}
    assert drop == {"from": "payment", "to": "channel", "share": 1.0}
    assert plan(scenario, 1).faults[0].target == "order-0"
    assert plan(scenario, 1).faults[3].target == "payment -> channel /wallet"
    assert plan(scenario, 1).faults[4].target == "order POST /orders"


def test_a_misspelt_name_of_the_catalogue_is_helped() -> None:
    with pytest.raises(InvalidScenario, match=r"did you mean coordinator-crash\?.*baseline"):
        load_scenario("cordinator-crash")


@given(st.floats(min_value=0.001, max_value=80_000).map(lambda seconds: round(seconds, 3)))
def test_a_duration_survives_being_written(seconds: float) -> None:
    assert parse_duration_s(format_duration(seconds)) == pytest.approx(seconds, rel=1e-5)


@pytest.mark.parametrize(("text", "per_s"), [("20", 20), (20, 20), ("20/s", 20), ("90/min", 1.5), (0.5, 0.5)])
def test_rates_are_per_second(text: object, per_s: float) -> None:
    assert parse_rate_per_s(text) == per_s
