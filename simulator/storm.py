"""One run of a storm and the calm after it: is everything settled again, and how soon?

Safety is for the checks to judge, from the rows. Here is liveness: once the last fault is over, in a bounded time no
transaction is unfinished, no participant in doubt, and every client has been told how its operation ended. Then it must
also stay so, while the last copies of old messages arrive.
"""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from settlement.protocol.records import ParticipantPhase
from simulator.inputs import SimulationInput
from simulator.model import Simulation
from simulator.recorder import named

POLL_S = 0.1
QUIET_S = 1.0
"""How long it is watched after it has settled; nothing may be under way for longer than this (`within_ms`)."""


@dataclass(frozen=True)
class Aftermath:
    """What became of a run. `settled_s`: how long after the calm began, None if not within the time it had.

    `unsettled` says what was still open then; `error` is the exception that ended the run before its time, or ''.
    """

    rows: dict[str, list[Any]]
    settled_s: float | None
    ended_s: float
    unsettled: tuple[str, ...] = ()
    error: str = ""
    sightings: Counter[str] = field(default_factory=Counter)


def weather(plan: SimulationInput, calm_s: float, settle_s_max: float) -> Aftermath:
    """Play `plan`, whose faults are over at `calm_s`, until everything is settled or `settle_s_max` more has passed."""
    simulation = Simulation(plan)
    counted: Counter[str] = Counter()
    simulation.crash_points.count(counted)
    settled_s, error = None, ""
    try:
        simulation.begin()
        simulation.kernel.run_until(calm_s)
        settled_s = _settle(simulation, calm_s, settle_s_max)
        simulation.kernel.run_until(simulation.kernel.now + QUIET_S)
    except Exception as failure:  # noqa: BLE001 - whatever the platform's code raises is a finding about it
        error = f"{type(failure).__name__}: {failure}"
    ended_s, unsettled = simulation.kernel.now, tuple(_unsettled(simulation))
    return Aftermath(named(simulation.end()), settled_s, ended_s, unsettled, error, counted)


def _settle(simulation: Simulation, calm_s: float, settle_s_max: float) -> float | None:
    kernel = simulation.kernel
    while _unsettled(simulation):
        if kernel.now >= calm_s + settle_s_max:
            return None
        kernel.run_until(kernel.now + POLL_S)
    return kernel.now - calm_s


def _unsettled(simulation: Simulation) -> list[str]:
    databases = simulation.databases
    undone = [f"{gid} is {row.record.phase.value}" for gid, row in databases.gateway.unfinished.items()]
    for role, barrier in (("order", databases.order.barrier), ("payment", databases.payment.barrier)):
        doubtful = [gid for gid, row in barrier.rows.items() if row.record.phase is ParticipantPhase.PREPARED]
        undone += [f"{role} is in doubt about {gid}" for gid in doubtful]
    return undone + [f"the client of {key} has not been told" for key in simulation.shoppers.unfinished]
