"""What the lab needs of a real platform, whatever its services run in: processes of this machine, or containers.

Replicas are known by name (`gateway-0`); who lives in one process or container dies with it. Times are epoch
milliseconds on the wall clock, the clock that the services stamp their records with.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from scenarios.worlds.switchboard import FaultLine


@dataclass(frozen=True)
class Death:
    """A process or container that ended without being stopped: a negative status means killed by that signal."""

    name: str
    replicas: tuple[str, ...]
    status: int
    at_ms: int
    log: Path

    def describe(self) -> str:
        """One line for people, naming the log."""
        how = f"was killed by signal {-self.status}" if self.status < 0 else f"ended with status {self.status}"
        return f"{self.name} {how}; see {self.log}"


@dataclass(frozen=True)
class ServiceEvent:
    """A row of the `services` table on the wall clock: started, ready, died, restarted or stopped."""

    service: str
    replica: str
    event: str
    at_ms: int


class Hurtable(FaultLine, Protocol):
    """What faults are done to: replicas, named by service and number, and backing services (mariadb), by their own."""

    def names_of(self, service: str) -> list[str]:
        """Every replica of a service, dead or alive, in order."""
        ...

    def is_dead(self, name: str) -> bool:
        """Whether its process does not run now."""
        ...

    def whereabouts(self, name: str) -> str:
        """Where it lives, for whoever has to undo a fault by hand: `process 4242`, `container ab12`."""
        ...

    def kill(self, name: str) -> int:
        """SIGKILL; returns the time of death in epoch ms."""
        ...

    def restart(self, name: str) -> None:
        """Start a dead one again."""
        ...

    def impair(self, name: str, kind: str, parameters: Mapping[str, Any]) -> None:
        """Begin a fault that leaves it alive: `pause`, or what else the world declares."""
        ...

    def relieve(self, name: str, kind: str) -> None:
        """End what `impair` began."""
        ...


class RealPlatform(Hurtable, Protocol):
    """A platform that is up: what `Run` plays a plan on."""

    @property
    def registry(self) -> str:
        """The address by which the load generator finds everybody."""
        ...

    @property
    def ready_after_s(self) -> float:
        """How long it took to start."""
        ...

    @property
    def events(self) -> Sequence[ServiceEvent]:
        """What the replicas went through so far."""
        ...

    def deaths(self) -> list[Death]:
        """What died by itself since the last call."""
        ...

    def refresh(self) -> None:
        """Learn who is ready, and where. Cheap when nobody is awaited. Raises WorldError for one that never is."""
        ...

    def sample(self, at_s: float) -> None:
        """Note what everything uses, if it is time to; `at_s` seconds of the run."""
        ...

    def resources(self) -> list[dict[str, Any]]:
        """The rows of the `resources` table."""
        ...

    def unresolved(self) -> dict[str, int]:
        """How many transactions each service still has to finish, services with none left out."""
        ...

    def real_name(self, replica: str) -> str:
        """The name by which the lab knows a replica that calls itself `replica`."""
        ...


def now_ms() -> int:
    """Wall clock in epoch milliseconds."""
    return time.time_ns() // 1_000_000
