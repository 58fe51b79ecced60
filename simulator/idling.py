"""What a process does with nothing to do: leases, relays, sampling."""

from collections.abc import Callable
from heapq import heappush
from typing import Any

from simulator.hosts import Process, nothing

STEP_S = 0.1
"""In every stretch of this length there is one piece of it, at any moment. So nobody is in step with anybody else, nor
with the load: bursts of all processes would meet, and a regular load would always meet them."""


class _Idling:
    """`offset`: when in its stretch of STEP_S the last piece came, from 0 to 1."""

    __slots__ = ("_chance", "_incarnation", "_offset", "_process", "_step_entry", "_work_s")

    def __init__(self, process: Process, work_s: float, chance: Callable[[], float]) -> None:
        self._process, self._incarnation = process, process.incarnation
        self._work_s, self._chance, self._offset = work_s, chance, 0.0
        self._step_entry = self._step

    def begin(self) -> None:
        self._offset = self._chance()
        self._process.kernel.after(STEP_S * self._offset, self._step_entry, None)

    def _step(self, _: Any) -> None:
        process = self._process
        if process.incarnation == self._incarnation:
            if not process.paused:
                process.wake()  # what it uses with nothing to do was measured with its waking
                process.run(self._work_s, nothing)
            kernel, offset = process.kernel, self._chance()
            due_s = kernel.now + STEP_S * (1.0 - self._offset + offset)
            heappush(kernel.heap, (due_s, next(kernel.numbers), self._step_entry, None))
            self._offset = offset


def idle(process: Process, cores: float, chance: Callable[[], float]) -> None:
    """Work for so many cores in this life of a process, again and again; `chance` draws from [0, 1)."""
    if cores:
        _Idling(process, cores * STEP_S, chance).begin()
