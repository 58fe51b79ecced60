"""Small platforms whose answers can be worked out by hand."""

from collections import Counter
from functools import partial

import numpy as np

from scenarios.capacity.traffic import traffic_input
from simulator.capacity import Effort, Objective, Question
from simulator.capacity.demands import Demand, DemandTable
from simulator.capacity.playing import Played
from tests.costs import PLAIN

TRAFFIC = {
    "mix": {"pay": 1.0}, "methods": {"card": 50, "wallet": 30, "balance": 20}, "topology": "compact", "settings": {},
    "calibration": PLAIN,
}  # fmt: skip
BUILD = partial(traffic_input, traffic=TRAFFIC)
QUICK = Effort(
    payments=60, warm_up_s=0.5, replications_min=2, replications_max=2, precision=10.0, pilot_payments=300,
    customers=4_000, headroom_steps=2,
)  # fmt: skip


def question(objective: Objective, **changes: object) -> Question:
    return Question(objective, BUILD, effort=QUICK, **changes)  # type: ignore[arg-type]


def row(process: str, demand_s: float, visits: float = 1.0, variation: float = 1.0, idle_cores: float = 0.0) -> Demand:
    return Demand(process, visits, visits, demand_s, demand_s, 0.0, variation, idle_cores, ("client",))


def table(*rows: Demand, unloaded_s: float = 0.01) -> DemandTable:
    """Demands made up; a payment takes `unloaded_s` with nobody before it."""
    return DemandTable(tuple(rows), (), np.full(1000, unloaded_s), 0.0, 10.0, 1000, 0.1, 10.0)


def pilot(visits: dict[tuple[str, str, str], int], cpu_s: dict[str, float], payments: int) -> Played:
    metrics = {"in_flight": 0.3, "settled_per_s": 10.0}
    return Played(metrics, np.full(payments, 0.03), Counter(visits), cpu_s, payments, payments / 10)
