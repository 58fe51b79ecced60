"""One climb of the rate steps: what settled at each step, and which process used how much of a core meanwhile."""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import numpy
import psutil

from scenarios.checks.throughput import KEPT_UP, KNEE_P99_S_MAX
from scenarios.plan import LoadStage, Plan, plan
from scenarios.spec import load_scenario
from scenarios.worlds.loader import Loader, read_document, read_lines

STEPS_FILE = Path(__file__).with_name("steps.yaml")
LEAD_S = 0.5
LOAD_GRACE_S = 30.0
# So many steps in a row that were too much end a climb: a hiccup is no knee, and climbing on proves nothing.
STEPS_BEYOND = 3
GENERATOR = "locust"
OTHERS = "others"


class Meter(Protocol):
    """What the parts of a running system use."""

    interval_s: float
    """Pause between two looks."""

    def cpu_s(self) -> dict[str, float] | None:
        """CPU seconds that each part has used so far; None if they cannot be told any more."""

    def resident_bytes(self) -> int:
        """Memory in use, the generator's left out."""


@dataclass(frozen=True)
class Step:
    """One rate: payments offered and settled (client told so) a second, their p99, and cores used by each part."""

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
    load: AbstractContextManager[Loader],
    meter_of: Callable[[Loader], Meter],
    folder: Path,
    steps: Plan,
    at_start: Callable[[], None] = lambda: None,
) -> Climb:
    """Drive a system up the steps; `at_start` is called when the accounts exist.

    `load` is the generator, not yet started: it plays `folder`/plan.json and writes into `folder`/load. Raises
    scenarios.worlds.base.WorldError if it fails.
    """
    (folder / "plan.json").write_text(steps.to_json(), encoding="utf-8")
    with load as loader:
        loader.await_ready(lambda: None)
        at_start()
        meter, start_s = meter_of(loader), time.time() + LEAD_S
        loader.start(int(start_s * 1000))
        usage = _watch(meter, loader, start_s, partial(_is_past_the_knee, steps.load.stages, folder))
        resident = meter.resident_bytes()
        if loader.has_ended() or usage[-1][0] >= steps.load_s:
            loader.finish(LOAD_GRACE_S)
        # else: leaving the block stops it, and it keeps its records
    return Climb(
        system=system,
        steps=_steps([stage for stage in steps.load.stages if stage.end_s <= usage[-1][0]], folder, usage),
        generator=read_document(folder / "load" / "generator.json"),
        resident_bytes=resident,
    )


def climb_processes(
    system: str,
    registry: str,
    pids: Mapping[str, int],
    folder: Path,
    steps: Plan,
    at_start: Callable[[], None] = lambda: None,
) -> Climb:
    """Drive the processes behind `registry`, the generator on the same cores."""
    load = Loader(folder / "plan.json", registry, folder / "load", folder)
    return climb(system, load, lambda loader: ProcessMeter(pids, loader.process.pid), folder, steps, at_start)


class ProcessMeter:
    """CPU seconds of processes, of the generator, and of everything else on this machine."""

    interval_s = 0.1

    def __init__(self, pids: Mapping[str, int], generator: int) -> None:
        self._services = {name: psutil.Process(pid) for name, pid in pids.items()}
        self._all = {**self._services, GENERATOR: psutil.Process(generator)}

    def cpu_s(self) -> dict[str, float] | None:
        """See Meter."""
        try:
            used = {name: _cpu_s(process) for name, process in self._all.items()}
        except psutil.NoSuchProcess:
            return None  # the generator has just ended; a service that died shows in the operations
        return {**used, OTHERS: _machine_cpu_s() - sum(used.values())}

    def resident_bytes(self) -> int:
        """See Meter."""
        return int(sum(process.memory_info().rss for process in self._services.values()))


Usage = list[tuple[float, dict[str, float]]]
"""(seconds since the start, CPU seconds of each part until then), in order."""


def _watch(meter: Meter, loader: Loader, start_s: float, is_enough: Callable[[float], bool]) -> Usage:
    usage: Usage = []
    while not loader.has_ended():
        at_s, used = time.time() - start_s, meter.cpu_s()
        if used is None:
            break
        usage.append((at_s, used))
        if is_enough(at_s):
            break
        time.sleep(meter.interval_s)  # a sampling period, not a wait for a condition
    return usage


def _is_past_the_knee(stages: Sequence[LoadStage], folder: Path, at_s: float) -> bool:
    """Whether the last STEPS_BEYOND steps were all too much, those counted that ended long enough ago to be judged."""
    over = [stage for stage in stages if stage.end_s + KNEE_P99_S_MAX <= at_s][-STEPS_BEYOND:]
    return len(over) == STEPS_BEYOND and not any(step.kept_up for step in _steps(over, folder, []))


def _steps(stages: Sequence[LoadStage], folder: Path, usage: Usage) -> list[Step]:
    paid = [row for row in read_lines(folder / "load" / "operations.jsonl") if row["outcome"] == "ok"]
    return [_step(stage, paid, usage) for stage in stages]


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
    within = [sample for sample in usage if stage.start_s <= sample[0] < stage.end_s]
    return Step(
        offered_per_s=stage.rate_per_s,
        settled_per_s=len(settled) / duration_s,
        p99_s=float(numpy.percentile(due, 99)) if due else math.inf,
        cores=_cores(*within[0], *within[-1]) if len(within) > 1 else {},
    )


def _cores(from_s: float, before: dict[str, float], to_s: float, after: dict[str, float]) -> dict[str, float]:
    return {name: (after[name] - before[name]) / (to_s - from_s) for name in before}
