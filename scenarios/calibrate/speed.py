"""How fast each core is while a run is played: what one and the same request takes, many times a second.

Virtual cores share a real machine with strangers that no account of ours shows. They use the same core, and they empty
its caches, so the same work takes half as much CPU time again in one tenth of a second as in another, and a tenth more
in one minute than in another. Without a record of that, a demand is that of its hour, and a prediction is held against
the luck of a minute. The work is two requests to a service in miniature, the first with cold caches and the second with
warm ones: work that fits into the first caches tells little of what services feel
(docs/decisions/0020-a-probe-that-is-a-service.md). All of it costs less than two hundredths of each core.

How much of it services feel (`elasticity`) is told by segments that were played several times.
"""

from __future__ import annotations

import gc
import json
import math
import os
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import numpy
import pandas
from scipy import stats

from scenarios.calibrate.windows import Window
from scenarios.errors import LabError
from simulator.analysis.estimates import LEVEL, Estimate
from simulator.calibration import LAB
from simulator.speed import SpeedRecord

if TYPE_CHECKING:
    from scenarios.calibrate.miniature import MiniatureService

LOOKS_PER_S = 10.0
SMOOTHED = 5
REQUESTS_A_LOOK = 2
UNSEEN_S_MAX = 2.0
FILE = "speed.json"
ELASTICITY_ASSUMED = 1.0


@dataclass
class Looks:
    """At one core: when (monotonic seconds) the work was done, and what CPU seconds it took."""

    when_s: list[float] = field(default_factory=list)
    took_s: list[float] = field(default_factory=list)

    def look(self, service: MiniatureService) -> None:
        """Send the requests and note what they took."""
        begun_s = time.thread_time()
        for _ in range(REQUESTS_A_LOOK):
            service.request()
        self.took_s.append(time.thread_time() - begun_s)
        self.when_s.append(time.monotonic())

    def looked_all_the_time(self, start_s: float, end_s: float) -> bool:
        """Whether there is a look, and no part of that time longer than UNSEEN_S_MAX is without one."""
        looks_s = [when_s for when_s in self.when_s if start_s <= when_s < end_s]
        gaps_s = [later_s - earlier_s for earlier_s, later_s in pairwise([start_s, *looks_s, end_s])]
        return bool(looks_s) and max(gaps_s) <= UNSEEN_S_MAX

    def between(self, start_s: float, end_s: float) -> numpy.ndarray:
        """What it took between two moments."""
        when_s = numpy.array(self.when_s)
        found: numpy.ndarray = numpy.array(self.took_s)[(when_s >= start_s) & (when_s < end_s)]
        return found


@dataclass
class SpeedProbe:
    """The looks at each core."""

    cores: Sequence[Looks] = ()

    def mean_s(self, start_s: float, end_s: float) -> float:
        """CPU seconds that the work took on average between two moments; nan if nobody looked."""
        took_s = [figure for core in self.cores for figure in core.between(start_s, end_s)]
        return float(numpy.mean(took_s)) if took_s else float("nan")

    def record(self, start_s: float, end_s: float) -> SpeedRecord | None:
        """Evenly spaced, from one moment to another; None if nobody looked at some core for a while.

        A look lasts a fiftieth of the time that it stands for, so each figure is the mean of SMOOTHED of them.
        """
        if not self.cores or not all(core.looked_all_the_time(start_s, end_s) for core in self.cores):
            return None
        grid_s = start_s + numpy.arange(math.ceil((end_s - start_s) * LOOKS_PER_S)) / LOOKS_PER_S
        courses = (_smooth(numpy.interp(grid_s, core.when_s, core.took_s)) for core in self.cores)
        return SpeedRecord(LOOKS_PER_S, tuple(tuple(float(figure) for figure in course) for course in courses))


@contextmanager
def probing() -> Iterator[SpeedProbe]:
    """A probe that looks by itself: a thread a core, each on its own if the operating system lets us choose.

    What the process has by now is taken from its garbage collector: to go through all of that takes as long as a
    hundred looks, and the look that it falls into would tell of a slow core. Raises LabError if a core could not be
    looked at to the end.
    """
    from scenarios.calibrate.miniature import MiniatureService  # late: who only reads records needs no web framework

    over = threading.Event()
    numbers = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else [None]
    probe = SpeedProbe([Looks() for _ in numbers])

    failed: list[Exception] = []

    def look_again_and_again(looks: Looks, number: int | None, first_s: float) -> None:
        try:
            if number is not None:
                os.sched_setaffinity(0, {number})  # of this thread
            with MiniatureService() as service:
                over.wait(first_s)
                while not over.wait(1 / LOOKS_PER_S):
                    looks.look(service)
        except Exception as error:  # noqa: BLE001 - whatever it is, the run has no record
            failed.append(error)

    apart_s = 1 / LOOKS_PER_S / len(numbers)  # two that look at once keep each other from the interpreter
    threads = [
        threading.Thread(
            target=look_again_and_again, args=(looks, number, at * apart_s), name=f"speed probe {number}", daemon=True
        )
        for at, (looks, number) in enumerate(zip(probe.cores, numbers, strict=True))
    ]
    with _frozen_heap():
        for thread in threads:
            thread.start()
        try:
            yield probe
        finally:
            over.set()
            for thread in threads:
                thread.join()
    if failed:
        raise LabError(f"the cores' speed could not be recorded: {failed[0]!r}") from failed[0]


@contextmanager
def _frozen_heap() -> Iterator[None]:
    """What is there now is not looked through for garbage, unless that was so already."""
    frozen_before = gc.get_freeze_count() > 0
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        if not frozen_before:
            gc.unfreeze()


def _smooth(figures: numpy.ndarray) -> numpy.ndarray:
    """Moving averages; at the ends of what there is."""
    window = numpy.ones(SMOOTHED)
    sums, numbers = (numpy.convolve(each, window, "same") for each in (figures, numpy.ones_like(figures)))
    smoothed: numpy.ndarray = sums / numbers
    return smoothed


def keep(record: SpeedRecord | None, folder: Path) -> None:
    """Write it, if there is one, to speed.json in a run's folder. Raises OSError."""
    if record is not None:
        (folder / FILE).write_text(json.dumps(record.to_json()) + "\n", encoding="utf-8")


def kept(folder: Path) -> SpeedRecord | None:
    """What was kept in a run's folder. Raises OSError, ValueError."""
    path = folder / FILE
    return SpeedRecord.from_json(json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else None


def typical_s(works_s: Sequence[float]) -> float:
    """What the work took on average; 0 if nobody looked."""
    known = [each for each in works_s if not math.isnan(each)]
    return float(numpy.mean(known)) if known else 0.0


def relative(works_s: Sequence[float], felt: float = 1.0) -> list[float]:
    """How much slower than on average services were at each time, at an elasticity of `felt`; 1 where nobody looked."""
    average_s = typical_s(works_s)
    return [1.0 if math.isnan(each) else (each / average_s) ** felt for each in works_s]


def elasticity(works_s: Sequence[float], windows: Sequence[Window]) -> Estimate:
    """Of the platform's CPU with respect to the probe's work: by how many per cent it grows when that takes 1 % longer.

    From windows of the same name, which differ in nothing but the moment (least squares of the logarithms' deviations
    from the mean of each name). Assumed if too few names come again.
    """
    used_s = [sum(cpu_s for process, cpu_s in window.cpu_s.items() if process != LAB) for window in windows]
    pairs = zip(windows, works_s, used_s, strict=True)
    rows = [(window.name, math.log(took_s), math.log(cpu_s)) for window, took_s, cpu_s in pairs if took_s > 0 < cpu_s]
    table = pandas.DataFrame(rows, columns=["name", "probe", "used"])
    freedom = len(table) - table["name"].nunique() - 1
    if freedom < 1:
        return Estimate(ELASTICITY_ASSUMED, 0.0, 2 * ELASTICITY_ASSUMED, 0)
    probe, used = (table[each] - table.groupby("name")[each].transform("mean") for each in ("probe", "used"))
    slope = max(0.0, float((probe * used).sum() / (probe**2).sum()))
    error = math.sqrt(float(((used - slope * probe) ** 2).sum() / freedom / (probe**2).sum()))
    half = float(stats.t.ppf((1 + LEVEL) / 2, freedom)) * error
    return Estimate(slope, max(0.0, slope - half), slope + half, len(table))
