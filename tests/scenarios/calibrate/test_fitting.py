"""The fit against accounts that were made from known demands."""

from collections.abc import Sequence

import numpy
import pytest

from scenarios.calibrate.fitting import demands
from scenarios.calibrate.graph import CALL, COMMIT, EVENT, Graph, Place
from scenarios.calibrate.regression import fit, guessed
from scenarios.calibrate.waking import Wakings
from scenarios.calibrate.windows import Window, process_of
from simulator.calibration import CLIENT

LIST, ONE, MAKE = Place("order", "GET /goods"), Place("order", "GET /goods/{goods_id}"), Place("order", "POST /orders")
PAY, PREPARE, DECIDE = (
    Place("gateway", "POST /payments"), Place("payment", "POST /participant/prepare"),
    Place("payment", "POST /participant/decision"),
)  # fmt: skip
GIVEN_S = {LIST: 0.0012, ONE: 0.0007, MAKE: 0.0031, PAY: 0.006, PREPARE: 0.002, DECIDE: 0.003}
CALL_S, COMMIT_S, EVENT_S, DELIVERY_S, REQUEST_S, IDLE = 0.0008, 0.0002, 0.0003, 0.0016, 0.0011, 0.01
DELIVERIES = {("order", "audit"): 7}
WAKING_S = 0.0004
JOURNEY_S = 0.0007
PROCESSES = ("order", "gateway", "payment", "backoffice", CLIENT)
GRAPH = Graph(
    {
        "goods_list": {LIST: 1},
        "goods": {ONE: 1},
        "order_create": {MAKE: 1, Place("order", COMMIT): 1, Place("audit", EVENT): 1},
        "pay.balance": {PAY: 1, Place("gateway", CALL): 4, PREPARE: 1, DECIDE: 1, Place("payment", COMMIT): 2},
        "pay.card": {
            PAY: 1, Place("gateway", CALL): 4, PREPARE: 1, DECIDE: 1, Place("payment", COMMIT): 2,
            Place("payment", CALL): 2,
        },
    },
    own_s={PREPARE: (0.004,) * 20, DECIDE: (0.006,) * 20},
)  # fmt: skip
OPERATIONS = [
    {}, {"goods_list": 150}, {"goods": 150}, {"order_create": 45}, {"order_create": 90}, {"pay.balance": 30},
    {"pay.card": 30}, {"goods": 40, "order_create": 30, "pay.card": 10, "pay.balance": 20},
] * 2  # fmt: skip


def cost_s(place: Place) -> float:
    return GIVEN_S.get(place, {CALL: CALL_S, COMMIT: COMMIT_S, EVENT: EVENT_S}.get(place.what, 0.0))


def accounts(woke: Sequence[Wakings]) -> list[Window]:
    """Windows in which processes woke up so many times."""
    random = numpy.random.default_rng(5)
    made = []
    for operations, wakings in zip(OPERATIONS, woke, strict=True):
        cpu_s = dict.fromkeys(PROCESSES, 0.0)
        for place, number in GRAPH.counts(operations).items():
            process = "backoffice" if place.service == "audit" else place.service
            cpu_s[process] += number * cost_s(place)
        deliveries = DELIVERIES if "order_create" in operations else {}
        cpu_s["order"] += CALL_S * sum(deliveries.values())
        cpu_s["backoffice"] += DELIVERY_S * sum(deliveries.values())
        journeys = max(operations.values(), default=0)  # each of several requests, or of one
        cpu_s[CLIENT] = REQUEST_S * sum(operations.values()) + JOURNEY_S * journeys
        for name, times in wakings.items():
            cpu_s[name] += WAKING_S * times
        # The operating system counts in hundredths of a second.
        noisy = {name: round(4.5 * IDLE + used_s + random.normal(0, 0.003), 2) for name, used_s in cpu_s.items()}
        made.append(Window("some", 4.5, operations, noisy, journeys, deliveries))
    return made


@pytest.fixture(scope="module")
def windows() -> list[Window]:
    return accounts([{}] * len(OPERATIONS))


def test_demands_are_found_within_their_intervals(windows: list[Window]) -> None:
    found = demands(windows, GRAPH, COMMIT_S)
    for place, given_s in GIVEN_S.items():
        assert found.routes[place].estimate.covers(given_s), place
    assert found.call.separable
    assert found.call.estimate.covers(CALL_S)
    assert found.request.estimate.value == pytest.approx(REQUEST_S, rel=0.1)
    assert found.journey.estimate.covers(JOURNEY_S)
    assert found.events["audit"].estimate.covers(EVENT_S)
    assert found.deliveries["audit"].estimate.covers(DELIVERY_S)
    assert found.idle["order"].estimate.covers(IDLE)


def test_a_route_that_is_alone_somewhere_is_told_by_the_accounts(windows: list[Window]) -> None:
    found = demands(windows, GRAPH, COMMIT_S)
    for place in (LIST, ONE, MAKE):
        assert found.routes[place].separable
        assert found.routes[place].estimate.value == pytest.approx(GIVEN_S[place], rel=0.1)


def test_routes_that_are_never_alone_are_split_as_the_spans_say(windows: list[Window]) -> None:
    routes = demands(windows, GRAPH, COMMIT_S).routes
    assert not routes[PREPARE].separable
    both_s = routes[PREPARE].estimate.value + routes[DECIDE].estimate.value
    assert both_s == pytest.approx(GIVEN_S[PREPARE] + GIVEN_S[DECIDE], rel=0.1)
    assert routes[DECIDE].estimate.value > routes[PREPARE].estimate.value


def test_what_it_costs_to_wake_up_is_told_by_different_loads() -> None:
    """Half of the windows were busy: there everybody slept less."""
    woke = [
        dict.fromkeys(PROCESSES, (0.2 + 0.8 * (at % 2)) * sum(each.values()))
        for at, each in enumerate(OPERATIONS[::-1])
    ]
    found = demands(accounts(woke), GRAPH, COMMIT_S, woke=woke)
    assert found.waking.separable
    assert found.waking.estimate.covers(WAKING_S)
    assert found.waking.estimate.value == pytest.approx(WAKING_S, rel=0.15)
    assert found.call.estimate.covers(CALL_S)
    assert found.request.estimate.value == pytest.approx(REQUEST_S, rel=0.15)


def test_waking_costs_nothing_where_it_explains_nothing() -> None:
    woke = [dict.fromkeys(PROCESSES, 100.0 * (at % 2)) for at in range(len(OPERATIONS))]
    assert demands(accounts([{}] * len(OPERATIONS)), GRAPH, COMMIT_S, woke=woke).waking.estimate.value < 0.00003


def test_windows_that_are_dearer_for_everybody_widen_the_intervals() -> None:
    """One hundred processes that are all wrong together know no more than one."""
    terms, clusters = [guessed("a", 0.001)], [0, 1, 2, 3] * 100
    counts = [{"a": 100.0}] * len(clusters)
    used_s = [(0.10, 0.12, 0.08, 0.10)[at] for at in clusters]
    alone = fit(terms, counts[:4], used_s[:4]).terms["a"].estimate.half_width
    by_themselves = fit(terms, counts, used_s).terms["a"].estimate.half_width
    together = fit(terms, counts, used_s, clusters).terms["a"].estimate.half_width
    assert by_themselves < alone / 5
    assert together > alone / 3


def test_no_demand_is_negative_and_a_bound_is_noticed() -> None:
    found = fit([guessed("a", 0.001), guessed("b", 0.001)], [{"a": 100}, {"b": 100}, {"a": 50}], [0.1, 0.0, 0.05])
    assert found.terms["b"].estimate.value >= 0
    assert found.terms["a"].estimate.value == pytest.approx(0.001, rel=0.1)


def test_processes_are_known_without_their_numbers() -> None:
    names = ("gateway-0", "usercenter-1+order-1", "backoffice-0", "loadtests", "lab", "mariadb")
    assert [process_of(name) for name in names] == [
        "gateway", "usercenter+order", "backoffice", CLIENT, "lab", "mariadb",
    ]  # fmt: skip
