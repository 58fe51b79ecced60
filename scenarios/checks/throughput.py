"""Throughput: payments settled per second, and the knee, where more load stops helping.

A payment is settled when the coordinator's commit is durable: from then on nothing can take it back.
"""

import math
from dataclasses import dataclass

from scenarios.checks.latency import latency
from scenarios.checks.transactions import committed
from scenarios.history import History

KEPT_UP = 0.95
KNEE_P99_S_MAX = 1.0
"""A step whose payments take longer than this at p99 is past the knee, even if they settle in the end."""
PAYING_JOURNEYS = ("pay", "refund")


@dataclass(frozen=True)
class Step:
    """One stage of the load: payments offered and settled per second, and the p99 of `pay` in seconds."""

    name: str
    offered_per_s: float
    settled_per_s: float
    p99_s: float

    @property
    def kept_up(self) -> bool:
        """Whether the platform settled what was offered, in good time."""
        return self.settled_per_s >= KEPT_UP * self.offered_per_s and self.p99_s <= KNEE_P99_S_MAX


def settled(history: History, start_s: float, end_s: float) -> float:
    """Payments committed per second in [start_s, end_s); NaN for an empty phase."""
    decided_s = committed(history, "payment")["decided_s"]
    within = (decided_s >= start_s) & (decided_s < end_s)
    return float(within.sum()) / (end_s - start_s) if end_s > start_s else math.nan


def requests(history: History, start_s: float, end_s: float) -> float:
    """HTTP requests per second that were answered in [start_s, end_s), whatever the answer."""
    table = history["requests"]
    within = (table["ended_s"] >= start_s) & (table["ended_s"] < end_s) & (table["status"] > 0)
    return float(within.sum()) / (end_s - start_s) if end_s > start_s else math.nan


def steps(history: History) -> list[Step]:
    """The stages of the load, in order. In a closed load what was asked for is what is offered."""
    found = []
    for number, stage in enumerate(history.plan.load.stages, start=1):
        name, start_s, stop_s = f"stage{number}", stage.start_s, stage.end_s
        p99_s = latency(history, "pay", "p99", False, start_s, stop_s)
        found.append(Step(name, _offered(history, start_s, stop_s), settled(history, start_s, stop_s), p99_s))
    return found


def knee(history: History) -> float:
    """Settled payments/s at the highest step that the platform kept up with; the most of any step if it never did.

    If it kept up with the last step too, the knee lies higher and this is a lower bound.
    """
    taken = steps(history)
    kept = [step.settled_per_s for step in taken if step.kept_up]
    return max(kept or [step.settled_per_s for step in taken], default=math.nan)


def _offered(history: History, start_s: float, stop_s: float) -> float:
    if history.plan.load.kind == "open":
        paying = [arrival.at_s for arrival in history.plan.arrivals if arrival.journey in PAYING_JOURNEYS]
    else:
        table = history["payments"]
        paying = table["intended_s"][table["kind"] == "pay"].tolist()
    return sum(start_s <= at_s < stop_s for at_s in paying) / (stop_s - start_s) if stop_s > start_s else math.nan
