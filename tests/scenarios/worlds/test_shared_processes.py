"""Two faults at once of one process: refused where services share it, played where each has a container."""

from __future__ import annotations

from typing import Any

import pytest

from scenarios.plan import Plan, plan
from scenarios.spec import load_scenario
from scenarios.worlds import world_named
from scenarios.worlds.base import UnsupportedPlan, refuse_unsupported


def two_kills(first: str, second: str, at: str = "11s", topology: str = "compact") -> Plan:
    faults = [
        f"{{at: 9s, kind: kill, service: {first}, restart_after: 5s}}",
        f"{{at: {at}, kind: kill, service: {second}, restart_after: 2s}}",
    ]
    return plan(load_scenario("baseline", [f"faults=[{', '.join(faults)}]", f"platform.topology={topology}"]), 1)


def refused(world: str, made: Plan) -> bool:
    try:
        refuse_unsupported(world_named(world), made)
    except UnsupportedPlan:
        return True
    return False


@pytest.mark.parametrize("world", ["processes", "simulated"])
def test_neighbours_in_one_process_cannot_be_down_at_once(world: str) -> None:
    with pytest.raises(UnsupportedPlan, match="backoffice-0 is down until 14 s by the kill of audit-0, and"):
        refuse_unsupported(world_named(world), two_kills("audit", "message"))


@pytest.mark.parametrize(
    "changes",
    [
        {"second": "cart"},  # a process of its own
        {"second": "message", "at": "14s"},  # up again by then
        {"second": "message", "topology": "split"},
    ],
)
def test_everything_else_can(changes: Any) -> None:
    assert not refused("processes", two_kills("audit", **changes))


def test_containers_hold_one_service_each() -> None:
    assert not refused("compose", two_kills("audit", "message"))
