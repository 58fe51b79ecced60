"""What a process does with nothing to do: leases, relays, sampling."""

from simulator.hosts import Process, nothing

STEP_S = 0.1
"""It is done in pieces this far apart."""


def idle(process: Process, cores: float) -> None:
    """Work for so many cores in this life of a process, again and again."""
    if cores:
        _step((process, process.incarnation, cores * STEP_S))


def _step(work: tuple[Process, int, float]) -> None:
    process, incarnation, work_s = work
    if process.incarnation == incarnation:
        if not process.paused:
            process.run(work_s, nothing)
        process.kernel.after(STEP_S, _step, work)
