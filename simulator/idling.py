"""What a process does with nothing to do: leases, relays, sampling."""

from collections.abc import Callable
from typing import NamedTuple

from simulator.hosts import Process, nothing

STEP_S = 0.1
"""It is done in pieces this far apart, about. Of no two processes at the same time for long, and of nobody in step with
the load: their bursts would meet, and the same requests would always meet them."""


class _Idling(NamedTuple):
    process: Process
    incarnation: int
    work_s: float
    chance: Callable[[], float]


def idle(process: Process, cores: float, chance: Callable[[], float]) -> None:
    """Work for so many cores in this life of a process, again and again; `chance` draws from [0, 1)."""
    if cores:
        idling = _Idling(process, process.incarnation, cores * STEP_S, chance)
        process.kernel.after(STEP_S * chance(), _step, idling)


def _step(idling: _Idling) -> None:
    process = idling.process
    if process.incarnation == idling.incarnation:
        if not process.paused:
            process.wake()  # what it uses with nothing to do was measured with its waking
            process.run(idling.work_s, nothing)
        process.kernel.after(STEP_S * (0.5 + idling.chance()), _step, idling)
