"""When a registry should believe its own ears rather than its clock: self-preservation.

A lease that runs out means that a replica died, or that the registry does not hear it. When many fall silent at once,
the second is likelier: a cut network, a registry that was paused, a starved machine. Removing everybody then turns a
harmless deafness into an outage, so nobody is removed until enough are heard again.

Eureka judges by the share alone, which is its known weakness: of three replicas one that crashes is a third, the
registry takes it for a cut network and goes on offering the dead one. So here a number must be reached as well as a
share, and what counts are *origins*, processes or machines, not leases: one crashed process with seven services in it
is one silence. Eureka also preserves for ever; here a lease is kept for a bounded time, because a silence of minutes
is no hiccup.

Somebody counts as silent before the lease is over (at two thirds of it, say): leases end one after another, and the
first ones would be gone before the many were noticed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping


def preserves(silent: int, total: int, share_min: float, silent_min: int) -> bool:
    """Whether nobody may be removed: at least `silent_min` are silent, and less than `share_min` of all are heard."""
    return silent >= silent_min and total - silent < share_min * total


def silent_origins(leases: Iterable[tuple[str, bool]]) -> Mapping[str, bool]:
    """For each origin whether all of its leases, given as (origin, is silent), are silent."""
    origins: dict[str, bool] = {}
    for origin, silent in leases:
        origins[origin] = origins.get(origin, True) and silent
    return origins
