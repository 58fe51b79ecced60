"""`kill`: a replica dies without a word (SIGKILL), and is started again later."""

from typing import Any, Literal

from pydantic import Field

from scenarios.faults.base import ReplicaFault
from scenarios.fields import Duration


class Kill(ReplicaFault):
    """A replica dies without a word, and is started again later."""

    kind: Literal["kill"]
    restart_after_s: Duration = Field(alias="restart_after", description="how long it stays dead")

    @property
    def end_s(self) -> float:
        """When it is started again."""
        return self.at_s + self.restart_after_s

    def parameters(self) -> dict[str, Any]:
        """`{service, replica, restart_after_s}`."""
        return {"service": self.service, "replica": self.replica, "restart_after_s": self.restart_after_s}
