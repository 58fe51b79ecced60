"""Servers with one queue, first come first served: M/M/1, M/D/c, Erlang's loss system, a thread pool, a disk."""

from collections import deque
from collections.abc import Callable
from heapq import heappush
from math import inf
from typing import Any

from simulator.resources.agenda import Agenda
from simulator.resources.statistics import Usage

Then = Callable[..., None]


class Station:
    """`servers` equal servers; at most `room` customers wait, and who finds no room is refused."""

    __slots__ = (
        "_agenda", "_arrived", "_began", "_busy", "_busy_steps", "_completed", "_demand_s", "_ended_entry",
        "_queue_max", "_queue_steps", "_refused", "_room", "_wait_s", "_wait_s_max", "_waiting", "name", "servers",
    )  # fmt: skip

    def __init__(self, agenda: Agenda, name: str, servers: int = 1, room: float = inf) -> None:
        self._agenda, self.name, self.servers, self._room = agenda, name, servers, room
        self._waiting: deque[tuple[float, float, Then, tuple[Any, ...]]] = deque()
        self._busy = 0
        self._ended_entry = self._ended
        # Statistics are kept in line, not in objects: a method call would cost more than the visit's own arithmetic.
        self._arrived = self._began = self._completed = self._refused = self._queue_max = 0
        self._busy_steps = self._queue_steps = self._wait_s = self._wait_s_max = self._demand_s = 0.0

    @property
    def busy(self) -> int:
        """Servers at work now."""
        return self._busy

    @property
    def waiting(self) -> int:
        """Customers in the queue now."""
        return len(self._waiting)

    def visit(self, service_s: float, then: Then, *arguments: Any) -> bool:
        """Take `service_s` seconds of one server, then call `then(*arguments)`. False: refused, nothing will happen."""
        agenda = self._agenda
        now_s = agenda.now
        self._arrived += 1
        if self._busy < self.servers:
            self._busy += 1
            self._began += 1
            self._busy_steps -= now_s
            heappush(
                agenda.heap,
                (now_s + service_s, next(agenda.numbers), self._ended_entry, (service_s, then, arguments)),
            )
            return True
        waiting = self._waiting
        if len(waiting) >= self._room:
            self._refused += 1
            return False
        waiting.append((now_s, service_s, then, arguments))
        self._queue_steps -= now_s
        if len(waiting) > self._queue_max:
            self._queue_max = len(waiting)
        return True

    def _ended(self, visit: tuple[float, Then, tuple[Any, ...]]) -> None:
        service_s, then, arguments = visit
        agenda = self._agenda
        now_s = agenda.now
        self._completed += 1
        self._demand_s += service_s
        waiting = self._waiting
        if waiting:
            since_s, next_s, next_then, next_arguments = waiting.popleft()
            self._queue_steps += now_s
            self._began += 1
            wait_s = now_s - since_s
            self._wait_s += wait_s
            if wait_s > self._wait_s_max:
                self._wait_s_max = wait_s
            heappush(
                agenda.heap,
                (now_s + next_s, next(agenda.numbers), self._ended_entry, (next_s, next_then, next_arguments)),
            )
        else:
            self._busy -= 1
            self._busy_steps += now_s
        then(*arguments)

    def usage(self) -> Usage:
        """Everything since the start."""
        now_s = self._agenda.now
        return Usage(
            self.name, self.servers, 0.0, now_s, self._arrived, self._completed, self._refused, 0,
            self._busy_steps + self._busy * now_s, self._queue_steps + len(self._waiting) * now_s, self._queue_max,
            self._began, self._wait_s, self._wait_s_max, self._demand_s,
        )  # fmt: skip
