"""A replica of a service: what answers requests in a process, and for how long."""

from collections.abc import Callable
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


class Replica:
    """One replica of one service; `app` is None while it does not serve.

    For one life of its process: `caller` is how it calls others, `door` whom it lets in.
    """

    __slots__ = ("app", "caller", "door", "name", "process", "service")

    def __init__(self, service: str, name: str, process: Process) -> None:
        self.service, self.name, self.process = service, name, process
        self.app: App | None = None
        self.caller: Caller
        self.door: Door
