"""Payments of orders that are given: from POST /payments until the client is told how it ended, and nothing before it.

Nobody looks at articles, fills carts or makes orders. All that a payment itself is remains: doors, risk, the gateway's
two-phase commit with order and payment, the channel, ledger, events and history.
"""

from dataclasses import replace

from simulator.clients import Journey
from simulator.clients import Order as Asked
from simulator.inputs import Arrival, SimulationInput
from simulator.model import Simulation
from simulator.orders import Order, price_minor


def orders_given(plan: SimulationInput) -> Simulation:
    """The run of `plan` in which every journey has its order already, and begins with paying for it."""
    simulation = Simulation(replace(plan, arrivals=()))
    currency = str(plan.setting("gateway.currency"))
    orders = [_order(arrival, plan.load.pool, currency) for arrival in plan.arrivals]
    simulation.databases.order.orders.update({order.order_no: order for order in orders})

    def pay(given: tuple[Arrival, Order]) -> None:
        arrival, order = given
        journey = Journey(
            simulation.kernel, simulation.network, simulation.source, plan, simulation.recorder,
            simulation.clients.interrupted,
        )  # fmt: skip
        journey.set_out(order.user_id, arrival, arrival.at_s)
        simulation.source.process.spawn(journey.pay(Asked(order.order_no, order.total_minor, order.currency)))

    moments = [(arrival.at_s, (arrival, order)) for arrival, order in zip(plan.arrivals, orders, strict=True)]
    simulation.kernel.at_each(moments, pay)
    return simulation


def _order(arrival: Arrival, users: int, currency: str) -> Order:
    lines = ((arrival.goods_id, arrival.count),)
    total_minor = price_minor(arrival.goods_id) * arrival.count
    return Order(f"given-{arrival.number:08d}", arrival.number % users + 1, lines, total_minor, currency, created_s=0.0)
