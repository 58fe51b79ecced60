"""`throttle`: a replica gets less processor time than it wants, as under a container's limit or a noisy neighbour."""

from typing import Any, Literal

from pydantic import Field

from scenarios.faults.base import ReplicaFault
from scenarios.fields import Duration


class Throttle(ReplicaFault):
    """A replica gets less processor time for a while."""

    kind: Literal["throttle"]
    for_s: Duration = Field(alias="for", description="how long it lasts")
    cpus: float = Field(ge=0.01, le=64, description="the processor time it may use, in cores")

    @property
    def end_s(self) -> float:
        """When it has its own again."""
        return self.at_s + self.for_s

    def parameters(self) -> dict[str, Any]:
        """`{service, replica, cpus}`."""
        return {"service": self.service, "replica": self.replica, "cpus": self.cpus}
