"""One climb of the rate steps: what settled at each step, and which process used how much of a core meanwhile."""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy
import psutil

from scenarios.checks.throughput import KEPT_UP, KNEE_P99_S_MAX
from scenarios.plan import LoadStage, Plan, plan
from scenarios.spec import load_scenario
from scenarios.worlds.loader import Loader, read_document, read_lines

STEPS_FILE = Path(__file__).with_name("steps.yaml")
SAMPLE_INTERVAL_S = 0.1
LEAD_S = 0.5
LOAD_GRACE_S = 30.0
GENERATOR = "locust"
OTHERS = "others"


@dataclass(frozen=True)
class Step:
    """One rate: payments offered and settled (client told so) a second, their p99, and cores used by each process."""

    offered_per_s: float
    settled_per_s: float
    p99_s: float
    cores: dict[str, float]

    @property
    def cpu_ms_per_payment(self) -> float:
        """CPU milliseconds that one settled payment cost, the generator's included, other programs' not."""
        used = sum(share for name, share in self.cores.items() if name != OTHERS)
        return 1000 * used / self.settled_per_s if self.settled_per_s else math.inf

    @property
    def kept_up(self) -> bool:
        """The same rule as the metric `throughput.knee`."""
        return self.settled_per_s >= KEPT_UP * self.offered_per_s and self.p99_s <= KNEE_P99_S_MAX


@dataclass(frozen=True)
class Climb:
    """All steps of one system, the generator's own account, and the resident bytes of the system at the end."""

    system: str
    steps: list[Step]
    generator: dict[str, Any]
    resident_bytes: int

    @property
    def knee(self) -> Step:
        """The highest step that was kept up with; the one that settled most if there is none."""
        return max([step for step in self.steps if step.kept_up] or self.steps, key=lambda step: step.settled_per_s)

    @property
    def peak_per_s(self) -> float:
        """The most that settled in any step, however late."""
        return max(step.settled_per_s for step in self.steps)

    def to_json(self) -> dict[str, Any]:
        """For the result file."""
        return {**asdict(self), "knee": asdict(self.knee), "peak_per_s": self.peak_per_s}


def steps_plan(seed: int, overrides: Sequence[str] = ()) -> Plan:
    """The plan that both systems are driven by, possibly with changes (`load.pool=10`)."""
    return plan(load_scenario(STEPS_FILE, overrides), seed)


def climb(
    system: str,
    registry: str,
    pids: Mapping[str, int],
    folder: Path,
    steps: Plan,
    at_start: Callable[[], None] = lambda: None,
) -> Climb:
    """Drive the system behind `registry` up the steps; `at_start` is called when the accounts exist.

    Raises scenarios.worlds.base.WorldError if the load fails.
    """
    plan_file = folder / "plan.json"
    plan_file.write_text(steps.to_json(), encoding="utf-8")
    with Loader(plan_file, registry, folder / "load", folder) as loader:
        loader.await_ready(lambda: None)
        at_start()
        start_s = time.time() + LEAD_S
        loader.start(int(start_s * 1000))
        usage = _watch({**pids, GENERATOR: loader.process.pid}, loader, start_s)
        resident = sum(psutil.Process(pid).memory_info().rss for pid in pids.values())
        loader.finish(LOAD_GRACE_S)
    paid = [row for row in read_lines(folder / "load" / "operations.jsonl") if row["outcome"] == "ok"]
    return Climb(
        system=system,
        steps=[_step(stage, paid, usage) for stage in steps.load.stages],
        generator=read_document(folder / "load" / "generator.json"),
        resident_bytes=int(resident),
    )


Usage = list[tuple[float, dict[str, float]]]
"""(seconds since the start, CPU seconds of each process until then), in order."""


def _watch(pids: Mapping[str, int], loader: Loader, start_s: float) -> Usage:
    processes = {name: psutil.Process(pid) for name, pid in pids.items()}
    usage: Usage = []
    while not loader.has_ended():
        at_s = time.time() - start_s
        try:
            used = {name: _cpu_s(process) for name, process in processes.items()}
        except psutil.NoSuchProcess:
            break  # the generator has just ended; a service that died shows in the operations
        usage.append((at_s, {**used, OTHERS: _machine_cpu_s() - sum(used.values())}))
        time.sleep(SAMPLE_INTERVAL_S)  # a sampling period, not a wait for a condition
    return usage


def _cpu_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def _machine_cpu_s() -> float:
    times = psutil.cpu_times()
    return float(times.user + times.nice + times.system + times.irq + times.softirq)


def _step(stage: LoadStage, paid: list[dict[str, Any]], usage: Usage) -> Step:
    duration_s = stage.end_s - stage.start_s
    settled = [row for row in paid if stage.start_s <= row["ended_s"] < stage.end_s]
    due = [row["ended_s"] - row["intended_s"] for row in paid if stage.start_s <= row["intended_s"] < stage.end_s]
    within = [cpu for at_s, cpu in usage if stage.start_s <= at_s < stage.end_s]
    cores = {name: (within[-1][name] - within[0][name]) / duration_s for name in within[0]} if within else {}
    return Step(
        offered_per_s=stage.rate_per_s,
        settled_per_s=len(settled) / duration_s,
        p99_s=float(numpy.percentile(due, 99)) if due else math.inf,
        cores=cores,
    )
