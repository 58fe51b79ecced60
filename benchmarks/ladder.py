"""What each promise of the payment path costs: from no coordinator, rung by rung, to the platform as shipped.

    no coordinator                 the same client requests, calls and business changes; nobody remembers anything
    two_phase                      the coordinator's records are durable
    two_phase + barrier            participants remember as well: the platform as shipped
    the same, synchronous NORMAL   as shipped, but no commit waits for the disk

The first two are the shipped code with a few functions exchanged: `variant`. Ratios are to the first rung.
"""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.saturation import Climb
from benchmarks.systems import NO_COORDINATOR, PLATFORM, RELAXED, TWO_PHASE

RUNGS = {
    NO_COORDINATOR: "no coordinator",
    TWO_PHASE: "two_phase",
    PLATFORM: "two_phase + barrier (as shipped)",
    RELAXED: "the same, synchronous NORMAL",
}


@dataclass(frozen=True)
class Rung:
    """Medians over the rounds: payments/s at the knee, the most of any step, CPU ms of a payment at the knee.

    `ratio` is to the first rung, at the knee.
    """

    name: str
    settled_per_s: float
    peak_per_s: float
    cpu_ms_per_payment: float
    ratio: float


def rungs(climbs: Sequence[Climb]) -> list[Rung]:
    """The ladder, from the climbs of all systems."""
    first = median_at_knee(climbs, NO_COORDINATOR)
    return [
        Rung(
            name=shown,
            settled_per_s=median_at_knee(climbs, system),
            peak_per_s=statistics.median(climb.peak_per_s for climb in climbs if climb.system == system),
            cpu_ms_per_payment=statistics.median(
                climb.knee.cpu_ms_per_payment for climb in climbs if climb.system == system
            ),
            ratio=median_at_knee(climbs, system) / first,
        )
        for system, shown in RUNGS.items()
    ]


def median_at_knee(climbs: Sequence[Climb], system: str) -> float:
    """Payments a second at the knee of one system, the median over its climbs."""
    return statistics.median(climb.knee.settled_per_s for climb in climbs if climb.system == system)
