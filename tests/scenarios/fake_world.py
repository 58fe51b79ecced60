"""A world by hand: it plays nothing, and writes the history that a good platform would leave.

How it misbehaves is told by the seed, so that the command line can be tested as a user drives it.
"""

import errno
import os
import time
from pathlib import Path

from scenarios.history import History
from scenarios.plan import Plan
from scenarios.runfolder import RunFolder
from scenarios.worlds.base import Progress, WorldError

GOOD, SLOW_REQUESTS, BREAKS, DISK_FULL, WAITS = 1, 2, 3, 4, 5
DEADLINE_S = 60.0


class FakeWorld:
    def __init__(self, name: str) -> None:
        self.name = name
        self.fault_kinds = frozenset({"kill"})

    def impossible(self, plan: Plan) -> list[str]:
        return []

    def play(self, plan: Plan, folder: RunFolder, progress: Progress) -> History:
        progress.stage("starting nothing")
        if plan.seed == BREAKS:
            raise WorldError("gateway-0 is not ready after 30 s", folder.logs / "gateway-0.log")
        if plan.seed == DISK_FULL:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(folder.databases / "order.sqlite"))
        if plan.seed == WAITS:
            wait_for_interrupt(folder.path)
        for fault in plan.faults:
            progress.fault(fault.id, "started", fault.at_s)
        progress.clock(1.0)
        progress.warning("this is a fake [world]")
        return History(
            {"requests": requests(plan), "generator": generator(plan), "faults": faults(plan)}, plan, self.name
        )


def wait_for_interrupt(folder: Path) -> None:
    (folder / "playing").touch()
    deadline = time.monotonic() + DEADLINE_S
    try:
        while time.monotonic() < deadline:
            time.sleep(0.01)
    finally:
        (folder / "cleaned-up").touch()


def requests(plan: Plan) -> list[dict[str, object]]:
    length_s = 3.0 if plan.seed == SLOW_REQUESTS else 0.01
    return [
        {
            "intended_s": arrival.at_s, "started_s": arrival.at_s, "ended_s": arrival.at_s + length_s,
            "operation": arrival.key, "journey": "browse", "step": "goods", "status": 200, "outcome": "ok", "error": "",
            "replica": "order-0", "trace_id": "",
        }
        for arrival in plan.arrivals
    ]  # fmt: skip


def generator(plan: Plan) -> list[dict[str, object]]:
    count = len(plan.arrivals)
    honest = {"dropped": 0, "lag_p99_s": 0.001, "cpu_s_per_s": 0.1, "workers_lost": 0}
    return [{"planned": count, "started": count, **honest}]


def faults(plan: Plan) -> list[dict[str, object]]:
    return [
        {
            "id": fault.id, "kind": fault.kind, "target": "x", "planned_s": fault.at_s, "started_s": fault.at_s,
            "ended_s": fault.until_s, "hits": 1, "detail": "",
        }
        for fault in plan.faults
    ]  # fmt: skip


def create() -> FakeWorld:
    return FakeWorld("fake")
