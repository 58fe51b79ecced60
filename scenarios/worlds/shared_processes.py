"""Plans that hit one process twice at once, through two of the services that share it.

Only worlds whose services share processes have to refuse that; in containers every service has its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import TYPE_CHECKING

from settlement.topology import process_name, processes

if TYPE_CHECKING:
    from scenarios.plan import Plan, PlannedFault


def collisions(plan: Plan) -> list[str]:
    """A phrase for each fault that would hit a process which an earlier fault has down."""
    down = [(process, fault) for fault in plan.faults for process in _process(plan, fault)]
    down.sort(key=lambda each: (each[0], each[1].at_s))
    return [
        f"{process} is down until {earlier.until_s:g} s by the {earlier.kind} of {earlier.target}, and the "
        f"{later.kind} of {later.target} at {later.at_s:g} s hits it too (topology {plan.platform.topology})"
        for (process, earlier), (other, later) in pairwise(down)
        if process == other and later.at_s < earlier.until_s
    ]


def _process(plan: Plan, fault: PlannedFault) -> Iterator[str]:
    """The process that goes down with it, if one does."""
    if "for_s" in fault.parameters:
        return  # a crash that waits for its moment: when that is, and whether the process is up then, nobody knows yet
    service, number = fault.parameters.get("service"), fault.parameters.get("replica")
    if service is not None and number is not None:
        yield next(process_name(shared, number) for shared in processes(plan.platform.topology) if service in shared)
