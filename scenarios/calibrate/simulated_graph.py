"""The call graph of the model: who visited what, counted by its network, operation after operation.

The simulated world records no spans. It needs none: each journey is simulated alone, and what the visits of a payment
add to those of its checkout belongs to the payment.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import replace

from scenarios.calibrate.experiments import METHODS
from scenarios.calibrate.graph import CALL, EVENT, Graph, Place
from scenarios.plan import Plan
from scenarios.worlds.simulated import simulation_input
from simulator.calibration import CLIENT, Calibration
from simulator.inputs import Arrival
from simulator.model import Simulation

EVENTS_ROUTE = "POST /events"
JOURNEYS = 4
APART_S = 2.0
STEP_OF = {
    "GET /goods": "goods_list",
    "GET /goods/{goods_id}": "goods",
    "GET /cart": "cart_get",
    "PUT /cart/items/{goods_id}": "cart_put",
    "POST /orders": "order_create",
}
# Who calls as part of making an order; everybody else calls because of money.
ORDERING = {("order", "cart")}

Visits = Counter[tuple[str, str, str]]


def simulated_graph(plan: Plan, calibration: Calibration) -> Graph:
    """The graph of the platform that `plan` describes."""
    per_operation: dict[str, Counter[Place]] = defaultdict(Counter)
    entry: dict[str, Place] = {}
    for method in METHODS:
        paid = _visits(plan, calibration, "pay", method)
        refunded = _visits(plan, calibration, "refund", method)
        refunded.subtract(paid)
        for operation, visits in ((f"pay.{method}", paid), (f"refund.{method}", refunded)):
            _divide(operation, visits, per_operation, entry)
    _divide("browse", _visits(plan, calibration, "browse", METHODS[0]), per_operation, entry)
    return Graph({what: _per_journey(places) for what, places in sorted(per_operation.items()) if places}, entry)


def _visits(plan: Plan, calibration: Calibration, journey: str, method: str) -> Visits:
    arrivals = tuple(
        Arrival(n, APART_S * n, journey, method, n + 1, 1, f"graph-{journey}-{method}-{n}") for n in range(JOURNEYS)
    )
    length_s = APART_S * JOURNEYS
    alone = replace(
        simulation_input(plan, calibration),
        arrivals=arrivals,
        faults=(),
        load_s=length_s,
        duration_s=length_s + APART_S,
    )
    simulation = Simulation(alone)
    simulation.run()
    return Counter(simulation.network.visits)


def _divide(operation: str, visits: Visits, found: dict[str, Counter[Place]], entry: dict[str, Place]) -> None:
    """Visits of a journey go to its steps; those that other operations have too are the same there."""
    mine: dict[str, Counter[Place]] = defaultdict(Counter)
    for (caller, service, route), number in visits.items():
        if number <= 0:
            continue
        what = STEP_OF.get(route, operation) if caller == CLIENT else operation
        what = "order_create" if (caller, service) in ORDERING else what
        place = Place(service, EVENT if route == EVENTS_ROUTE else route)
        mine[what][place] += number
        if caller == CLIENT:
            entry[what] = place
        else:
            mine[what][Place(caller, CALL)] += number
    found.update(mine)


def _per_journey(places: Counter[Place]) -> dict[Place, float]:
    return {place: number / JOURNEYS for place, number in places.items()}
