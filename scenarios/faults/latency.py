"""`latency`: calls on a link, or requests of a route, take longer.

Each call that is hit waits a time of its own, uniform in `delay` plus or minus `jitter`, never less than nothing.
"""

from typing import Any, Literal

from pydantic import Field

from scenarios.faults.base import PathFault
from scenarios.fields import Duration, Moment


class Latency(PathFault):
    """Calls on a link, or requests of a route, take longer."""

    kind: Literal["latency"]
    delay_s: Duration = Field(alias="delay", description="how much longer")
    jitter_s: Moment = Field(default=0.0, alias="jitter", description="by how much the delay varies, up and down")

    def parameters(self) -> dict[str, Any]:
        """Where, and `{share, delay_ms, jitter_ms}`."""
        return {**super().parameters(), "delay_ms": self.delay_s * 1000, "jitter_ms": self.jitter_s * 1000}
