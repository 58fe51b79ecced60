"""The call graph of recorded requests."""

import json

import pytest

from scenarios import plan as plans
from scenarios.calibrate.experiments import Pace, measured, traced
from scenarios.calibrate.graph import CALL, COMMIT, Graph, Place, graph
from scenarios.history import History

PAY, ORDER = "POST /payments", "POST /participant/prepare"


def span(
    name: str, kind: str, service: str, number: str, parent: str, at_s: float, until_s: float, **about: object
) -> dict:
    return {
        "trace_id": "t1", "span_id": number, "parent_id": parent, "name": name, "kind": kind, "service": service,
        "replica": f"{service}-0", "gid": "", "started_s": at_s, "ended_s": until_s, "failed": False,
        "attributes": json.dumps(about),
    }  # fmt: skip


@pytest.fixture(scope="module")
def found() -> Graph:
    plan = traced(Pace(), 1).plan
    paying = next(each for each in plan.arrivals if each.journey == "pay")
    request = {
        "intended_s": 1.0, "started_s": 1.0, "ended_s": 1.1, "operation": paying.key, "journey": "pay", "step": "pay",
        "status": 201, "outcome": "ok", "error": "", "replica": "gateway-0", "trace_id": "t1",
    }  # fmt: skip
    spans = [
        span(PAY, "server", "gateway", "a", "x", 1.0, 1.050),
        span("2pc prepare", "internal", "gateway", "b", "a", 1.01, 1.040),
        span("POST order", "client", "gateway", "c", "b", 1.01, 1.030),
        span("POST payment", "client", "gateway", "d", "b", 1.02, 1.040),
        span(ORDER, "server", "order", "e", "c", 1.012, 1.026),
        span("transaction", "client", "order", "f", "e", 1.015, 1.020, **{"paylab.durable": True}),
        span("transaction", "client", "order", "g", "e", 1.020, 1.021, **{"paylab.durable": False}),
        span("2pc complete", "internal", "gateway", "h", "a", 1.05, 1.090),
        span("POST order", "client", "gateway", "i", "h", 1.06, 1.080),
    ]
    return graph(History({"requests": [request], "spans": spans}, plan, "processes"))


def test_an_operation_is_what_it_sets_in_motion(found: Graph) -> None:
    (operation,) = found.per_operation
    assert operation.startswith("pay.")
    assert found.per_operation[operation] == {
        Place("gateway", PAY): 1, Place("gateway", CALL): 3, Place("order", ORDER): 1, Place("order", COMMIT): 1,
    }  # fmt: skip
    assert found.entry[operation] == Place("gateway", PAY)


def test_own_time_leaves_calls_out_once_and_what_follows_the_answer_altogether(found: Graph) -> None:
    assert found.own_s[Place("gateway", PAY)] == pytest.approx([0.020])
    assert found.own_s[Place("order", ORDER)] == pytest.approx([0.014])


def test_a_hop_is_half_of_what_the_callee_did_not_see(found: Graph) -> None:
    assert found.hops_s == pytest.approx((0.003,))


def test_every_operation_is_alone_in_some_segment() -> None:
    experiment = measured(Pace(), 1)
    names = [segment.name for segment in experiment.segments]
    assert {"idle", "goods", "cart_get", "cart_put", "pay wallet", "refund card"} <= set(names)
    for segment in experiment.segments:
        inside = [each for each in experiment.plan.arrivals if segment.start_s <= each.at_s < segment.until_s]
        assert {each.journey for each in inside} == set(segment.journeys)
    assert plans.Plan.from_json(experiment.plan.to_json()) == experiment.plan
