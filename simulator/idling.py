"""What a process does with nothing to do: leases, relays, sampling."""

from collections.abc import Callable
from typing import NamedTuple

from simulator.hosts import Process, nothing

STEP_S = 0.1
"""In every stretch of this length there is one piece of it, at any moment. So nobody is in step with anybody else, nor
with the load: bursts of all processes would meet, and a regular load would always meet them."""


class _Idling(NamedTuple):
    process: Process
    incarnation: int
    work_s: float
    chance: Callable[[], float]
    offset: float
    """When in its stretch of STEP_S the last piece came, from 0 to 1."""


def idle(process: Process, cores: float, chance: Callable[[], float]) -> None:
    """Work for so many cores in this life of a process, again and again; `chance` draws from [0, 1)."""
    if cores:
        offset = chance()
        idling = _Idling(process, process.incarnation, cores * STEP_S, chance, offset)
        process.kernel.after(STEP_S * offset, _step, idling)


def _step(idling: _Idling) -> None:
    process = idling.process
    if process.incarnation == idling.incarnation:
        if not process.paused:
            process.wake()  # what it uses with nothing to do was measured with its waking
            process.run(idling.work_s, nothing)
        offset = idling.chance()
        process.kernel.after(STEP_S * (1.0 - idling.offset + offset), _step, idling._replace(offset=offset))
