"""Processor sharing: cores that go round among all who have work, as an operating system's scheduler does it.

Every job gets the same share of the cores, but never more than one core. While there is a core for everybody nobody
shares anything: a job is one entry of the agenda, due when its demand has passed. Once there are more jobs than cores
all of them advance at one speed, and it suffices to keep one clock of *attained service* (how much a job that was
always there would have got): a job of demand d ends when that clock has advanced by d, whatever comes and goes
meanwhile. The number of jobs in M/G/1 under processor sharing depends on the demand by its mean alone (Kleinrock,
"Queueing Systems" vol. 2, 1976, 4.4).
"""

from collections.abc import Callable
from functools import partial
from heapq import heapify, heappop, heappush
from typing import Any

from simulator.resources.agenda import Agenda
from simulator.resources.job import NEVER, Job
from simulator.resources.statistics import Usage


class SharedCores:
    """`cores` cores, shared equally by all jobs; a job uses one core at most.

    In `usage()` the queue is the jobs beyond the cores, and a wait is what sharing added to a job's demand.
    """

    def __init__(self, agenda: Agenda, name: str, cores: int) -> None:
        self._agenda, self.name, self.cores = agenda, name, cores
        self._running = 0
        self._alone: dict[Job, None] = {}
        """Jobs that have a core of their own: all, or (while cores are shared) none."""
        self._due_entry = self._due
        self._sharing = self._ending = False
        self._jobs: list[tuple[float, int, Job]] = []
        self._attained_s = self._since_s = 0.0
        self._next_due_s = NEVER
        self._version = 0
        self._end_entry = self._end
        self._completed = self._gave_up = self._queue_max = 0
        self._busy_steps = self._queue_steps = self._wait_s = self._wait_s_max = self._demand_s = 0.0

    @property
    def running(self) -> int:
        """Jobs in progress."""
        return self._running

    @property
    def idle(self) -> bool:
        """Whether some core has nothing to do."""
        return self._running < self.cores

    def run(self, demand_s: float, then: Callable[..., None], *arguments: Any) -> Job:
        """Do `demand_s` core-seconds of work, then call `then(*arguments)`."""
        job = Job(partial(then, *arguments) if arguments else then)
        self.begin(job, demand_s)
        return job

    def begin(self, job: Job, demand_s: float) -> None:
        """Do `demand_s` core-seconds of work for a job that has nothing to do."""
        agenda = self._agenda
        now_s = agenda.now
        job.demand_s = job.spent_s = demand_s
        job.since_s, job.live = now_s, True
        if self._sharing or self._running >= self.cores:
            self._begin_sharing(job, demand_s)
            return
        self._running += 1
        self._busy_steps -= now_s
        self._alone[job] = None
        due_s = job.due_s = now_s + demand_s
        heappush(agenda.heap, (due_s, next(agenda.numbers), self._due_entry, job))

    def cancel(self, job: Job) -> float:
        """Drop a job; the core-seconds that it still needed. Nothing happens (0) if it is done already."""
        if not job.live:
            return 0.0
        now_s = self._agenda.now
        job.live = False
        self._gave_up += 1
        if not self._sharing:
            left_s = job.due_s - now_s
            del self._alone[job]
            job.due_s = NEVER
            self._running -= 1
            self._busy_steps += now_s
            job.spent_s -= left_s
            return left_s
        self._advance(now_s)
        left_s = max(0.0, job.ends_at_s - self._attained_s)
        self._jobs = [entry for entry in self._jobs if entry[2] is not job]
        heapify(self._jobs)
        job.ends_at_s = 0.0
        if self._running > self.cores:
            self._queue_steps += now_s
        else:
            self._busy_steps += now_s
        self._running -= 1
        job.spent_s -= left_s
        if not self._ending:
            self._plan()
        return left_s

    def usage(self) -> Usage:
        """Everything since the start."""
        now_s, busy = self._agenda.now, min(self._running, self.cores)
        arrived = self._completed + self._gave_up + self._running
        return Usage(
            self.name, self.cores, 0.0, now_s, arrived, self._completed, 0, self._gave_up,
            self._busy_steps + busy * now_s, self._queue_steps + (self._running - busy) * now_s, self._queue_max,
            self._completed, self._wait_s, self._wait_s_max, self._demand_s,
        )  # fmt: skip

    # -- a core for everybody ---------------------------------------------------------------------------------------

    def _due(self, job: Job) -> None:
        now_s = self._agenda.now
        if job.due_s != now_s:
            return  # it has had to share a core since, or was dropped
        del self._alone[job]
        job.due_s = NEVER
        self._running -= 1
        self._busy_steps += now_s
        self._completed += 1
        self._demand_s += job.demand_s
        if job.ends_at_s:
            self._count_wait(job, now_s)
        job.live = False
        job.ended()

    # -- more jobs than cores ---------------------------------------------------------------------------------------

    def _begin_sharing(self, job: Job, demand_s: float) -> None:
        agenda = self._agenda
        now_s = agenda.now
        if not self._sharing:
            self._share(now_s)
        elif now_s > self._since_s:
            self._advance(now_s)
        job.ends_at_s = self._attained_s + demand_s
        heappush(self._jobs, (job.ends_at_s, next(agenda.numbers), job))
        running = self._running = self._running + 1
        beyond = running - self.cores
        if beyond > 0:
            self._queue_steps -= now_s
            if beyond > self._queue_max:
                self._queue_max = beyond
        else:  # between the end of a shared job and the next beginning
            self._busy_steps -= now_s
        if not self._ending:
            self._plan()

    def _share(self, now_s: float) -> None:
        """From now on there are more jobs than cores."""
        self._sharing, self._attained_s, self._since_s = True, 0.0, now_s
        for job in self._alone:
            job.ends_at_s, job.due_s = job.due_s - now_s, NEVER
            heappush(self._jobs, (job.ends_at_s, next(self._agenda.numbers), job))
        self._alone.clear()

    def _part(self, now_s: float) -> None:
        """From now on there is a core for everybody."""
        agenda, left = self._agenda, sorted(self._jobs)
        self._sharing, self._next_due_s = False, NEVER
        self._version += 1
        self._jobs.clear()
        for ends_at_s, _, job in left:
            self._alone[job] = None
            job.due_s = now_s + max(0.0, ends_at_s - self._attained_s)
            heappush(agenda.heap, (job.due_s, next(agenda.numbers), self._due_entry, job))

    def _advance(self, now_s: float) -> None:
        self._attained_s += (now_s - self._since_s) * self.cores / self._running
        self._since_s = now_s

    def _plan(self) -> None:
        """Another number of jobs: another speed, and perhaps another job that ends next."""
        agenda, running, jobs = self._agenda, self._running, self._jobs
        now_s = agenda.now
        if running <= self.cores:
            self._part(now_s)
            return
        left_s = jobs[0][0] - self._attained_s
        due_s = now_s + left_s * running / self.cores if left_s > 0.0 else now_s
        if due_s != self._next_due_s:
            self._next_due_s = due_s
            version = self._version = self._version + 1
            heappush(agenda.heap, (due_s, next(agenda.numbers), self._end_entry, version))

    def _end(self, version: int) -> None:
        if version != self._version:
            return  # the speed has changed since, or a shorter job came
        now_s = self._agenda.now
        ends_at_s, _, job = heappop(self._jobs)
        # Exactly: a sum of many small steps would drift.
        self._attained_s, self._since_s, self._next_due_s = ends_at_s, now_s, NEVER
        if self._running > self.cores:
            self._queue_steps += now_s
        else:
            self._busy_steps += now_s
        self._running -= 1
        self._completed += 1
        self._demand_s += job.demand_s
        self._count_wait(job, now_s)
        job.live = False
        # Who has done one piece of work often has another: its end and the next beginning are one change of speed.
        self._ending = True
        try:
            job.ended()
        finally:
            self._ending = False
            self._plan()

    def _count_wait(self, job: Job, now_s: float) -> None:
        job.ends_at_s = 0.0
        wait_s = now_s - job.since_s - job.demand_s
        self._wait_s += wait_s
        if wait_s > self._wait_s_max:
            self._wait_s_max = wait_s
