"""Statistics weighted by time, for a handful of additions an event.

The integral of a level over time needs no look at the past: it is the level times now, plus what every step has
contributed, where a step up at t contributes -t and a step down +t.
"""

from dataclasses import dataclass

TOLERANCE = 1e-6


class Level:
    """A number that steps up and down: how many wait, how many are busy."""

    __slots__ = ("_steps", "highest", "value")

    def __init__(self) -> None:
        self.value = 0
        self.highest = 0
        self._steps = 0.0

    def add(self, change: int, now_s: float) -> None:
        """The level changes by `change` now."""
        self._steps -= change * now_s
        self.value += change
        if self.value > self.highest:
            self.highest = self.value

    def area(self, now_s: float) -> float:
        """The integral of the level from 0 to now: level-seconds."""
        return self._steps + self.value * now_s


@dataclass(frozen=True, slots=True)
class Usage:
    """What a resource did during [from_s, until_s): averages over that time, waits over those that began service.

    `servers`: how many it has (cores, connections). `arrived` is everybody; of these `refused` were turned away at once
    and `gave_up` while they waited. `busy_area_s` and `queue_area_s` are the integrals of the servers busy and of the
    queue; `wait_s_sum` and `demand_s_sum` the sums over customers that began and that completed service.
    """

    name: str
    servers: float
    from_s: float
    until_s: float
    arrived: int = 0
    completed: int = 0
    refused: int = 0
    gave_up: int = 0
    busy_area_s: float = 0.0
    queue_area_s: float = 0.0
    queue_max: int = 0
    began: int = 0
    wait_s_sum: float = 0.0
    wait_s_max: float = 0.0
    demand_s_sum: float = 0.0

    @property
    def duration_s(self) -> float:
        """How long was looked at."""
        return self.until_s - self.from_s

    @property
    def busy_mean(self) -> float:
        """Servers busy on average."""
        return self.busy_area_s / self.duration_s if self.duration_s else 0.0

    @property
    def utilisation(self) -> float:
        """Share of the servers that was busy, 0 to 1."""
        return self.busy_mean / self.servers if self.servers else 0.0

    @property
    def queue_mean(self) -> float:
        """Customers waiting on average."""
        return self.queue_area_s / self.duration_s if self.duration_s else 0.0

    @property
    def wait_mean_s(self) -> float:
        """Mean wait before service, of those that were served."""
        return self.wait_s_sum / self.began if self.began else 0.0

    @property
    def throughput_per_s(self) -> float:
        """Completions a second."""
        return self.completed / self.duration_s if self.duration_s else 0.0

    @property
    def demand_mean_s(self) -> float:
        """Mean service demand of those that completed."""
        return self.demand_s_sum / self.completed if self.completed else 0.0
