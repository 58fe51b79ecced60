"""What the network asks of whoever makes calls; `simulator.calling` has those that there are."""

from typing import TYPE_CHECKING, Any, Protocol

from simulator.replica import Replica

if TYPE_CHECKING:
    from simulator.network import Call, Reply


class Caller(Protocol):
    """Whoever makes calls: chooses among replicas, and hears how every attempt ended."""

    @property
    def peers(self) -> Any:
        """By service: a `Peer`, or None."""
        ...

    def choose(self, service: str) -> Replica | None:
        """The replica to call; None: nobody is known."""
        ...

    def send(self, call: "Call") -> Replica | None:
        """The same, for an attempt that is made now."""
        ...

    def answered(self, call: "Call", reply: "Reply") -> bool:
        """Whether the call ends in this answer."""
        ...

    def refused(self, call: "Call") -> bool:
        """Nobody listened; whether the call is made again."""
        ...

    def broken(self, call: "Call") -> bool:
        """The connection broke; whether the call is made again."""
        ...

    def unlisted(self, call: "Call") -> bool:
        """Nobody is known; whether the call is made again."""
        ...

    def gave_up(self, call: "Call") -> None:
        """Its time is over."""
        ...
