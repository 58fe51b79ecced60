"""`error`: calls on a link, or requests of a route, are answered with an error and not executed."""

from typing import Any, Literal

from pydantic import Field

from scenarios.faults.base import PathFault


class Error(PathFault):
    """Calls on a link, or requests of a route, are answered with an error and not executed."""

    kind: Literal["error"]
    status: int = Field(default=503, ge=400, le=599, description="the HTTP status answered")

    def parameters(self) -> dict[str, Any]:
        """Where, and `{share, status}`."""
        return {**super().parameters(), "status": self.status}
