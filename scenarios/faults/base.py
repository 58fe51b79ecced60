"""What all faults have in common: when they start, when they end, what they hit. Pure description.

How a fault is made is the business of each world; that it has an end is the business of this file.
"""

from abc import abstractmethod
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field

from scenarios.fields import Duration, Model, Moment, Replica, ServiceName, Share

Path = Annotated[str, Field(pattern=r"^/\S*$", max_length=200)]
Route = Annotated[str, Field(pattern=r"^(GET|POST|PUT|PATCH|DELETE) /\S*$", max_length=200)]


class Fault(Model):
    """Something that goes wrong at `at`, seconds from the first possible arrival."""

    at_s: Moment = Field(alias="at", description="when it starts, from the beginning of the load")
    kind: str

    @property
    @abstractmethod
    def end_s(self) -> float:
        """When it is over: undone, restarted, healed."""

    @abstractmethod
    def parameters(self) -> dict[str, Any]:
        """What a world needs to make it; durations are numbers, with their unit in the name."""


class ReplicaFault(Fault):
    """A fault of one replica of a service."""

    service: ServiceName
    replica: Replica = Field(default=0, description="which replica, from 0")


class PathFault(Fault):
    """A fault of the way between two services (`from`, `to`), or of one route of one service (`service`, `route`).

    A link fault hits all replicas of `from`, on its calls to `to`, on those below `path` if that is given.
    """

    for_s: Duration = Field(alias="for", description="how long it lasts")
    from_service: ServiceName | None = Field(default=None, alias="from", description="the calling service of a link")
    to_service: ServiceName | None = Field(default=None, alias="to", description="the called service of a link")
    path: Path | None = Field(default=None, description="only calls whose path starts so, like /wallet")
    service: ServiceName | None = Field(default=None, description="the service that has the route")
    route: Route | None = Field(default=None, description="method and path, like POST /payments")
    share: Share = Field(default=1.0, description="share of the calls that are hit")

    @property
    def end_s(self) -> float:
        """Start and length."""
        return self.at_s + self.for_s

    def parameters(self) -> dict[str, Any]:
        """`{from, to, path?}` or `{service, route}`, and `share`."""
        names = {
            "from": self.from_service, "to": self.to_service, "path": self.path,
            "service": self.service, "route": self.route, "share": self.share,
        }  # fmt: skip
        return {name: value for name, value in names.items() if value is not None}


def aim_problem(written: Mapping[str, Any]) -> str | None:
    """What is wrong with the keys that say where a PathFault hits: which are there, whatever their values."""
    link, route = {"from", "to", "path"} & set(written), {"service", "route"} & set(written)
    if link and route:
        return "both a link and a route are given; expected either from and to, or service and route"
    missing = {"service", "route"} - route if route else {"from", "to"} - link
    if missing:
        return f"{' and '.join(sorted(missing))} missing; expected either from and to, or service and route"
    if link and written["from"] == written["to"]:
        return "from and to are the same service; expected two services that call each other"
    return None
