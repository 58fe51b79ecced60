"""Who executes which arrival of an open load, and which arrivals are given up. Pure: times come in as arguments.

An open load does not wait for the platform: arrivals come when the plan says. A bounded pool of users ("slots")
executes them. An arrival that finds no free slot waits, and its latency counts from its intended start all the same
(leaving the wait out is coordinated omission). One that would make the queue longer than the pool, or that has waited
longer than a client waits, is dropped and counted: a run with drops says nothing about the platform's latency.
"""

from collections import deque
from dataclasses import dataclass, field

from scenarios.plan import Arrival


@dataclass
class Dispatcher:
    """`pool` slots, numbered from 0; at most `pool` waiting arrivals, each for at most `patience_s`."""

    pool: int
    patience_s: float
    started: int = 0
    dropped: int = 0
    lags_s: list[float] = field(default_factory=list)
    _idle: deque[int] = field(default_factory=deque)
    _waiting: deque[Arrival] = field(default_factory=deque)
    _busy: set[int] = field(default_factory=set)

    def arrive(self, arrival: Arrival, now_s: float) -> int | None:
        """An arrival's time has come: the slot that executes it at once, or None if it waits or was dropped."""
        self._give_up(now_s)
        if self._idle:
            # First in, first out: the longest rest between two journeys of one user, whose cart is cleared by an event.
            return self._start(self._idle.popleft())
        self.lags_s.append(now_s - arrival.at_s)
        if len(self._waiting) >= self.pool:
            self.dropped += 1
        else:
            self._waiting.append(arrival)
        return None

    def free(self, slot: int, now_s: float) -> Arrival | None:
        """A slot has nothing to do: the arrival that waited longest, or None and the slot is idle."""
        self._busy.discard(slot)
        self._give_up(now_s)
        if self._waiting:
            self._start(slot)
            return self._waiting.popleft()
        self._idle.append(slot)
        return None

    def begun(self, arrival: Arrival, now_s: float) -> None:
        """A slot that was idle begins now: how late the generator itself is."""
        self.lags_s.append(now_s - arrival.at_s)

    @property
    def at_rest(self) -> bool:
        """True when nothing is executed and nothing waits."""
        return not self._busy and not self._waiting

    @property
    def idle(self) -> int:
        """How many slots wait for an arrival."""
        return len(self._idle)

    def abandon(self) -> None:
        """No more time: what still waits is dropped."""
        self.dropped += len(self._waiting)
        self._waiting.clear()

    def _start(self, slot: int) -> int:
        self._busy.add(slot)
        self.started += 1
        return slot

    def _give_up(self, now_s: float) -> None:
        while self._waiting and now_s - self._waiting[0].at_s > self.patience_s:
            self._waiting.popleft()
            self.dropped += 1


def percentile(values: list[float], share: float) -> float:
    """The smallest value that at least `share` of the values do not exceed; 0.0 if there are none."""
    if not values:
        return 0.0
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]
