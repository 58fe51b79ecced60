"""Processor sharing: cores that go round among all who have work, as an operating system's scheduler does it.

Every job gets the same share of the cores, but never more than one core. Then all jobs in progress advance at one
speed, and it suffices to keep one clock of *attained service* (how much a job that was always there would have got): a
job of demand d ends when that clock has advanced by d, whatever comes and goes meanwhile. The number of jobs in M/G/1
under processor sharing depends on the demand by its mean alone (Kleinrock, "Queueing Systems" vol. 2, 1976, 4.4).
"""

from collections.abc import Callable
from heapq import heappop, heappush
from typing import Any

from simulator.resources.agenda import Agenda
from simulator.resources.statistics import Usage


class Job:
    """One piece of work in progress."""

    __slots__ = ("arguments", "demand_s", "ends_at_s", "live", "since_s", "then")

    def __init__(
        self, demand_s: float, ends_at_s: float, since_s: float, then: Callable[..., None], arguments: tuple[Any, ...]
    ) -> None:
        self.demand_s, self.ends_at_s, self.since_s = demand_s, ends_at_s, since_s
        self.then, self.arguments = then, arguments
        self.live = True


class SharedCores:
    """`cores` cores, shared equally by all jobs; a job uses one core at most.

    In `usage()` the queue is the jobs beyond the cores, and a wait is what sharing added to a job's demand.
    """

    def __init__(self, agenda: Agenda, name: str, cores: int) -> None:
        self._agenda, self.name, self.cores = agenda, name, cores
        self._jobs: list[tuple[float, int, Job]] = []
        self._attained_s = 0.0
        self._speed = 1.0
        self._since_s = 0.0
        self._running = 0
        self._due_s = -1.0
        self._version = 0
        self._ending = False
        self._end_entry = self._end
        self._arrived = self._completed = self._gave_up = self._queue_max = 0
        self._busy_area_s = self._queue_area_s = self._wait_s = self._wait_s_max = self._demand_s = 0.0

    @property
    def running(self) -> int:
        """Jobs in progress."""
        return self._running

    def run(self, demand_s: float, then: Callable[..., None], *arguments: Any) -> Job:
        """Do `demand_s` core-seconds of work, then call `then(*arguments)`."""
        agenda = self._agenda
        now_s = agenda.now
        if now_s > self._since_s:
            self._advance()
        ends_at_s = self._attained_s + demand_s
        job = Job(demand_s, ends_at_s, now_s, then, arguments)
        self._arrived += 1
        heappush(self._jobs, (ends_at_s, next(agenda.numbers), job))
        running = self._running = self._running + 1
        if running > self.cores and running - self.cores > self._queue_max:
            self._queue_max = running - self.cores
        if not self._ending:
            self._plan()
        return job

    def cancel(self, job: Job) -> float:
        """Drop a job; the core-seconds that it still needed. Nothing happens (0) if it is done already."""
        if not job.live:
            return 0.0
        self._advance()
        job.live = False
        self._gave_up += 1
        left_s = max(0.0, job.ends_at_s - self._attained_s)
        self._running -= 1
        if not self._ending:
            self._plan()
        return left_s

    def usage(self) -> Usage:
        """Everything since the start."""
        self._advance()
        return Usage(
            self.name, self.cores, 0.0, self._agenda.now, self._arrived, self._completed, 0, self._gave_up,
            self._busy_area_s, self._queue_area_s, self._queue_max, self._completed, self._wait_s, self._wait_s_max,
            self._demand_s,
        )  # fmt: skip

    def _advance(self) -> None:
        now_s = self._agenda.now
        passed_s = now_s - self._since_s
        if passed_s > 0.0:
            running, cores = self._running, self.cores
            if running:
                self._attained_s += passed_s * self._speed
                if running <= cores:
                    self._busy_area_s += passed_s * running
                else:
                    self._busy_area_s += passed_s * cores
                    self._queue_area_s += passed_s * (running - cores)
            self._since_s = now_s

    def _plan(self) -> None:
        """Another number of jobs: another speed, and perhaps another job that ends next."""
        running, jobs = self._running, self._jobs
        speed = self._speed = 1.0 if running <= self.cores else self.cores / running
        while jobs and not jobs[0][2].live:
            heappop(jobs)
        if not jobs:
            self._attained_s, self._due_s = 0.0, -1.0
            self._version += 1  # what was due is not any more: all was cancelled
            return
        agenda = self._agenda
        now_s = agenda.now
        left_s = jobs[0][0] - self._attained_s
        due_s = now_s + left_s / speed if left_s > 0.0 else now_s
        if due_s != self._due_s:
            self._due_s = due_s
            version = self._version = self._version + 1
            heappush(agenda.heap, (due_s, next(agenda.numbers), self._end_entry, (version,)))

    def _end(self, version: int) -> None:
        if version != self._version:
            return  # the speed has changed since, or a shorter job came
        now_s = self._agenda.now
        self._advance()
        ends_at_s, _, job = heappop(self._jobs)
        self._attained_s = ends_at_s  # exactly: a sum of many small steps would drift
        job.live = False
        self._completed += 1
        self._demand_s += job.demand_s
        wait_s = now_s - job.since_s - job.demand_s
        self._wait_s += wait_s
        if wait_s > self._wait_s_max:
            self._wait_s_max = wait_s
        self._due_s = -1.0
        self._running -= 1
        # Who has done one piece of work often has another: its end and the next beginning are one change of speed.
        self._ending = True
        try:
            job.then(*job.arguments)
        finally:
            self._ending = False
            self._plan()
