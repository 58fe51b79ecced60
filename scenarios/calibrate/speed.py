"""How fast the machine is while a run is played: what one and the same piece of work takes, a few times a second.

Virtual cores share a real machine with strangers that no account of ours shows. The same work takes them a third more
CPU time in one second than in another, and half as much again in one hour than in another. Without a measure of that,
a demand is that of its hour, and a prediction is held against the luck of a minute. The work is what services do most
(the interpreter, small objects, JSON); it is done twice, and the second time counts, when caches are warm.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy

INTERVAL_S = 0.2
OBJECTS = 300


@dataclass
class SpeedProbe:
    """When (monotonic seconds) the work was done, and what CPU seconds it took."""

    when_s: list[float] = field(default_factory=list)
    took_s: list[float] = field(default_factory=list)

    def look(self) -> None:
        """Do the work once and note it."""
        _work()
        begun_s = time.thread_time()
        _work()
        self.took_s.append(time.thread_time() - begun_s)
        self.when_s.append(time.monotonic())

    def mean_s(self, start_s: float, end_s: float) -> float:
        """CPU seconds that the work took on average between two moments; nan if nobody looked."""
        when_s = numpy.array(self.when_s)
        took_s = numpy.array(self.took_s)[(when_s >= start_s) & (when_s < end_s)]
        return float(took_s.mean()) if len(took_s) else float("nan")


@contextmanager
def probing() -> Iterator[SpeedProbe]:
    """A probe that looks by itself, in a thread."""
    probe, over = SpeedProbe(), threading.Event()

    def look_again_and_again() -> None:
        while not over.wait(INTERVAL_S):
            probe.look()

    thread = threading.Thread(target=look_again_and_again, name="speed probe", daemon=True)
    thread.start()
    try:
        yield probe
    finally:
        over.set()
        thread.join()


def relative(works_s: Sequence[float]) -> list[float]:
    """How much slower than on average the machine was at each time; 1 where nobody looked."""
    known = numpy.array(works_s, dtype=float)
    if numpy.isnan(known).all():
        return [1.0] * len(works_s)
    return [float(each) for each in numpy.nan_to_num(known / numpy.nanmean(known), nan=1.0)]


def _work() -> None:
    kept = {}
    for number in range(OBJECTS):
        kept[number % 97] = json.dumps({"number": number, "lines": [number, number + 1], "text": "a payment"})
