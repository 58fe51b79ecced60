"""When the machine was the run's alone, and how fast it was: what other programs used, segment by segment.

Strangers make requests late, and CPU cheaper (cores that never sleep need not wake up). So the busy time of the whole
machine is noted about once a second, and what platform, load generator and lab do not account for was somebody else's.
Times are taken from quiet segments only.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field

import numpy

from scenarios.calibrate.experiments import SETTLE_S, Segment
from scenarios.calibrate.machine import busy_cpu_s, engine_cpu_s
from scenarios.calibrate.speed import SpeedProbe, probing
from scenarios.calibrate.windows import samples
from scenarios.history import History
from scenarios.plan import Plan
from scenarios.worlds.base import Progress, World
from simulator.speed import SpeedRecord

# Beyond this, strangers make requests late.
OTHERS_CORES_MAX = 0.15

ProgressOf = Callable[[Plan, World], AbstractContextManager[Progress]]


@dataclass
class MachineWatch:
    """A Progress that passes everything on and notes, with every clock, how busy the machine has been until then.

    `began_s`: the run's start on the monotonic clock of `speed`. `engine`: what carries the platform's containers is no
    stranger.
    """

    inner: Progress
    speed: SpeedProbe = field(default_factory=SpeedProbe)
    began_s: float = 0.0
    engine: bool = False
    at_s: list[float] = field(default_factory=list)
    busy_s: list[float] = field(default_factory=list)

    def stage(self, text: str) -> None:
        """Passed on."""
        self.inner.stage(text)

    def clock(self, now_s: float) -> None:
        """Noted, and passed on."""
        self.at_s.append(now_s)
        self.busy_s.append(busy_cpu_s() - (engine_cpu_s() if self.engine else 0.0))
        self.began_s = time.monotonic() - now_s
        self.inner.clock(now_s)

    def arrivals(self, started: int) -> None:
        """Passed on."""
        self.inner.arrivals(started)

    def fault(self, id: str, event: str, at_s: float) -> None:  # noqa: A002 - the name it has everywhere else
        """Passed on."""
        self.inner.fault(id, event, at_s)

    def warning(self, text: str) -> None:
        """Passed on."""
        self.inner.warning(text)

    def mean_others_cores(self, history: History) -> float:
        """The same over the whole load."""
        load_s = history.plan.load_s
        return self.others_cores(history, [Segment("load", (), (), 0.0, 0.0, load_s - SETTLE_S)])[0]

    def record(self, history: History) -> SpeedRecord | None:
        """The speed of the cores from the beginning of the load to the end of the run; None if nobody looked."""
        return self.speed.record(self.began_s, self.began_s + history.plan.duration_s)

    def works_s(self, segments: Sequence[Segment]) -> list[float]:
        """CPU seconds of the probe's work in each segment, pause included; nan if nobody looked."""
        return [self.speed.mean_s(self.began_s + each.start_s, self.began_s + each.until_s) for each in segments]

    def others_cores(self, history: History, segments: Sequence[Segment]) -> list[float]:
        """Cores that strangers used in each segment, pause included."""
        table = samples(history)
        return [self._others(table["at_s"].to_numpy(), table["cpu_s"].to_numpy(), segment) for segment in segments]

    def _others(self, at_s: numpy.ndarray, cpu_s: numpy.ndarray, segment: Segment) -> float:
        ends = (segment.start_s, segment.until_s)
        busy_s = float(numpy.diff(numpy.interp(ends, self.at_s, self.busy_s))[0])
        ours_s = float(cpu_s[(at_s >= ends[0]) & (at_s < ends[1])].sum())
        return max(0.0, busy_s - ours_s) / (ends[1] - ends[0])


@contextmanager
def watching(progress_of: ProgressOf, plan: Plan, world: World) -> Iterator[MachineWatch]:
    """The progress of a run, watched."""
    looks = nullcontext(SpeedProbe()) if world.name == "simulated" else probing()
    with progress_of(plan, world) as progress, looks as speed:
        yield MachineWatch(progress, speed, engine=world.name == "compose")


def quiet(segments: Sequence[Segment], others_cores: Sequence[float]) -> tuple[Segment, ...]:
    """The segments in which strangers used next to nothing."""
    pairs = zip(segments, others_cores, strict=True)
    return tuple(segment for segment, cores in pairs if cores <= OTHERS_CORES_MAX)
