"""Cores with a run queue each, as an operating system's scheduler has them, whose speed may change.

Work goes to the core that its process was on last, to an idle one if that is busy, and into the queue of the last one
if all are. There it stays, even if another core falls idle a moment later; but when it has waited for a clock tick, a
core that is idle pulls it over. A core takes turns of one time slice at most, in order of arrival; with short slices
that is processor sharing on each core by itself (`SharedCores` is the ideal, for all cores together). Who has done one
piece of work and has another at once goes on within its turn.

A core's speed is that of the moment when work is put on it, for a turn is far shorter than the moods of a machine.

A payment is some fifty pieces of work, and nearly all of them begin at once and end within a turn. What they cost
decides how fast a model is: they are not asked what can be found out from the others (who waited, who was dropped).
"""

from collections.abc import Callable, Sequence
from functools import partial
from heapq import heappush
from typing import Any

from simulator.resources.agenda import Agenda
from simulator.resources.job import NOWHERE, Core, Job
from simulator.resources.statistics import Usage

STEADY = ((1.0,),)
"""One core, as fast as ever."""
TICK_S = 0.004
"""A scheduler's clock tick, at 250 Hz: who has waited so long is pulled over by a core that is idle."""


NOBODY = Job(lambda: None)
NOBODY.queued_s = float("inf")


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
        self._cores = [Core(number, takes_s[number % len(takes_s)]) for number in range(cores)]
        self._figures, self._per_s = len(takes_s[0]), per_s
        if self._figures > 1:
            agenda.first_at(1 / per_s, self._change_speed, 1)
        self._turn_entry, self._pull_entry = self._turn_over, self._pull_over
        self.idle = cores
        """Cores that have nothing to do."""
        self._arrived = self._gave_up = self._waiting = self._queue_max = 0
        self._busy_s = self._queued_s = self._wait_s_max = self._dropped_s = self._dropped_wait_s = 0.0

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
        self._arrived += 1
        core = job.core
        if core.turn_of is not job or core.allowance_s <= 0.0:
            if core.turn_of is None:
                self.idle -= 1
            elif self.idle:
                self.idle -= 1
                core = job.core = self._idle_core()
            else:
                if core is NOWHERE:
                    core = job.core = self._cores[0]
                job.left_s, job.spent_s = demand_s, 0.0
                self._wait(job, core)
                return
            core.turn_of, core.allowance_s = job, self._slice_s
        # As in `_put`, which would cost a call more for every piece of work of a run.
        allowance_s = core.allowance_s - demand_s
        if allowance_s < 0.0:
            job.left_s, demand_s, allowance_s = -allowance_s, core.allowance_s, 0.0
        core.allowance_s = allowance_s
        core.job = job
        lasts_s = job.spent_s = demand_s * core.takes_s
        self._busy_s += lasts_s
        agenda = self._agenda
        due_s = job.due_s = agenda.now + lasts_s
        heappush(agenda.heap, (due_s, next(agenda.numbers), self._turn_entry, job))

    def _idle_core(self) -> Core:
        for core in self._cores:
            if core.turn_of is None:
                return core
        raise RuntimeError(f"{self.name}: no core is idle")

    def cancel(self, job: Job) -> float:
        """Drop a job; the seconds' work that it still needed. Nothing happens (0) if it is done already."""
        left_s, core, now_s = job.left_s, job.core, self._agenda.now
        if core.job is job:
            self._agenda.withdraw(self._turn_entry, job)
            undone_s = job.due_s - now_s
            begun_s = job.due_s - (job.spent_s - job.had_s)
            left_s += undone_s / core.course[int(begun_s * self._per_s) % self._figures]
            job.spent_s -= undone_s
            self._busy_s -= undone_s
            core.job = None
            self._next(core)
        elif job in core.waiting:
            core.waiting.remove(job)
            self._waiting -= 1
            self._queued_s += now_s - job.queued_s
            job.waited_s += now_s - job.queued_s
        else:
            return 0.0
        job.due_s = now_s
        self._dropped_s += job.spent_s
        self._dropped_wait_s += job.waited_s
        job.stood_in_line, job.had_s, job.left_s, job.waited_s = False, 0.0, 0.0, 0.0
        self._gave_up += 1
        return left_s

    def usage(self) -> Usage:
        """Everything since the start."""
        now_s = self._agenda.now
        completed = self._arrived - self._gave_up - self.running
        on_cores = [core.job for core in self._cores if core.job is not None]
        waiting = [job for core in self._cores for job in core.waiting]
        ahead_s = sum(job.due_s - now_s for job in on_cores)
        area_s = self._queued_s + sum(now_s - job.queued_s for job in waiting)
        # What completed jobs had and waited is what all did, less the others'.
        wait_s = self._queued_s - self._dropped_wait_s - sum(job.waited_s for job in (*on_cores, *waiting))
        demand_s = self._busy_s - self._dropped_s - sum(job.spent_s for job in (*on_cores, *waiting))
        return Usage(
            self.name, self.cores, 0.0, now_s, self._arrived, completed, 0, self._gave_up, self._busy_s - ahead_s,
            area_s, self._queue_max, completed, wait_s, self._wait_s_max, demand_s,
        )  # fmt: skip

    def _put(self, job: Job, core: Core) -> None:
        """On a free core, after a wait."""
        agenda = self._agenda
        now_s = agenda.now
        wait_s = now_s - job.queued_s
        self._queued_s += wait_s
        job.waited_s += wait_s
        work_s = job.left_s if job.left_s < self._slice_s else self._slice_s
        core.turn_of, core.allowance_s = job, self._slice_s - work_s
        core.job = job
        lasts_s = work_s * core.takes_s
        job.left_s -= work_s
        job.had_s = job.spent_s
        job.spent_s += lasts_s
        self._busy_s += lasts_s
        due_s = job.due_s = now_s + lasts_s
        heappush(agenda.heap, (due_s, next(agenda.numbers), self._turn_entry, job))

    def _change_speed(self, number: int) -> None:
        """The record's next figures count from now on."""
        for core in self._cores:
            core.takes_s = core.course[number % self._figures]
        self._agenda.first_at((number + 1) / self._per_s, self._change_speed, number + 1)

    def _wait(self, job: Job, core: Core) -> None:
        job.queued_s, job.stood_in_line = self._agenda.now, True
        core.waiting.append(job)
        self._waiting += 1
        if self._waiting > self._queue_max:
            self._queue_max = self._waiting

    def _next(self, core: Core) -> None:
        """Whose turn is it on a free core?"""
        core.turn_of = None
        if core.waiting:
            self._waiting -= 1
            self._put(core.waiting.popleft(), core)
        else:
            self.idle += 1
            if self._waiting and not core.looks_round:
                self._pull_over(core)

    def _pull_over(self, core: Core) -> None:
        """A core that is still idle takes who has waited longest elsewhere, as soon as that is a tick."""
        core.looks_round = False
        if core.turn_of is not None or not self._waiting:
            return
        agenda = self._agenda
        job = NOBODY
        for other in self._cores:
            if other.waiting and other.waiting[0].queued_s < job.queued_s:
                job = other.waiting[0]
        ripe_s = job.queued_s + TICK_S
        if agenda.now < ripe_s:
            core.looks_round = True
            heappush(agenda.heap, (ripe_s, next(agenda.numbers), self._pull_entry, core))
            return
        job.core.waiting.popleft()
        job.core = core
        self.idle -= 1
        self._waiting -= 1
        self._put(job, core)

    def _turn_over(self, job: Job) -> None:
        left = core = job.core  # two names, because mypy takes `core.job` for None to the end of the method
        left.job = None
        if job.left_s > 0.0:
            self._wait(job, core)
            self._next(core)
            return
        if job.stood_in_line:
            if job.waited_s > self._wait_s_max:
                self._wait_s_max = job.waited_s
            job.stood_in_line, job.had_s, job.waited_s = False, 0.0, 0.0
        try:
            job.ended()
        finally:
            if core.job is None and core.turn_of is job:  # else what it led to has taken its turn away already
                if self._waiting:
                    self._next(core)
                else:
                    core.turn_of = None
                    self.idle += 1
