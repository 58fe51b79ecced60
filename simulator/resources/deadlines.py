"""Many timeouts of the same length: they expire in the order in which they began, so a queue replaces the heap.

Most calls are answered long before their deadline. In a heap each would leave a dead entry behind for the length of the
timeout; here the answered ones are dropped in passing, by the one watcher that sleeps until the oldest is due.
"""

from collections import deque
from typing import Protocol

from simulator.resources.agenda import Agenda


class Expires(Protocol):
    """Something that may be over before its deadline."""

    settled: bool

    def expire(self) -> None:
        """The deadline has passed, and it is not over."""
        ...


class Deadlines:
    """All deadlines `delay_s` from their beginning."""

    __slots__ = ("_agenda", "_pending", "_watching", "delay_s")

    def __init__(self, agenda: Agenda, delay_s: float) -> None:
        self._agenda, self.delay_s = agenda, delay_s
        self._pending: deque[tuple[float, Expires]] = deque()
        self._watching = False

    def add(self, item: Expires) -> None:
        """`item.expire()` is called in `delay_s` seconds, unless it is settled by then."""
        due_s, pending = self._agenda.now + self.delay_s, self._pending
        # Let go at once of what is over: it is still in the processor's cache, and takes its bodies with it.
        while pending and pending[0][1].settled:
            pending.popleft()
        pending.append((due_s, item))
        if not self._watching:
            self._watching = True
            self._agenda.at(due_s, self._watch)

    def _watch(self) -> None:
        pending, now_s = self._pending, self._agenda.now
        while pending and (pending[0][1].settled or pending[0][0] <= now_s):
            item = pending.popleft()[1]
            if not item.settled:
                item.expire()
        self._watching = bool(pending)
        if pending:
            self._agenda.at(pending[0][0], self._watch)
