"""What every simulated service is made of: routes, and the platform around it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from settlement.protocol.shipped import PROTOCOLS, Protocol
from simulator.faults import CrashPoints, LinkFaults
from simulator.hosts import Host
from simulator.inputs import SimulationInput
from simulator.kernel import Commit, Kernel, Steps
from simulator.network import Network
from simulator.randomness import Streams
from simulator.replica import Replica

Answer = tuple[int, dict[str, Any], Callable[[], None] | None]
"""HTTP status, body, and what is called when the answer has left the process (None: nothing). Plain, because there are
ten a payment, and a named tuple takes four times as long to make."""

Handler = Callable[[Any], Steps[Answer] | Answer]
"""Answers at once, or in steps."""


@dataclass(slots=True)
class Broker:
    """What carries events from outboxes to consumers. `down`: killed, and not started again yet."""

    down: bool = False


@dataclass(frozen=True)
class Platform:
    """What a service sees of the world it runs in."""

    kernel: Kernel
    network: Network
    crash_points: CrashPoints
    plan: SimulationInput
    links: LinkFaults
    host_of: Callable[[tuple[str, ...]], Host]
    broker: "Broker"
    streams: Streams

    @property
    def protocol(self) -> Protocol:
        """The protocol that its participants and its gateway speak."""
        return PROTOCOLS[self.plan.setting("gateway.protocol")]

    @property
    def commit_s(self) -> float:
        """How long a durable commit occupies the event loop."""
        return self.plan.calibration.commit_cpu_s


class Service:
    """One service in one replica: volatile, made anew at every start of its process."""

    def __init__(self, platform: Platform, replica: Replica) -> None:
        self.platform, self.replica, self.process = platform, replica, replica.process
        self.committed = Commit(platform.commit_s)
        self.routes: dict[str, Handler] = {}

    def start(self) -> None:
        """Recover what the database kept and start the background work."""

    def recalls(self, route: str, body: Any) -> bool:
        """Whether this read is answered from memory."""
        return False

    def now_ms(self) -> int:
        """The clock of the service."""
        return self.platform.kernel.now_ms


def problem(status: int, code: str, **details: Any) -> Answer:
    """A refusal as the services word it."""
    return status, {"code": code, **details}, None
