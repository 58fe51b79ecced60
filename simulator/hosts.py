"""Hosts and processes: where CPU time comes from, and what dies with a process.

A process is one event loop: it does one piece of work at a time, in order of arrival, and a handler goes on until it
waits. The host's few cores go round
among all processes that have work (the load generator too), so load on one service slows the others: hence the knee.
How they go round is `simulator.scheduling`'s to say.
A killed process loses its queue, its timers and its handlers; a paused one keeps them all and acts on them late.
"""

from collections import deque
from collections.abc import Callable
from heapq import heappush
from typing import TYPE_CHECKING, Any

from simulator.kernel import Continuation, Future, Kernel, Steps, Task
from simulator.log_sync import SWITCH_S, LogSync
from simulator.quota import Allowance
from simulator.resources import Job, RunQueues, SharedCores, Usage
from simulator.timers import Timer

if TYPE_CHECKING:
    from simulator.database import Connections

COLD_S = 0.010
"""A sleep after which nothing is left in the caches. (Pieces of 50 microseconds took 6 more after 1 ms, 25 after 5,
75 after 20 and 80 after 50 on the machine where this was developed.)"""

_Work = tuple[float, float, Callable[[Any], None], Any]
"""Since when it waits, its demand, and what follows with what argument."""


class Host:
    """The cores that its processes share.

    `speed`: seconds of demand that a core works off in a second; 1 is the machine that was calibrated.
    `waking_s`: how much longer work takes with which a process goes on after a sleep of COLD_S or more, and in
    proportion after a shorter one: it has to be woken, and the caches hold what others have done meanwhile.
    (Exceptional first service: P. Welch, Operations Research 12, 1964.)
    """

    def __init__(
        self, kernel: Kernel, cores: RunQueues | SharedCores, speed: float = 1.0, waking_s: float = 0.0
    ) -> None:
        self.kernel, self.name, self.cores = kernel, cores.name, cores
        self.speed, self.waking_s = speed, waking_s


def nothing(_: Any) -> None:
    """What work leads to that nobody waits for."""


class Process(Job):
    """An operating-system process: an event loop with a life cycle, for one replica of one or more services.

    `quota`: cores that it may use on average (None: as many as it gets). `commit_wait_s`: how long a commit waits for
    disk and threads, without occupying anything; `disk_delay_s` more if the disk is slow today. `address`: where its
    calls come from; processes that share a host share it.

    For the host it is one job after the other. Its loop is busy in periods, from `_begun_s` until `_awake_s` at least,
    in which one piece of work follows the other: for that it suffices to look up when somebody begins who has slept.
    (Slots, because the interpreter finds them faster than one of 30 names.)
    """

    __slots__ = (
        "_allowance", "_argument", "_awaits_period", "_awake_s", "_begun_s", "_busy_area_s", "_completed", "_cores",
        "_deferred", "_fire_entry", "_follows", "_free", "_left_s", "_log", "_lost", "_patience", "_patient",
        "_queue_max", "_queue_steps", "_speed", "_wait_s", "_wait_s_max", "_waking_s", "_work", "address",
        "clock_skew_s", "commit_wait_s", "cpu_s", "cut_off", "database", "disk_delay_s", "host", "incarnation",
        "kernel", "name", "on_death", "paused", "quota", "requests", "running",
    )  # fmt: skip

    def __init__(self, host: Host, name: str, quota: float | None = None, commit_wait_s: float = 0.0) -> None:
        super().__init__(self.ended)
        self.kernel = host.kernel
        self.name = name
        self._fire_entry = self._fire
        self.running, self.paused = True, False
        self.incarnation = 0
        self.cpu_s = 0.0
        self.clock_skew_s = 0.0
        self.quota, self.commit_wait_s, self.disk_delay_s = quota, commit_wait_s, 0.0
        self.cut_off = False
        self.database: Connections | None = None
        """Its connections to a database server; None: its database is embedded."""
        self.on_death: list[Callable[[], None]] = []
        self._log = LogSync(self)
        self.address = host.name
        self.host, self._cores, self._speed, self._waking_s = host, host.cores, host.speed, host.waking_s
        self._work: deque[_Work] = deque()
        self._patient: deque[Callable[[], None]] = deque()
        self._patience = 0
        self._free = True
        """Whether it could begin with something: it runs, is not paused, and does nothing."""
        self._follows: Callable[[Any], None] = nothing
        self._argument: Any = None
        self._completed = self._lost = self._queue_max = 0
        self._begun_s = self._awake_s = -1.0
        self._busy_area_s = self._queue_steps = self._wait_s = self._wait_s_max = 0.0
        self._left_s, self._allowance, self._awaits_period = 0.0, Allowance(), False
        self.requests: dict[Any, None] = {}
        """Calls that it works on."""
        self._deferred: list[tuple[Callable[..., None], tuple[Any, ...]]] = []

    # -- work -------------------------------------------------------------------------------------------------------

    def work(self, demand_s: float) -> Future:
        """Occupy the event loop (and a core) for `demand_s`; settles when done."""
        future = Future()
        self.run(demand_s, future.settle)
        return future

    def run(self, demand_s: float, then: Callable[[Any], None], argument: Any = None) -> None:
        """Occupy the event loop (and a core) for `demand_s`, then call `then(argument)`."""
        now_s = self.kernel.now
        if not self._free:
            self._work.append((now_s, demand_s, then, argument))
            self._queue_steps -= now_s
            if len(self._work) > self._queue_max:
                self._queue_max = len(self._work)
            return
        self._free, self._follows, self._argument = False, then, argument
        slept_s = now_s - self._awake_s
        if slept_s > 0.0:
            self._busy_area_s += self._awake_s - self._begun_s
            self._begun_s = now_s
            demand_s += self._waking_s if slept_s >= COLD_S else self._waking_s * slept_s / COLD_S
        if self.quota is None:
            self._cores.begin(self, demand_s / self._speed)
        else:
            self._begin_within_quota(demand_s / self._speed)

    def wake(self) -> None:
        """It is awake at this moment: what it begins now takes no longer for that."""
        if self._free:
            self._busy_area_s += self._awake_s - self._begun_s
            self._begun_s = self._awake_s = self.kernel.now

    def _end_period(self, until_s: float) -> None:
        """It has been busy until then, and begins another time now."""
        self._busy_area_s += until_s - self._begun_s
        self._begun_s = self._awake_s = self.kernel.now

    def commit(self, demand_s: float) -> Future:
        """Work, and wait for the disk without occupying anything."""
        future = Future()
        self.write(demand_s, future.settle, None)
        return future

    def write(self, demand_s: float, then: Callable[[Any], None], argument: Any) -> None:
        """Commit, then call `then(argument)`, if the process lives until then."""
        if self.database is not None:
            self.run(demand_s, self._ask_server, (self.database, (self.incarnation, then, argument)))
        elif self.commit_wait_s or self.disk_delay_s:
            self._log.write(demand_s, (then, argument))
        else:
            self.run(demand_s, then, argument)

    def _ask_server(self, what: tuple["Connections", tuple[int, Callable[[Any], None], Any]]) -> None:
        database, commit = what
        self.later(self.commit_wait_s + self.disk_delay_s, database.write, self._written, commit)

    def _written(self, commit: tuple[int, Callable[[Any], None], Any]) -> None:
        incarnation, then, argument = commit
        if incarnation == self.incarnation:
            self.deliver(then, argument)

    def ended(self) -> None:
        """A piece of work is done."""
        self.cpu_s += self.spent_s
        if self._left_s > 0.0:
            self._begin_within_quota(self._left_s)
            return
        self._completed += 1
        # Who goes on at this very moment has not slept.
        self._awake_s = self.kernel.now
        self._free = True
        follows = self._follows  # in two steps, because the interpreter is slow at calling what is in a slot
        follows(self._argument)
        # A handler goes on until it has to wait: the first thing that this led to comes before what has been waiting.
        if self._free:
            if self._work:
                self._take_next()
            elif self._patient:
                self._idle()

    def _take_next(self) -> None:
        since_s, demand_s, self._follows, self._argument = self._work.popleft()
        now_s = self.kernel.now
        self._queue_steps += now_s
        wait_s = now_s - since_s
        self._wait_s += wait_s
        if wait_s > self._wait_s_max:
            self._wait_s_max = wait_s
        self._free = False
        if self.quota is None:
            self._cores.begin(self, demand_s / self._speed)
        else:
            self._begin_within_quota(demand_s / self._speed)

    @property
    def _busy(self) -> bool:
        """Whether it is in the middle of a piece of work; perhaps it waits for a core or for its quota."""
        return self.running and not self._free and (not self.paused or self._left_s > 0.0)

    def when_idle(self, action: Callable[[], None]) -> None:
        """For a thread that wants the interpreter: call `action()` when the event loop has nothing to do.

        In order of asking; and one every SWITCH_S if the loop goes on and on.
        """
        if self.paused:
            self._deferred.append((self.when_idle, (action,)))
        elif self._free and not self._work and not self._patient:
            action()
        else:
            self._patient.append(action)
            if len(self._patient) == 1:
                self._be_patient()

    def _be_patient(self) -> None:
        kernel = self.kernel
        self._patience = number = next(kernel.numbers)
        heappush(kernel.heap, (kernel.now + SWITCH_S, number, self._impatient, (self.incarnation, number)))

    def _impatient(self, due: tuple[int, int]) -> None:
        if due == (self.incarnation, self._patience) and self._patient and not self.paused:
            action = self._patient.popleft()
            if self._patient:
                self._be_patient()
            action()

    def _idle(self) -> None:
        while self._patient and self._free and not self._work:
            self._patient.popleft()()
        if self._patient:
            self._be_patient()

    def usage(self) -> Usage:
        """The event loop as a server with one queue: a demand is the time that a piece of work occupied it."""
        now_s, waiting = self.kernel.now, len(self._work)
        worked_s = self._busy_area_s + max(0.0, self._awake_s - self._begun_s)
        busy_s = self._busy_area_s + now_s - self._begun_s if self._busy else worked_s
        began = self._completed + self._busy
        return Usage(
            self.name, 1, 0.0, now_s, began + waiting + self._lost, self._completed, 0, self._lost,
            busy_s, self._queue_steps + waiting * now_s, self._queue_max, began, self._wait_s, self._wait_s_max,
            worked_s,
        )  # fmt: skip

    def _begin_within_quota(self, demand_s: float) -> None:
        """Work until the period's allowance is used up, and go on when the next period begins."""
        if self.quota is None:  # the quota was lifted in the meantime
            self._left_s = 0.0
            self._cores.begin(self, demand_s)
            return
        slice_s = self._allowance.take(demand_s, self.quota, self.kernel.now)
        if slice_s is None:
            self._left_s, self._awaits_period = demand_s, True
            self.kernel.at(self._allowance.renewed_s, self._next_period, self.incarnation)
            return
        self._left_s = demand_s - slice_s
        self._cores.begin(self, slice_s)

    def _next_period(self, incarnation: int) -> None:
        if incarnation != self.incarnation:
            return
        self._awaits_period = False
        if self.paused:
            self._put_back(0.0)
        else:
            self._begin_within_quota(self._left_s)

    def _put_back(self, left_s: float) -> None:
        """What a pause interrupts is what the process goes on with."""
        now_s = self.kernel.now
        self._work.appendleft((now_s, (left_s + self._left_s) * self._speed, self._follows, self._argument))
        self._queue_steps -= now_s
        self._end_period(now_s)
        self._left_s = 0.0

    # -- time and messages ------------------------------------------------------------------------------------------

    @property
    def clock_ms(self) -> int:
        """What this process takes for the time: it may be wrong by `clock_skew_s`."""
        return int((self.kernel.now + self.clock_skew_s) * 1000)

    def deliver(self, action: Callable[..., None], *arguments: Any) -> None:
        """Something happens to this process: now, at its resumption if it is paused, never if it is dead."""
        if self.paused:
            self._deferred.append((action, arguments))
        elif self.running:
            action(*arguments)

    def after(self, delay_s: float, action: Callable[[], None]) -> Timer:
        """A timer of this process: it dies with it and fires late if the process is paused."""
        timer = Timer(self, action)
        self.kernel.after(delay_s, timer.expire)
        return timer

    def deadline(self, delay_s: float, action: Callable[[], None]) -> Timer:
        """The same for what is mostly cancelled, and has one of few delays."""
        timer = Timer(self, action)
        self.kernel.deadlines(delay_s).add(timer)
        return timer

    def later(self, delay_s: float, action: Callable[..., None], *arguments: Any) -> None:
        """The same for what nobody cancels."""
        kernel, what = self.kernel, (self.incarnation, action, arguments)
        heappush(kernel.heap, (kernel.now + delay_s, next(kernel.numbers), self._fire_entry, what))

    def _fire(self, due: tuple[int, Callable[..., None], tuple[Any, ...]]) -> None:
        incarnation, action, arguments = due
        if incarnation == self.incarnation:
            if self.paused:
                self._deferred.append((action, arguments))
            elif self.running:
                action(*arguments)

    def sleep(self, delay_s: float) -> Future:
        """A delay in a handler."""
        future = Future()
        self.later(delay_s, future.settle)
        return future

    def spawn(self, steps: Steps[Any]) -> Future:
        """Run a handler in this process: it stops for good when the process dies."""
        return Task(steps, self).start()

    def when(self, future: Future, action: Callable[..., None], *arguments: Any) -> None:
        """Call `action(value, error, *arguments)` once the future is settled, if this process lives until then."""
        future.wait(Continuation(self, action, arguments))

    def every(self, interval_s: float, job: Callable[[], Steps[None]], first_s: float | None = None) -> None:
        """Repeat a job, `interval_s` between the end of a round and the next; `first_s`: before the first one."""

        def rounds() -> Steps[None]:
            yield self.sleep(interval_s if first_s is None else first_s)
            while True:
                yield from job()
                yield self.sleep(interval_s)

        self.spawn(rounds())

    # -- life cycle -------------------------------------------------------------------------------------------------

    def kill(self) -> None:
        """SIGKILL: queue, timers and handlers are gone; peers see their connections reset."""
        self._lose_work()
        self.running, self.paused, self._free = False, False, False
        self.incarnation += 1
        self._deferred.clear()
        self._patient.clear()
        for notify in list(self.on_death):
            notify()

    def _lose_work(self) -> None:
        now_s, at_work = self.kernel.now, self._busy  # not so the piece whose end has led to this: it is done
        if at_work and not self._awaits_period:
            self._interrupt()
        self._end_period(now_s if at_work else self._awake_s)
        self._queue_steps += len(self._work) * now_s
        self._lost += len(self._work) + at_work
        self._work.clear()
        self._left_s, self._awaits_period = 0.0, False

    def start(self) -> None:
        """A fresh incarnation, with nothing but what the database kept."""
        self.running = self._free = True

    def pause(self) -> None:
        """SIGSTOP: the kernel still accepts connections for it, the process does nothing."""
        at_work = self._busy and not self._awaits_period
        self.paused = self.running
        if at_work:
            self._put_back(self._interrupt())
        self._free = False

    def resume(self) -> None:
        """SIGCONT: everything that piled up happens now, in order, all of it late."""
        if not self.paused:
            return
        self._free = not self._busy
        self.paused = False
        deferred, self._deferred = self._deferred, []
        if self._work and self._free:
            self._end_period(self._awake_s)
            self._take_next()
        for action, arguments in deferred:
            self.deliver(action, *arguments)
        self._idle()

    def _interrupt(self) -> float:
        """Let the core go in the middle of a piece of work; what was left of it."""
        left_s = self._cores.cancel(self)
        self.cpu_s += self.spent_s
        return left_s
