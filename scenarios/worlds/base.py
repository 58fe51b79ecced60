"""What every world is: something that plays a plan and writes a history. It judges nothing.

A world declares the faults it can make; a scenario that needs another is refused with the list of all that are
missing, never run with one silently left out. It reports what goes on to a `Progress`, and whatever ends `play` (a
normal return, a WorldError, KeyboardInterrupt) it leaves nothing running behind.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from scenarios.errors import LabError

if TYPE_CHECKING:  # pandas and numpy cost a second, which `paylab up` need not wait for
    from scenarios.history import History
    from scenarios.plan import Plan
    from scenarios.runfolder import RunFolder


class Progress(Protocol):
    """Where a world tells what goes on. Calls are cheap; none of them raises. All times are seconds of the run."""

    def stage(self, text: str) -> None:
        """What the world is doing before and after the load: "starting 7 services", "reading the databases"."""

    def clock(self, now_s: float) -> None:
        """The run's time, about once a second during load and recovery. (Simulated worlds: virtual time.)"""

    def arrivals(self, started: int) -> None:
        """How many journeys have started so far."""

    def fault(self, id: str, event: str, at_s: float) -> None:  # noqa: A002 - the name it has everywhere else
        """A fault's `event` (armed | started | hit | restarted | ended), as it happens."""

    def warning(self, text: str) -> None:
        """Something that a reader of the result should know and that does not end the run."""


class SilentProgress:
    """A Progress that says nothing: for tests, and for those who only want the verdict."""

    def stage(self, text: str) -> None:
        """Say nothing."""

    def clock(self, now_s: float) -> None:
        """Say nothing."""

    def arrivals(self, started: int) -> None:
        """Say nothing."""

    def fault(self, id: str, event: str, at_s: float) -> None:  # noqa: A002 - the name it has everywhere else
        """Say nothing."""

    def warning(self, text: str) -> None:
        """Say nothing."""


class WorldError(LabError):
    """The world could not play the plan. `message` names what failed; `log`, if there is one, is the file to read."""

    def __init__(self, message: str, log: Path | None = None) -> None:
        super().__init__(message, log)
        self.message = message
        self.log = log

    def __str__(self) -> str:
        return self.message if self.log is None else f"{self.message}\n  log: {self.log}"


class UnsupportedPlan(WorldError):
    """The plan asks for what this world cannot do; the message lists all of it. Nothing was started."""


class World(Protocol):
    """A world: `processes`, `simulated`, later `compose`."""

    name: str
    fault_kinds: frozenset[str]

    def impossible(self, plan: Plan) -> list[str]:
        """What else this world cannot be asked for; each problem a phrase. Nothing is started."""
        ...

    def play(self, plan: Plan, folder: RunFolder, progress: Progress) -> History:
        """Play `plan`, keep what is worth keeping in `folder`, return what happened. Raises WorldError.

        `folder` exists and holds plan.json already; saving the history into it is the runner's business.
        """
        ...


@dataclass(frozen=True)
class Addresses:
    """Where a started platform listens: the registry, and every replica ("gateway-0" -> "http://127.0.0.1:41234")."""

    registry: str
    replicas: Mapping[str, str]


def refuse_unsupported(world: World, plan: Plan) -> None:
    """Raise UnsupportedPlan with everything in `plan` that `world` cannot play."""
    problems = world.impossible(plan)
    missing = [fault for fault in plan.faults if fault.kind not in world.fault_kinds]
    if missing:
        listed = ", ".join(f"{fault.kind} at {fault.at_s:g} s" for fault in missing)
        able = ", ".join(sorted(world.fault_kinds)) or "none"
        problems = [f"it cannot make these faults: {listed}; it can make: {able}", *problems]
    if problems:
        raise UnsupportedPlan(f"the world {world.name} cannot play this: {'; '.join(problems)}")
