"""The same calls in the same order meet the same fate in a real replica and in the model; other seeds meet others."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from scenarios.plan import PlannedFault
from scenarios.worlds.injector import fault_body
from settlement.chassis.faults import ActiveFault, CrashPoints, FaultList, FaultTable, Latency
from simulator.faults import LinkFaults, Trouble
from simulator.inputs import Fault
from simulator.randomness import Streams
from simulator.replica import Replica

LINK = {"from": "payment", "to": "channel", "path": "/wallet"}
ROUTE = {"service": "order", "route": "POST /participant/decision"}
SLOW = {"delay_ms": 200.0, "jitter_ms": 150.0}
FAULTS = [
    PlannedFault("fault-1", "latency", 1, 2, {**LINK, **SLOW, "share": 0.4}),
    PlannedFault("fault-1", "latency", 1, 2, {**LINK, **SLOW, "share": 1.0}),
    PlannedFault("fault-2", "latency", 1, 2, {**ROUTE, "delay_ms": 50.0, "jitter_ms": 0.0, "share": 0.4}),
    PlannedFault("fault-3", "error", 1, 2, {**LINK, "status": 500, "share": 0.3}),
    PlannedFault("fault-4", "drop_reply", 1, 2, {**ROUTE, "share": 0.1}),
]
CALLS = 300

Fate = tuple[float, int, bool]  # held up for how many seconds, answered by an error, not answered
Fates = list[Fate]


def _by_replica(fault: PlannedFault, seed: int, replica: str) -> Fates:
    """What the chassis of a real replica makes of what the lab tells it."""
    table = FaultTable(CrashPoints())
    table.replace(FaultList.model_validate({"faults": [fault_body(fault, seed, replica)]}).faults)
    return [
        _real(table.of_call("channel", "/wallet/payments/7") + table.of_request("POST", "/participant/decision"))
        for _ in range(CALLS)
    ]


def _real(striking: list[ActiveFault]) -> Fate:
    kinds = {each.fault.kind: each for each in striking}
    delay_s = sum(each.delay_s() for each in striking if isinstance(each.fault, Latency))
    return delay_s, getattr(kinds["error"].fault, "status", 0) if "error" in kinds else 0, "drop_reply" in kinds


class Modelled:
    """A fault that is on in the model, and one replica at a time that it concerns."""

    def __init__(self, fault: PlannedFault, seed: int) -> None:
        self._links = LinkFaults(Streams(seed))
        self._active = self._links.add(Fault(fault.id, fault.kind, fault.at_s, fault.until_s, fault.parameters))
        self._on_link = "from" in fault.parameters

    def fates(self, name: str, life: int = 0) -> Fates:
        """Of the next calls."""
        process: Any = SimpleNamespace(incarnation=life)
        replica = Replica(name.split("-", 1)[0], name, process)
        return [_modelled(self._trouble(replica)) for _ in range(CALLS)]

    def _trouble(self, replica: Replica) -> Trouble:
        if self._on_link:
            return self._links.of_link(replica, "channel", "POST /wallet/payments/{number}")
        return self._links.of_route(replica, "POST /participant/decision")


def _modelled(trouble: Trouble) -> Fate:
    return trouble.delay_s, trouble.status, trouble.drop_reply


def _carrier(fault: PlannedFault, number: int = 0) -> str:
    return f"{fault.parameters.get('from') or fault.parameters['service']}-{number}"


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: f"{fault.kind} {fault.parameters['share']}")
@pytest.mark.parametrize("seed", [1, 2])
def test_a_real_replica_and_the_model_meet_the_same_fate(fault: PlannedFault, seed: int) -> None:
    name = _carrier(fault)
    real = _by_replica(fault, seed, name)
    assert Modelled(fault, seed).fates(name) == real
    struck = sum(fate != (0.0, 0, False) for fate in real)
    assert struck == pytest.approx(CALLS * fault.parameters["share"], abs=CALLS * 0.1)


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: f"{fault.kind} {fault.parameters['share']}")
def test_seeds_and_replicas_differ_in_both(fault: PlannedFault) -> None:
    pairs = [(seed, _carrier(fault, number)) for seed in (1, 2, 3) for number in (0, 1)]
    assert len({tuple(_by_replica(fault, seed, name)) for seed, name in pairs}) == len(pairs)
    assert len({tuple(Modelled(fault, seed).fates(name)) for seed, name in pairs}) == len(pairs)


def test_in_the_model_too_other_replicas_change_nothing_and_a_new_life_begins_anew() -> None:
    fault = FAULTS[0]
    alone, first = Modelled(fault, seed=5), _carrier(fault, 0)
    undisturbed = alone.fates(first) + alone.fates(first)
    among_others = Modelled(fault, seed=5)
    begun = among_others.fates(first)
    among_others.fates(_carrier(fault, 1))
    assert begun + among_others.fates(first) == undisturbed
    assert among_others.fates(first, life=1) == begun == _by_replica(fault, 5, first)
