"""`outage`: a backing service (the database, the stream broker) dies without a word, and is started again later."""

from typing import Any, Literal

from pydantic import Field

from scenarios.faults.base import Fault
from scenarios.fields import Duration

BackingService = Literal["mariadb", "redis"]


class Outage(Fault):
    """A backing service dies without a word, and is started again later."""

    kind: Literal["outage"]
    of: BackingService = Field(description="what dies")
    for_s: Duration = Field(alias="for", description="how long it stays dead")

    @property
    def end_s(self) -> float:
        """When it is started again."""
        return self.at_s + self.for_s

    def parameters(self) -> dict[str, Any]:
        """`{of, restart_after_s}`."""
        return {"of": self.of, "restart_after_s": self.for_s}
