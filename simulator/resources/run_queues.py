"""Cores with a run queue each, as an operating system's scheduler has them, whose speed may change.

Work goes to the core that its process was on last, to an idle one if that is busy, and into the queue of the last one
if all are. There it stays, even if another core falls idle a moment later; but when it has waited for a clock tick, a
core that is idle pulls it over. A core takes turns of one time slice at most, in order of arrival; with short slices
that is processor sharing on each core by itself (`SharedCores` is the ideal, for all cores together). Who has done one
piece of work and has another at once goes on within its turn.

A core's speed is looked up when work is put on it, for a turn is far shorter than the moods of a machine.
"""

from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from heapq import heappush
from typing import Any

from simulator.resources.agenda import Agenda
from simulator.resources.job import NEVER, Job
from simulator.resources.statistics import Usage

STEADY = ((1.0,),)
"""One core, as fast as ever."""
TICK_S = 0.004
"""A scheduler's clock tick, at 250 Hz: who has waited so long is pulled over by a core that is idle."""


class _Core:
    """`job`: who is on it. `turn_of`: whose turn it is, which of `allowance_s` seconds' work is left."""

    __slots__ = ("allowance_s", "job", "takes_s", "turn_of", "waiting")

    def __init__(self, takes_s: Sequence[float]) -> None:
        self.takes_s = takes_s
        self.job: Job | None = None
        self.turn_of: Job | None = None
        self.allowance_s = 0.0
        self.waiting: deque[Job] = deque()


class RunQueues:
    """`cores` cores that take turns of `slice_s` seconds' work at most.

    `takes_s`: what a second's work takes on each core, `per_s` figures a second and then from the beginning; cores
    beyond those listed are like the first ones. In `usage()` a job's demand is how long it occupied a core, and its
    wait is the rest of its stay.
    """

    def __init__(
        self,
        agenda: Agenda,
        name: str,
        cores: int,
        slice_s: float,
        takes_s: Sequence[Sequence[float]] = STEADY,
        per_s: float = 1.0,
    ) -> None:
        self._agenda, self.name, self.cores, self._slice_s = agenda, name, cores, slice_s
        self._cores = [_Core(takes_s[number % len(takes_s)]) for number in range(cores)]
        self._figures, self._per_s = len(takes_s[0]), per_s
        self._turn_entry, self._pull_entry = self._turn_over, self._pull_over
        self.idle = cores
        """Cores that have nothing to do."""
        self._arrived = self._gave_up = self._waiting = self._queue_max = 0
        self._busy_s = self._queue_steps = self._wait_s = self._wait_s_max = self._demand_s = 0.0

    @property
    def running(self) -> int:
        """Jobs in progress."""
        return sum(core.job is not None for core in self._cores) + self._waiting

    def run(self, demand_s: float, then: Callable[..., None], *arguments: Any) -> Job:
        """Do `demand_s` seconds' work, then call `then(*arguments)`."""
        job = Job(partial(then, *arguments) if arguments else then)
        self.begin(job, demand_s)
        return job

    def begin(self, job: Job, demand_s: float) -> None:
        """Do `demand_s` seconds' work for a job that has nothing to do."""
        agenda = self._agenda
        now_s = agenda.now
        job.since_s, job.live = now_s, True
        self._arrived += 1
        core = self._cores[job.core]
        if core.turn_of is not job or core.allowance_s <= 0.0:
            if core.turn_of is None:
                self.idle -= 1
            elif self.idle:
                self.idle -= 1
                job.core, core = self._first_idle()
            else:
                job.left_s, job.spent_s = demand_s, 0.0
                self._wait(job, core)
                return
            core.turn_of, core.allowance_s = job, self._slice_s
        # As in `_put`, which would cost a call more for every piece of work of a run.
        work_s = demand_s if demand_s < core.allowance_s else core.allowance_s
        core.allowance_s -= work_s
        lasts_s = work_s * core.takes_s[int(now_s * self._per_s) % self._figures]
        core.job, job.starts_s, job.turn_s = job, now_s, work_s
        job.left_s, job.spent_s = demand_s - work_s, lasts_s
        self._busy_s += lasts_s
        due_s = job.due_s = now_s + lasts_s
        heappush(agenda.heap, (due_s, next(agenda.numbers), self._turn_entry, job))

    def _first_idle(self) -> tuple[int, _Core]:
        return next((number, core) for number, core in enumerate(self._cores) if core.turn_of is None)

    def cancel(self, job: Job) -> float:
        """Drop a job; the seconds' work that it still needed. Nothing happens (0) if it is done already."""
        if not job.live:
            return 0.0
        left_s, core = job.left_s, self._cores[job.core]
        if core.job is job:
            lasts_s, undone_s = job.due_s - job.starts_s, job.due_s - self._agenda.now
            if lasts_s > 0.0:
                left_s += job.turn_s * undone_s / lasts_s
            job.spent_s -= undone_s
            self._busy_s -= undone_s
            job.due_s, core.job = NEVER, None
            self._next(core)
        else:
            core.waiting.remove(job)
            self._waiting -= 1
            self._queue_steps += self._agenda.now
        job.live = False
        self._gave_up += 1
        return left_s

    def usage(self) -> Usage:
        """Everything since the start."""
        now_s = self._agenda.now
        completed = self._arrived - self._gave_up - self.running
        ahead_s = sum(core.job.due_s - now_s for core in self._cores if core.job is not None)
        return Usage(
            self.name, self.cores, 0.0, now_s, self._arrived, completed, 0, self._gave_up, self._busy_s - ahead_s,
            self._queue_steps + self._waiting * now_s, self._queue_max, completed, self._wait_s,
            self._wait_s_max, self._demand_s,
        )  # fmt: skip

    def _put(self, job: Job, core: _Core) -> None:
        """On a free core."""
        agenda = self._agenda
        now_s = agenda.now
        if core.turn_of is not job:
            core.turn_of, core.allowance_s = job, self._slice_s
        work_s = job.left_s
        if work_s > core.allowance_s:
            work_s = core.allowance_s
        core.allowance_s -= work_s
        lasts_s = work_s * core.takes_s[int(now_s * self._per_s) % self._figures]
        core.job, job.starts_s, job.turn_s = job, now_s, work_s
        job.left_s -= work_s
        job.spent_s += lasts_s
        self._busy_s += lasts_s
        due_s = job.due_s = now_s + lasts_s
        heappush(agenda.heap, (due_s, next(agenda.numbers), self._turn_entry, job))

    def _wait(self, job: Job, core: _Core) -> None:
        job.queued_s = now_s = self._agenda.now
        core.waiting.append(job)
        self._queue_steps -= now_s
        self._waiting += 1
        if self._waiting > self._queue_max:
            self._queue_max = self._waiting

    def _next(self, core: _Core) -> None:
        """Whose turn is it on a free core?"""
        core.turn_of = None
        if core.waiting:
            self._waiting -= 1
            self._queue_steps += self._agenda.now
            self._put(core.waiting.popleft(), core)
        else:
            self.idle += 1
            if self._waiting:
                self._pull_over(core)

    def _pull_over(self, core: _Core) -> None:
        """A core that is still idle takes who has waited longest elsewhere, as soon as that is a tick."""
        if core.turn_of is not None or not self._waiting:
            return
        agenda = self._agenda
        job = min((other.waiting[0] for other in self._cores if other.waiting), key=_queued_s)
        ripe_s = job.queued_s + TICK_S
        if agenda.now < ripe_s:
            heappush(agenda.heap, (ripe_s, next(agenda.numbers), self._pull_entry, core))
            return
        self._cores[job.core].waiting.popleft()
        job.core = self._cores.index(core)
        self.idle -= 1
        self._waiting -= 1
        self._queue_steps += agenda.now
        self._put(job, core)

    def _turn_over(self, job: Job) -> None:
        now_s = self._agenda.now
        if job.due_s != now_s:
            return  # it was dropped
        core = self._cores[job.core]
        core.job, job.due_s = None, NEVER
        if job.left_s > 0.0:
            self._wait(job, core)
            self._next(core)
            return
        wait_s = now_s - job.since_s - job.spent_s
        self._wait_s += wait_s
        if wait_s > self._wait_s_max:
            self._wait_s_max = wait_s
        self._demand_s += job.spent_s
        job.live = False
        try:
            job.then()
        finally:
            if core.job is None and core.turn_of is job:  # else what it led to has taken its turn away already
                if self._waiting:
                    self._next(core)
                else:
                    core.turn_of = None
                    self.idle += 1


def _queued_s(job: Job) -> float:
    return job.queued_s
