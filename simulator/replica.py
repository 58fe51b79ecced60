"""A replica of a service: what answers requests in a process, and for how long."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from simulator.hosts import Process
from simulator.kernel import Steps

if TYPE_CHECKING:
    from simulator.caller import Caller
    from simulator.doors import Door

Response = tuple[int, Any, Callable[[], None] | None]
"""HTTP status, body, and what to do when the answer has left."""


class App(Protocol):
    """A service inside a process: answers requests, and forgets everything when the process dies.

    `routes`: who answers the requests for a method and path, at once or in steps.
    """

    routes: "dict[str, Callable[[Any], Steps[Response] | Response]]"

    def recalls(self, route: str, body: Any) -> bool:
        """Whether this read is answered from memory; asked as it comes in, of routes that may be."""
        ...

    def start(self) -> None:
        """Recover what the database kept, start the background work."""
        ...


@dataclass(eq=False, slots=True)
class Replica:
    """One replica of one service; `app` is None while it does not serve."""

    service: str
    name: str
    process: Process
    app: App | None = None
    caller: "Caller" = field(init=False, repr=False)
    """How it calls others, for one life of its process."""
    door: "Door" = field(init=False, repr=False)
    """Whom it lets in, for the same life."""
