"""The way from one service to a route of another: all that does not change from call to call."""

from collections.abc import Callable

from simulator.calling import Manner
from simulator.entrance import Entrance
from simulator.resources import Deadlines


class Path:
    """What does not change from call to call of one service to one route of another.

    `there_s` and `back_s` draw a flight's latency, `costs` the CPU of a visit to each replica; `wait_s` is what a visit
    waits beyond it; `manner` is how such calls are made, `entrance` how they are let in (None: all of them).
    """

    __slots__ = (
        "back_s", "costs", "deadlines", "entrance", "manner", "route", "service", "source", "there_s", "timeout_s",
        "visits", "wait_s",
    )  # fmt: skip

    def __init__(self, source: str, service: str, route: str) -> None:
        self.source, self.service, self.route = source, service, route
        self.there_s: Callable[[], float]
        self.back_s: Callable[[], float]
        self.manner: Manner
        self.entrance: Entrance | None
        self.deadlines: Deadlines
        self.timeout_s = -1.0
        self.wait_s = 0.0
        self.costs: dict[str, Callable[[], float]] = {}
        self.visits = 0
