"""How a machine's cores serve what runs on it: as calibrated, or as the textbook has it."""

from dataclasses import dataclass

from simulator.kernel import Kernel
from simulator.randomness import Streams
from simulator.resources import RunQueues, SharedCores
from simulator.resources.run_queues import STEADY
from simulator.speed import Courses


@dataclass(frozen=True)
class Scheduling:
    """The operating system's scheduler, and the speed of the cores.

    slice_s    the longest turn on a core; 0: ideal processor sharing of all cores together, always equally fast
    takes_s    core -> what a second's work takes (seconds) as time passes, `per_s` figures a second, over and over
    anywhere   the figures are of another time: each host begins somewhere among them, as its luck will have it
    """

    slice_s: float = 0.0
    takes_s: Courses = STEADY
    per_s: float = 1.0
    anywhere: bool = True

    def of(self, kernel: Kernel, name: str, cores: int, streams: Streams) -> RunQueues | SharedCores:
        """The cores of one host."""
        if not self.slice_s:
            return SharedCores(kernel, name, cores)
        takes_s, figures = self.takes_s, len(self.takes_s[0])
        if self.anywhere and figures > 1:
            begin = int(streams.generator("speed", name).integers(figures))
            takes_s = tuple(course[begin:] + course[:begin] for course in takes_s)
        return RunQueues(kernel, name, cores, self.slice_s, takes_s, self.per_s)
