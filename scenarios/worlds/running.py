"""A plan played on a real platform that is up.

One loop on one thread plays the plan: it makes faults, notices deaths and restarts, samples resources, and sleeps a few
milliseconds. After the load and its recovery phase it waits until no transaction is in doubt (bounded).
"""

from __future__ import annotations

import os
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from scenarios.history import GENERATOR
from scenarios.worlds.base import WorldError
from scenarios.worlds.collector import ResourceSampler, audit_tables
from scenarios.worlds.injector import Injector
from scenarios.worlds.loader import Loader, read_document, read_lines
from scenarios.worlds.real import Death, RealPlatform, ServiceEvent, now_ms
from scenarios.worlds.spans import span_rows
from scenarios.worlds.supervisor import last_lines

if TYPE_CHECKING:
    from scenarios.history import History
    from scenarios.plan import Plan
    from scenarios.runfolder import RunFolder
    from scenarios.worlds.base import Progress

TICK_S = 0.01
LEAD_MS = 1_000  # from "start" to the first possible arrival: the load generator has its users waiting by then
SETTLE_S_MAX = 20.0
SETTLE_POLL_S = 0.25
UNDO_DEADLINE_S = 5.0
LOAD_GRACE_S = 5.0


class Run:
    """One run on a platform that is ready: the loop, and what it leaves."""

    def __init__(
        self, plan: Plan, platform: RealPlatform, loader: Loader, folder: RunFolder, progress: Progress
    ) -> None:
        self._plan = plan
        self._platform = platform
        self._loader = loader
        self._folder = folder
        self._progress = progress
        self._injector = Injector(plan.faults, plan.seed, platform, folder.path, plan.load_s, progress)
        self._generator = ResourceSampler()
        self._start_ms = 0
        self._told_s = -1
        self._meta: dict[str, Any] = {"ready_after_s": round(platform.ready_after_s, 3)}
        self._faults: list[dict[str, Any]] = []

    def play(self) -> None:
        """Accounts, load with faults, recovery, then until nothing is in doubt."""
        try:
            self._play()
        finally:
            self._faults = self._injector.close()

    def _play(self) -> None:
        self._loader.await_ready(self._watch)
        self._start_ms = now_ms() + LEAD_MS
        self._loader.start(self._start_ms)
        recovery_s = self._plan.duration_s - self._plan.load_s
        self._progress.stage(f"load for {self._plan.load_s:g} s, then {recovery_s:g} s of recovery")
        while self._now_s() < self._plan.duration_s:
            self._tick()
        self._injector.finish(self._now_s())
        self._undo()
        self._settle()
        self._loader.finish(self._last_journey_s() - self._now_s())

    def history(self, world: str) -> History:
        """The tables, once the databases are in the folder."""
        from scenarios.history import History, frame  # late, because it is heavy and `paylab up` never needs it

        out = self._folder.load
        rows = {
            **audit_tables(self._folder.databases, self._start_ms),
            "requests": [self._named(row) for row in read_lines(out / "requests.jsonl")],
            "payments": read_lines(out / "operations.jsonl"),
            "generator": [read_document(out / "generator.json")],
            "faults": self._faults,
            "resources": [*self._platform.resources(), *self._generator.rows],
            "spans": span_rows(self._folder.spans, self._start_ms),
            "services": [self._service_row(event) for event in self._platform.events],
        }
        started_at = datetime.fromtimestamp(self._start_ms / 1000, UTC).isoformat()
        tables = {name: frame(name, records) for name, records in rows.items()}
        return History(tables, self._plan, world, {"started_at": started_at, **self._meta})

    def _tick(self) -> None:
        at_s = self._now_s()
        self._watch()
        self._loader.check()
        if at_s >= 0:
            self._injector.step(at_s)
        self._platform.sample(at_s)
        self._generator.step(at_s, self._generator_pids())
        if at_s >= self._told_s + 1:
            self._told_s = int(at_s)
            self._progress.clock(at_s)
        time.sleep(TICK_S)

    def _watch(self) -> None:
        """Deaths first: what a fault asked for is its hit, anything else ends the run."""
        for death in self._platform.deaths():
            if not self._injector.explains(death, (death.at_ms - self._start_ms) / 1000):
                raise _unplanned(death)
        self._platform.refresh()

    def _undo(self) -> None:
        """Until every fault is out of every replica; what stays behind cannot matter, the services end soon."""
        deadline = time.monotonic() + UNDO_DEADLINE_S
        while self._injector.pending() and time.monotonic() < deadline:
            self._tick()
        for problem in self._injector.pending():
            self._progress.warning(f"a fault could not be undone: {problem}")

    def _settle(self) -> None:
        """Wait until no transaction is in doubt, at most SETTLE_S_MAX more; note how long it took and what is left."""
        begun, left, next_look_s = time.monotonic(), self._platform.unresolved(), 0.0
        while left and (waited_s := time.monotonic() - begun) < SETTLE_S_MAX:
            self._tick()
            if waited_s >= next_look_s:
                next_look_s = waited_s + SETTLE_POLL_S
                left = self._platform.unresolved()
        self._meta |= {"settled_after_s": round(time.monotonic() - begun, 3), "unresolved": left}
        if left:
            self._progress.warning(f"still unresolved {SETTLE_S_MAX:g} s after the run: {left}")

    def _last_journey_s(self) -> float:
        """When the load generator has ended at the latest: a journey is a few operations, each with its deadline."""
        return self._plan.load_s + 3 * (self._plan.load.timeout_s + self._plan.load.deadline_s) + LOAD_GRACE_S

    def _generator_pids(self) -> list[tuple[str, int]]:
        lab = ("lab", os.getpid())
        if self._loader.container or self._loader.has_ended():
            return [lab]
        return [lab, (GENERATOR, self._loader.process.pid)]

    def _named(self, row: dict[str, Any]) -> dict[str, Any]:
        return {**row, "replica": self._platform.real_name(row["replica"])}

    def _service_row(self, event: ServiceEvent) -> dict[str, Any]:
        at_s = (event.at_ms - self._start_ms) / 1000
        return {"service": event.service, "replica": event.replica, "event": event.event, "at_s": at_s}

    def _now_s(self) -> float:
        return time.time() - self._start_ms / 1000


def _unplanned(death: Death) -> WorldError:
    problem = f"{death.describe()}; no fault asked for it. The end of its log:\n{last_lines(death.log)}"
    return WorldError(problem, death.log)
