"""The fit against accounts that were made from known demands."""

from collections.abc import Sequence

import numpy
import pytest

from scenarios.calibrate.fitting import Demands, Stretch, demands
from scenarios.calibrate.graph import CALL, COMMIT, EVENT, Graph, Place
from scenarios.calibrate.regression import fit, guessed
from scenarios.calibrate.waking import waking
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
WAKING = 0.6
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


def accounts(stretches: Sequence[float]) -> list[Window]:
    """Windows whose work took so many times as long."""
    random = numpy.random.default_rng(5)
    made = []
    for operations, stretch in zip(OPERATIONS, stretches, strict=True):
        cpu_s = dict.fromkeys(PROCESSES, 0.0)
        for place, number in GRAPH.counts(operations).items():
            process = "backoffice" if place.service == "audit" else place.service
            cpu_s[process] += number * cost_s(place)
        deliveries = DELIVERIES if "order_create" in operations else {}
        cpu_s["order"] += CALL_S * sum(deliveries.values())
        cpu_s["backoffice"] += DELIVERY_S * sum(deliveries.values())
        journeys = max(operations.values(), default=0)  # each of several requests, or of one
        cpu_s[CLIENT] = REQUEST_S * sum(operations.values()) + JOURNEY_S * journeys
        # The operating system counts in hundredths of a second.
        noisy = {
            name: round(4.5 * IDLE + stretch * used_s + random.normal(0, 0.003), 2) for name, used_s in cpu_s.items()
        }
        made.append(Window("some", 4.5, operations, noisy, journeys, deliveries))
    return made


@pytest.fixture(scope="module")
def windows() -> list[Window]:
    return accounts([1.0] * len(OPERATIONS))


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


def test_how_much_longer_work_takes_that_wakes_a_core_is_told_by_different_loads() -> None:
    """Half of the windows were busy: nobody had to wake a core there."""
    awake = [1.0 - index % 2 for index in range(len(OPERATIONS))]
    seen = accounts([1 + WAKING * share for share in awake])
    shares = [dict.fromkeys(PROCESSES, share) for share in awake]

    def explained(stretches: Sequence[Stretch]) -> Demands:
        return demands(seen, GRAPH, 0.0, stretches=stretches)

    found = waking(explained, shares, len(seen))
    assert found.estimate.covers(WAKING)
    assert found.estimate.value == pytest.approx(WAKING, abs=0.05)
    assert found.demands.request.estimate.value == pytest.approx(REQUEST_S, rel=0.1)


def test_nobody_wakes_a_core_where_all_windows_cost_the_same(windows: list[Window]) -> None:
    shares = [
        dict.fromkeys(("order", "gateway", "payment", "backoffice", CLIENT), 1.0 - n % 2) for n in range(len(windows))
    ]
    found = waking(lambda stretches: demands(windows, GRAPH, COMMIT_S, stretches=stretches), shares, len(windows))
    assert found.estimate.value < 0.03


def test_no_demand_is_negative_and_a_bound_is_noticed() -> None:
    found = fit([guessed("a", 0.001), guessed("b", 0.001)], [{"a": 100}, {"b": 100}, {"a": 50}], [0.1, 0.0, 0.05])
    assert found.terms["b"].estimate.value >= 0
    assert found.terms["a"].estimate.value == pytest.approx(0.001, rel=0.1)


def test_processes_are_known_without_their_numbers() -> None:
    names = ("gateway-0", "usercenter-1+order-1", "backoffice-0", "loadtests", "lab", "mariadb")
    assert [process_of(name) for name in names] == [
        "gateway", "usercenter+order", "backoffice", CLIENT, "lab", "mariadb",
    ]  # fmt: skip
