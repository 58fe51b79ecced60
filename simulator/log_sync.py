"""The thread that makes the commits of an embedded database durable, as settlement.chassis.durability has it.

It needs what the event loop has: the interpreter, which is let go of when the loop has nothing to do, or after
SWITCH_S of work. So on a busy process a commit takes longer than its disk.
"""

from collections.abc import Callable
from heapq import heappush
from typing import TYPE_CHECKING, Any

from simulator.resources import Job

if TYPE_CHECKING:
    from simulator.hosts import Process

SWITCH_S = 0.005
"""After so long the interpreter is given to a thread that wants it (sys.getswitchinterval)."""

Commit = tuple[Callable[[Any], None], Any]
"""What follows when it is durable, with what argument."""


class LogSync:
    """One sync at a time: whoever commits while one is under way shares the next with all others who do."""

    __slots__ = ("_at_work", "_batch", "_demand_s", "_job", "_next", "_process", "_syncing")

    def __init__(self, process: "Process") -> None:
        self._process = process
        self._job = Job(self._asked)
        self._demand_s = 0.0
        self._next: list[Commit] = []
        self._batch: list[Commit] = []
        self._at_work = self._syncing = False
        process.on_death.append(self._forget)

    def write(self, demand_s: float, commit: Commit) -> None:
        """Make it durable; `demand_s`: the thread's work for a sync."""
        self._next.append(commit)
        self._demand_s = demand_s
        if not self._syncing:
            self._syncing = True
            self._process.when_idle(self._begin)

    def _begin(self) -> None:
        self._batch, self._next = self._next, []
        process, job = self._process, self._job
        if process.quota is None:
            self._at_work, job.core = True, process.core
            process.host.cores.begin(job, self._demand_s / process.host.speed)
        else:
            process.run(self._demand_s, self._at_disk)

    def _asked(self) -> None:
        self._at_work = False
        self._process.cpu_s += self._job.spent_s
        self._at_disk()

    def _at_disk(self, _: None = None) -> None:
        process = self._process
        kernel, wait_s = process.kernel, process.commit_wait_s + process.disk_delay_s
        heappush(kernel.heap, (kernel.now + wait_s, next(kernel.numbers), self._synced, process.incarnation))

    def _synced(self, incarnation: int) -> None:
        if incarnation == self._process.incarnation:
            self._process.when_idle(self._done)

    def _done(self) -> None:
        batch, self._batch = self._batch, []
        process = self._process
        incarnation = process.incarnation
        for then, argument in batch:
            if process.incarnation == incarnation:  # what follows may kill it
                then(argument)
        if process.incarnation == incarnation:
            self._syncing = bool(self._next)
            if self._syncing:
                process.when_idle(self._begin)

    def _forget(self) -> None:
        if self._at_work:
            self._at_work = False
            self._process.host.cores.cancel(self._job)
            self._process.cpu_s += self._job.spent_s
        self._next, self._batch, self._syncing = [], [], False
