"""`partition`: a replica is cut off from everybody, its database too, and runs on not knowing."""

from typing import Any, Literal

from pydantic import Field

from scenarios.faults.base import ReplicaFault
from scenarios.fields import Duration


class Partition(ReplicaFault):
    """A replica is cut off from the network for a while, and runs on."""

    kind: Literal["partition"]
    for_s: Duration = Field(alias="for", description="how long it is cut off")

    @property
    def end_s(self) -> float:
        """When it is back on the network."""
        return self.at_s + self.for_s

    def parameters(self) -> dict[str, Any]:
        """`{service, replica}`."""
        return {"service": self.service, "replica": self.replica}
