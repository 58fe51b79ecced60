"""The agenda: what happens when, in one heap of plain callbacks, with SimPy's processes as guests.

A SimPy event costs an object, a list of callbacks and two method calls before anything happens; here an entry is a
tuple and a call. What falls on the same instant runs in the order in which it was put down (SimPy's urgent events
first), so a run is a pure function of its input.
"""

from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import partial
from heapq import heapify, heappop, heappush
from itertools import count
from operator import call
from typing import Any, TypeVar

import simpy
from simpy.core import EmptySchedule

NORMAL = 1
_URGENT_FIRST = -(1 << 62)
"""Added to the number of an urgent entry: it precedes all normal ones of its instant, in order among themselves."""
_BEFORE_ALL = 2 * _URGENT_FIRST
"""The number of an entry that precedes even those."""

T = TypeVar("T")
Entry = tuple[float, int, Callable[[Any], None], Any]
"""When, its number, and a call with one argument: the interpreter takes twice as long for any number of them."""


class Agenda(simpy.Environment):
    """Virtual time in seconds. A `simpy.Environment` whose own heap also holds plain callbacks."""

    # Slots, because the interpreter does not cache the look-up of an instance's value behind the class' property `now`.
    __slots__ = ("heap", "now", "numbers")

    def __init__(self) -> None:
        super().__init__()
        self.now: float = 0.0
        """Seconds since the start."""
        self.heap: list[Entry] = []
        self.numbers = count()

    def at(self, time_s: float, action: Callable[..., None], *arguments: Any) -> None:
        """Call `action(*arguments)` at `time_s` (now, if that is past)."""
        due_s = time_s if time_s > self.now else self.now
        if len(arguments) == 1:
            heappush(self.heap, (due_s, next(self.numbers), action, arguments[0]))
        else:
            heappush(self.heap, (due_s, next(self.numbers), call, partial(action, *arguments)))

    def after(self, delay_s: float, action: Callable[..., None], *arguments: Any) -> None:
        """Call `action(*arguments)` in `delay_s` seconds (not negative)."""
        if len(arguments) == 1:
            heappush(self.heap, (self.now + delay_s, next(self.numbers), action, arguments[0]))
        else:
            heappush(self.heap, (self.now + delay_s, next(self.numbers), call, partial(action, *arguments)))

    def first_at(self, time_s: float, action: Callable[[T], None], argument: T) -> None:
        """Call `action(argument)` at `time_s`, which is to come, before everything else of that instant."""
        heappush(self.heap, (time_s, next(self.numbers) + _URGENT_FIRST, action, argument))

    def withdraw(self, action: Callable[[Any], None], argument: Any) -> None:
        """Take what was put down as this very call off again; all entries are looked at."""
        self.heap[:] = [entry for entry in self.heap if entry[2] is not action or entry[3] is not argument]
        heapify(self.heap)

    def at_each(self, moments: Iterable[tuple[float, T]], action: Callable[[T], None]) -> None:
        """Call `action(item)` at the time of each (time in seconds, item), which come in order of time.

        What falls on the same instant is ordered as if all of them were put down now; but only the next one is in the
        heap, because every push and pop of anything else costs more in a large heap.
        """
        numbers = self.numbers
        entries = iter([(time_s, next(numbers), item) for time_s, item in moments])

        def follow() -> None:
            following = next(entries, None)
            if following is not None:
                time_s, number, item = following
                heappush(self.heap, (time_s if time_s > self.now else self.now, number, happen, item))

        def happen(item: T) -> None:
            follow()
            action(item)

        follow()

    def run_until(self, time_s: float) -> None:
        """Play everything that is due before `time_s`; then it is `time_s`."""
        if time_s <= self.now:
            return
        heap, pop = self.heap, heappop
        # An entry that ends it spares all others the question whether they are due before it.
        heappush(heap, (time_s, _BEFORE_ALL, _reached, None))
        while self.now < time_s:
            with suppress(_Reached):
                while True:
                    self.now, _, action, argument = pop(heap)
                    action(argument)

    # -- what SimPy's own events and `run` need ---------------------------------------------------------------------

    def schedule(self, event: Any, priority: int = NORMAL, delay: float = 0) -> None:
        """Put a SimPy event on the agenda."""
        number = next(self.numbers) + (0 if priority else _URGENT_FIRST)
        heappush(self.heap, (self.now + delay, number, _happen, event))

    def peek(self) -> float:
        """When the next entry is due; infinity if there is none."""
        return self.heap[0][0] if self.heap else float("inf")

    def step(self) -> None:
        """Play one entry. Raises EmptySchedule if there is none."""
        if not self.heap:
            raise EmptySchedule
        self.now, _, action, argument = heappop(self.heap)
        action(argument)


class _Reached(Exception):
    """It is as late as was asked for."""


def _reached(_: Any) -> None:
    raise _Reached


def _happen(event: Any) -> None:
    """A SimPy event's turn: as `simpy.Environment.step` does it, an error that nobody took care of is raised."""
    callbacks, event.callbacks = event.callbacks, None
    for callback in callbacks:
        callback(event)
    if not event._ok and not hasattr(event, "_defused"):
        raise event._value
