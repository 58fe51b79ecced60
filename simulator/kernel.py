"""Virtual time, and the smallest machinery that lets a service handler read like a sentence.

A handler is a generator that yields `Future`s (a reply, a slot of CPU, a delay). `Task` advances it from callbacks: no
SimPy process and no extra event per request, so a payment of a dozen hops costs a few heap entries a hop. What becomes
ready at the same instant runs in the order in which it was scheduled: the run is a pure function of its input.
"""

import gc
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from typing import Any, Protocol, TypeVar

from simulator.resources import Agenda, Deadlines

T = TypeVar("T")
Steps = Generator["Future | Commit", Any, T]
"""A handler: yields futures (and commits), is resumed with their values, returns a T."""


class Crashed(Exception):
    """Raised out of the code that a crash point has just killed; nothing after it may run."""


class Commit:
    """What a handler yields to go on when what it has changed is durable: one object for all commits of a length."""

    __slots__ = ("demand_s",)

    def __init__(self, demand_s: float) -> None:
        self.demand_s = demand_s


class Waiter(Protocol):
    """Whoever waits for a future.

    It is told value and error: to fetch them from futures of several classes takes the interpreter several times as
    long.
    """

    def resume(self, value: Any, error: Exception | None) -> None:
        """The future has just been settled."""
        ...


class Future:
    """A value that becomes known once; whoever waits for it is called at that very instant."""

    __slots__ = ("_waiter", "error", "settled", "value")

    def __init__(self) -> None:
        self.settled = False
        self.value: Any = None
        self.error: Exception | None = None
        self._waiter: Waiter | None = None

    def settle(self, value: Any = None, error: Exception | None = None) -> None:
        """Make the value (or the error) known; later answers are ignored, the first one counts."""
        if self.settled:
            return
        self.settled, self.value, self.error = True, value, error
        if self._waiter is not None:
            self._waiter.resume(value, error)

    def wait(self, waiter: Waiter) -> None:
        """Resume `waiter` once settled (at once if it is already)."""
        self._waiter = waiter
        if self.settled:
            waiter.resume(self.value, self.error)

    def then(self, action: Callable[[], None]) -> None:
        """Call `action` once settled (at once if it is already)."""
        self.wait(_Call(action))


class _Call:
    """A plain function that waits."""

    __slots__ = ("_action",)

    def __init__(self, action: Callable[[], None]) -> None:
        self._action = action

    def resume(self, value: Any, error: Exception | None) -> None:
        self._action()


class Kernel(Agenda):
    """The clock and the agenda of one run, with deadlines by their length."""

    def __init__(self) -> None:
        super().__init__()
        self._deadlines: dict[float, Deadlines] = {}

    @property
    def now_s(self) -> float:
        """Seconds since the start of the run."""
        return self.now

    @property
    def now_ms(self) -> int:
        """The same clock as the protocol's leases read it: whole milliseconds."""
        return int(self.now * 1000)

    def deadlines(self, delay_s: float) -> Deadlines:
        """All deadlines of this length: most of what has one is over long before it."""
        found = self._deadlines.get(delay_s)
        if found is None:
            found = self._deadlines[delay_s] = Deadlines(self, delay_s)
        return found


@contextmanager
def uncollected() -> Iterator[None]:
    """Without the cyclic garbage collector: a history only grows, and looking through it again and again finds nothing.

    Counting references frees what a request leaves behind; only handlers of killed processes wait for the end.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


class Owner(Protocol):
    """The process that a handler runs in: each of its lives has a number."""

    incarnation: int

    def write(self, demand_s: float, then: Callable[[Any], None], argument: Any) -> None:
        """Commit, then call `then(argument)`."""
        ...


class Task(Future):
    """Advances one handler; the future of its result. When its process dies it just stops, for good."""

    __slots__ = ("_incarnation", "_owner", "_send", "_steps")

    def __init__(self, steps: Steps[Any], owner: Owner, waiter: Waiter | None = None) -> None:
        self.settled, self._waiter = False, waiter
        self._steps, self._send = steps, steps.send
        self._owner, self._incarnation = owner, owner.incarnation

    def start(self) -> "Task":
        """Run up to the first wait."""
        self.resume()
        return self

    def resume(self, value: Any = None, error: Exception | None = None) -> None:
        """What the handler waited for is there: run up to the next wait."""
        owner, incarnation = self._owner, self._incarnation
        send = self._send  # in two steps, because the interpreter is slow at calling what is in a slot
        while owner.incarnation == incarnation:
            try:
                waits_for = send(value) if error is None else self._steps.throw(error)
            except StopIteration as stop:
                # Nobody else settles a task; `settle` would be slower, for it is asked by futures of several classes.
                self.settled, self.value, self.error = True, stop.value, None
                waiter = self._waiter
                if waiter is not None:
                    waiter.resume(stop.value, None)
                return
            except Crashed:
                return
            except Exception as failure:
                if self._waiter is None:  # an error that nobody waits for must not vanish
                    raise
                self.settle(error=failure)
                return
            if isinstance(waits_for, Commit):
                owner.write(waits_for.demand_s, self.resume, None)
                return
            if not waits_for.settled:
                waits_for._waiter = self
                return
            value, error = waits_for.value, waits_for.error


class Continuation:
    """A handler of one step: what goes on with a future, in the same life of its process."""

    __slots__ = ("_action", "_arguments", "_incarnation", "_owner")

    def __init__(self, owner: Owner, action: Callable[..., None], arguments: tuple[Any, ...]) -> None:
        self._owner, self._incarnation = owner, owner.incarnation
        self._action, self._arguments = action, arguments

    def resume(self, value: Any, error: Exception | None) -> None:
        """What was waited for is there."""
        if self._owner.incarnation == self._incarnation:
            try:
                self._action(value, error, *self._arguments)
            except Crashed:
                return
