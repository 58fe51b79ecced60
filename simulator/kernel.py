"""Virtual time on SimPy, and the smallest machinery that lets a service handler read like a sentence.

A handler is a generator that yields `Future`s (a reply, a slot of CPU, a delay). `Task` advances it from callbacks: no
SimPy process and no extra event per request, so a payment of a dozen hops costs a few heap entries a hop. What becomes
ready at the same instant runs in the order in which it was scheduled: the run is a pure function of its input.
"""

from collections.abc import Callable, Generator
from functools import partial
from typing import Any, TypeVar

import simpy

T = TypeVar("T")
Steps = Generator["Future", Any, T]
"""A handler: yields futures, is resumed with their values, returns a T."""


class Crashed(Exception):
    """Raised out of the code that a crash point has just killed; nothing after it may run."""


class Future:
    """A value that becomes known once; whoever waits for it is called at that very instant."""

    __slots__ = ("_waiter", "error", "settled", "value")

    def __init__(self) -> None:
        self.settled = False
        self.value: Any = None
        self.error: Exception | None = None
        self._waiter: Callable[[], None] | None = None

    @property
    def awaited(self) -> bool:
        """Does anybody wait? An error that nobody waits for must not vanish."""
        return self._waiter is not None

    def settle(self, value: Any = None, error: Exception | None = None) -> None:
        """Make the value (or the error) known; later answers are ignored, the first one counts."""
        if self.settled:
            return
        self.settled, self.value, self.error = True, value, error
        if self._waiter is not None:
            self._waiter()

    def then(self, waiter: Callable[[], None]) -> None:
        """Call `waiter` once settled (at once if it is already)."""
        self._waiter = waiter
        if self.settled:
            waiter()


class Timer:
    """A scheduled action that can be cancelled. (SimPy's heap entry stays; it does nothing then.)"""

    __slots__ = ("action",)

    def __init__(self, action: Callable[[], None]) -> None:
        self.action: Callable[[], None] | None = action

    def cancel(self) -> None:
        """Forget the action."""
        self.action = None

    def fire(self, _event: object) -> None:
        """Run the action unless cancelled."""
        if self.action is not None:
            self.action()


class Kernel:
    """The clock and the agenda of one run."""

    def __init__(self) -> None:
        self._environment = simpy.Environment()

    @property
    def now_s(self) -> float:
        """Seconds since the start of the run."""
        return float(self._environment.now)

    @property
    def now_ms(self) -> int:
        """The same clock as the protocol's leases read it: whole milliseconds."""
        return int(self._environment.now * 1000)

    def after(self, delay_s: float, action: Callable[[], None]) -> Timer:
        """Run `action` in `delay_s` seconds."""
        timer = Timer(action)
        self._environment.timeout(delay_s).callbacks.append(timer.fire)
        return timer

    def at(self, time_s: float, action: Callable[[], None]) -> Timer:
        """Run `action` at `time_s` (now, if that is past)."""
        return self.after(max(0.0, time_s - self.now_s), action)

    def run(self, until_s: float) -> None:
        """Play the agenda up to `until_s`."""
        self._environment.run(until=until_s)


class Task:
    """Advances one handler. `alive`: whether the process it runs in still exists; a dead one's handler just stops."""

    __slots__ = ("_alive", "_steps", "future")

    def __init__(self, steps: Steps[Any], alive: Callable[[], bool]) -> None:
        self._steps = steps
        self._alive = alive
        self.future = Future()

    def start(self) -> Future:
        """Run up to the first wait; returns the future of the handler's result."""
        self._advance(None, None)
        return self.future

    def _resume(self, awaited: Future) -> None:
        self._advance(awaited.value, awaited.error)

    def _advance(self, value: Any, error: Exception | None) -> None:
        while self._alive():
            try:
                awaited = self._steps.send(value) if error is None else self._steps.throw(error)
            except StopIteration as stop:
                self.future.settle(stop.value)
                return
            except Crashed:
                return
            except Exception as failure:
                if not self.future.awaited:
                    raise
                self.future.settle(error=failure)
                return
            if not awaited.settled:
                awaited.then(partial(self._resume, awaited))
                return
            value, error = awaited.value, awaited.error
