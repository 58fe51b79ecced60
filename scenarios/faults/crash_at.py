"""`crash_at`: a replica dies at a named step of the protocol, the n-th time it gets there after `at`.

The fault is armed at `at` and hits when the protocol passes the crash point. If that does not happen within `for`
(without it: before the load ends), the fault did nothing, and the history says so (hits = 0).
"""

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, WithJsonSchema

from scenarios.faults.base import ReplicaFault
from scenarios.fields import Duration
from settlement.protocol import coordinator
from settlement.protocol.crashpoints import KNOWN_POINTS, role_of
from settlement.topology import PARTICIPANTS

COORDINATOR_SERVICE = "gateway"
EXAMPLE = "coordinator.decided.persist.after"


def _known(point: str) -> str:
    if point in KNOWN_POINTS:
        return point
    near = get_close_matches(point, KNOWN_POINTS, n=3, cutoff=0.5) or [EXAMPLE]
    raise ValueError(
        f"unknown crash point {point!r}; expected role.state.effect.before|after, like {', '.join(near)} "
        f"(`paylab schema` lists all {len(KNOWN_POINTS)})"
    )


PointName = Annotated[str, AfterValidator(_known), WithJsonSchema({"enum": list(KNOWN_POINTS)})]


class CrashAt(ReplicaFault):
    """A replica dies at a named step of the protocol, and is started again later."""

    kind: Literal["crash_at"]
    point: PointName = Field(description="the step, as role.state.effect.before|after")
    nth: int = Field(default=1, ge=1, le=1_000_000, description="die the n-th time it gets there")
    restart_after_s: Duration = Field(alias="restart_after", description="how long it stays dead")
    for_s: Duration | None = Field(
        default=None, alias="for", description="how long it waits for that step; until the load ends if not given"
    )

    @property
    def end_s(self) -> float:
        """When it is started again, if it hits at once."""
        return self.at_s + self.restart_after_s

    def parameters(self) -> dict[str, Any]:
        """`{service, replica, point, nth, restart_after_s, for_s?}`."""
        names = ("service", "replica", "point", "nth", "restart_after_s", "for_s")
        return {name: value for name in names if (value := getattr(self, name)) is not None}


def place_problem(fault: Mapping[str, Any]) -> str | None:
    """What is wrong when a service never passes a crash point; `fault` has the `service` and `point` that validated."""
    service, point = fault.get("service"), fault.get("point")
    if service is None or point is None:
        return None
    is_coordinator = role_of(point) == coordinator.ROLE
    if service in ((COORDINATOR_SERVICE,) if is_coordinator else PARTICIPANTS):
        return None
    owner = COORDINATOR_SERVICE if is_coordinator else " or ".join(PARTICIPANTS)
    return f"{service} never passes {point}; expected the service {owner}"
