"""Hosts and processes: where CPU time comes from, and what dies with a process.

A process is one event loop: it does one piece of work at a time, in order of arrival. The host has few cores, shared by
everything placed on it (the load generator too), so load on one service slows the others: hence the knee.
A killed process loses its queue, its timers and its handlers; a paused one keeps them all and acts on them late.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from simulator.kernel import Future, Kernel, Steps, Task, Timer


class Host:
    """`cores` cores, given to the processes that have work in order of asking.

    `speed`: seconds of demand that a core works off in a second; 1 is the machine that was calibrated.
    """

    def __init__(self, kernel: Kernel, cores: int, speed: float = 1.0) -> None:
        self.kernel = kernel
        self.speed = speed
        self._free = cores
        self._waiting: deque[Process] = deque()

    def ask(self, process: "Process") -> None:
        """Give `process` a core now, or when one is free."""
        self._waiting.append(process)
        self._grant()

    def give_back(self) -> None:
        """A core is free again."""
        self._free += 1
        self._grant()

    def _grant(self) -> None:
        while self._free and self._waiting:
            process = self._waiting.popleft()
            if process.begin_work():
                self._free -= 1


class Process:
    """An operating-system process: an event loop with a life cycle, for one replica of one or more services."""

    def __init__(self, host: Host, name: str) -> None:
        self.kernel = host.kernel
        self.name = name
        self.running, self.paused = True, False
        self.incarnation = 0
        self.cpu_s = 0.0
        self.clock_skew_s = 0.0
        self.disk_delay_s = 0.0
        self.on_death: list[Callable[[], None]] = []
        self._host = host
        self._work: deque[tuple[float, Future]] = deque()
        self._queued = False
        self._busy = False
        self._deferred: list[Callable[[], None]] = []

    # -- work -------------------------------------------------------------------------------------------------------

    def work(self, demand_s: float) -> Future:
        """Occupy the event loop (and a core) for `demand_s`; settles when done."""
        future = Future()
        self._work.append((demand_s, future))
        self._ask()
        return future

    def commit(self, demand_s: float) -> Future:
        """Work, and then wait for the disk if it is slow today: `disk_delay_s` more, without occupying anything."""
        worked = self.work(demand_s)
        if not self.disk_delay_s:
            return worked
        written = Future()
        worked.then(lambda: self._wait_for_disk(written))
        return written

    def _wait_for_disk(self, written: Future) -> None:
        self.after(self.disk_delay_s, written.settle)

    def begin_work(self) -> bool:
        """Called by the host with a core in hand: take the next piece of work, or decline."""
        self._queued = False
        if not self._work or self._busy or self.paused or not self.running:
            return False
        self._busy = True
        demand_s, future = self._work.popleft()
        demand_s /= self._host.speed
        self.cpu_s += demand_s
        incarnation = self.incarnation
        self.kernel.after(demand_s, lambda: self._finish_work(incarnation, future))
        return True

    def _finish_work(self, incarnation: int, future: Future) -> None:
        self._host.give_back()
        if incarnation == self.incarnation:
            self._busy = False
            self.deliver(future.settle)
            self._ask()

    def _ask(self) -> None:
        if self._work and not self._queued and not self._busy and not self.paused and self.running:
            self._queued = True
            self._host.ask(self)

    # -- time and messages ------------------------------------------------------------------------------------------

    @property
    def clock_ms(self) -> int:
        """What this process takes for the time: it may be wrong by `clock_skew_s`."""
        return int((self.kernel.now_s + self.clock_skew_s) * 1000)

    def deliver(self, action: Callable[[], None]) -> None:
        """Something happens to this process: now, at its resumption if it is paused, never if it is dead."""
        if self.paused:
            self._deferred.append(action)
        elif self.running:
            action()

    def after(self, delay_s: float, action: Callable[[], None]) -> Timer:
        """A timer of this process: it dies with it and fires late if the process is paused."""
        incarnation = self.incarnation
        return self.kernel.after(delay_s, lambda: self.deliver(action) if incarnation == self.incarnation else None)

    def sleep(self, delay_s: float) -> Future:
        """A delay in a handler."""
        future = Future()
        self.after(delay_s, future.settle)
        return future

    def spawn(self, steps: Steps[Any]) -> Future:
        """Run a handler in this process: it stops for good when the process dies."""
        incarnation = self.incarnation
        return Task(steps, lambda: incarnation == self.incarnation).start()

    def every(self, interval_s: float, job: Callable[[], Steps[None]]) -> None:
        """Repeat a job with `interval_s` between the end of one round and the start of the next."""

        def rounds() -> Steps[None]:
            while True:
                yield self.sleep(interval_s)
                yield from job()

        self.spawn(rounds())

    # -- life cycle -------------------------------------------------------------------------------------------------

    def kill(self) -> None:
        """SIGKILL: queue, timers and handlers are gone; peers see their connections reset."""
        self.running, self.paused = False, False
        self.incarnation += 1
        self._work.clear()
        self._deferred.clear()
        self._busy = False
        for notify in list(self.on_death):
            notify()

    def start(self) -> None:
        """A fresh incarnation, with nothing but what the database kept."""
        self.running = True

    def pause(self) -> None:
        """SIGSTOP: the kernel still accepts connections for it, the process does nothing."""
        self.paused = self.running

    def resume(self) -> None:
        """SIGCONT: everything that piled up happens now, in order, all of it late."""
        self.paused = False
        deferred, self._deferred = self._deferred, []
        for action in deferred:
            self.deliver(action)
        self._ask()


class App(Protocol):
    """A service inside a process: answers requests, and forgets everything when the process dies."""

    def handle(self, route: str, body: Any) -> Steps[tuple[int, Any, Callable[[], None]]]:
        """Answer one request: HTTP status, body, and what to do when the answer has left."""
        ...

    def start(self) -> None:
        """Recover what the database kept, start the background work."""
        ...


@dataclass(eq=False)
class Replica:
    """One replica of one service; `app` is None while it does not serve."""

    service: str
    name: str
    process: Process
    app: App | None = None
