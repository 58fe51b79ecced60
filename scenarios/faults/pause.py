"""`pause`: a replica stops running without dying (SIGSTOP): connections stay open, nothing is answered."""

from typing import Any, Literal

from pydantic import Field

from scenarios.faults.base import ReplicaFault
from scenarios.fields import Duration


class Pause(ReplicaFault):
    """A replica freezes for a while: connections stay open, nothing is answered, leases run out."""

    kind: Literal["pause"]
    for_s: Duration = Field(alias="for", description="how long it is frozen")

    @property
    def end_s(self) -> float:
        """When it goes on."""
        return self.at_s + self.for_s

    def parameters(self) -> dict[str, Any]:
        """`{service, replica}`."""
        return {"service": self.service, "replica": self.replica}
