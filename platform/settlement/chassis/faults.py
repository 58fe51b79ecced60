"""Faults injected into a running replica: latency, errors and lost replies on links or routes, and crash points.

With `to` a fault works in this replica's HTTP client, on calls to that service (and `path` prefix); with `route` in
its server. The list is replaced as a whole; a fault that is in the new list as it was in the old one goes on where it
was, with its hits and its luck. Each fault draws from its own generator (`settlement.policies.fault_luck`), named by
`seed`, `replica` and `id`, so that the same calls in the same order meet the same fate, here as in the simulator. A
restarted process has no faults; told again, they begin anew. Crash points kill the process the way a power cut would:
SIGKILL.
"""

from __future__ import annotations

import os
import random
import re
import signal
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, Final, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, model_validator

from settlement.policies.fault_luck import delay_ms, luck_name, strikes

FAULTS_MAX: Final = 100
HOLD_S_MAX: Final = 60.0
SEED_MAX: Final = 2**53 - 1  # what every reader of JSON keeps exactly

Identifier = Annotated[str, Field(min_length=1, max_length=64)]
Share = Annotated[float, Field(ge=0.0, le=1.0, allow_inf_nan=False)]
Milliseconds = Annotated[float, Field(ge=0.0, le=600_000.0, allow_inf_nan=False)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _Placed(_Strict):
    """A fault on a link (`to`, optionally a `path` prefix) or on a route (`route`), for a share of the calls.

    Which calls those are depends on `seed`, `replica` and `id` alone: the same again for the same three.
    """

    id: Identifier
    to: Identifier | None = None
    path: Annotated[str, Field(max_length=200)] | None = None
    route: Annotated[str, Field(max_length=200, pattern=r"^[A-Z]+ /")] | None = None
    share: Share = 1.0
    seed: Annotated[int, Field(ge=0, le=SEED_MAX, description="Whose luck it has: a run's seed")] = 0
    replica: Annotated[
        Identifier | None,
        Field(description="By what name this replica has luck of its own; those without one share theirs"),
    ] = None

    @model_validator(mode="after")
    def _one_place(self) -> _Placed:
        if (self.to is None) == (self.route is None):
            raise ValueError("exactly one of `to` and `route` is needed")
        if self.path is not None and self.to is None:
            raise ValueError("`path` narrows `to`; a route has its own path")
        return self


class Latency(_Placed):
    """Delays a call by `delay_ms` plus or minus up to `jitter_ms` (uniform), never by less than nothing."""

    kind: Literal["latency"]
    delay_ms: Milliseconds
    jitter_ms: Milliseconds = 0.0


class Error(_Placed):
    """Answers with `status` without executing the call."""

    kind: Literal["error"]
    status: Annotated[int, Field(ge=400, le=599)] = 503


class DropReply(_Placed):
    """Executes the call and withholds the answer."""

    kind: Literal["drop_reply"]


class CrashAt(_Strict):
    """SIGKILLs the process at the `nth` hit of a crash point, counted from when this fault was put in force."""

    id: Identifier
    kind: Literal["crash_at"]
    point: Annotated[str, Field(min_length=1, max_length=120)]
    nth: Annotated[int, Field(ge=1, le=1_000_000)] = 1


Fault = Annotated[Latency | Error | DropReply | CrashAt, Field(discriminator="kind")]
PlacedFault = Latency | Error | DropReply


class FaultList(_Strict):
    """The body of `PUT /faults`."""

    faults: Annotated[list[Fault], Field(max_length=FAULTS_MAX)]

    @model_validator(mode="after")
    def _distinct(self) -> FaultList:
        ids = [fault.id for fault in self.faults]
        if len(ids) != len(set(ids)):
            raise ValueError("every fault needs its own id")
        return self


def kill_process() -> None:
    """Die at once, as in a power cut: no cleanup, no flush."""
    os.kill(os.getpid(), signal.SIGKILL)
    # The kernel spares the first process of a container from its own signals.
    os._exit(128 + signal.SIGKILL)


class ArmedCrash:
    """A crash that waits for its moment, and how often its point was passed meanwhile."""

    def __init__(self, fault: CrashAt) -> None:
        self.fault = fault
        self.hits = 0


class CrashPoints:
    """The crash points of one replica; costs nothing while none is armed."""

    def __init__(self, crash: Callable[[], None] = kill_process) -> None:
        self._crash = crash
        self.armed: list[ArmedCrash] = []

    def arm(self, faults: Sequence[CrashAt]) -> None:
        """Replace what is armed; what was armed already goes on counting, everything else counts from now."""
        before = {crash.fault.id: crash for crash in self.armed}
        self.armed = [_unchanged(before, fault) or ArmedCrash(fault) for fault in faults]

    async def passed(self, point: str) -> None:
        """Execution has come to this point; the process may end here."""
        for crash in self.armed:
            if crash.fault.point != point:
                continue
            crash.hits += 1
            if crash.hits == crash.fault.nth:
                self._crash()


class ActiveFault:
    """One placed fault with its own luck and its count of hits."""

    def __init__(self, fault: PlacedFault) -> None:
        self.fault = fault
        self.hits = 0
        self._chance = random.Random(luck_name(fault.seed, fault.replica or "", fault.id)).random
        self._route = _route_pattern(fault.route) if fault.route else None

    def strikes_call(self, service: str, path: str) -> bool:
        """Whether it hits this call of our HTTP client."""
        fault = self.fault
        return fault.to == service and path.startswith(fault.path or "/") and self._lucky()

    def strikes_request(self, method: str, path: str) -> bool:
        """Whether it hits this request to our server."""
        return self._route is not None and self._route.fullmatch(f"{method} {path}") is not None and self._lucky()

    def delay_s(self) -> float:
        """The delay of this hit of a latency fault, in seconds: delay +- jitter. To be drawn once for each hit."""
        assert isinstance(self.fault, Latency)  # noqa: S101 - callers look at the kind first
        return delay_ms(self.fault.delay_ms, self.fault.jitter_ms, self._chance) / 1_000

    def _lucky(self) -> bool:
        struck = strikes(self.fault.share, self._chance)
        self.hits += struck
        return struck


def _route_pattern(route: str) -> re.Pattern[str]:
    """`POST /payments/{gid}/refunds` as a pattern over "METHOD path"; a parameter is one path segment."""
    pieces = re.split(r"\{[^}/]*\}", route)
    return re.compile("[^/]+".join(re.escape(piece) for piece in pieces))


Kept = TypeVar("Kept", ArmedCrash, ActiveFault)


def _unchanged(before: Mapping[str, Kept], fault: Fault) -> Kept | None:
    """What is in force for this very fault already: same id and same content."""
    found = before.get(fault.id)
    return found if found is not None and found.fault == fault else None


class FaultTable:
    """The faults in force in one replica."""

    def __init__(self, crash_points: CrashPoints) -> None:
        self._crash_points = crash_points
        self.links: list[ActiveFault] = []
        self.routes: list[ActiveFault] = []

    def replace(self, faults: Sequence[Fault]) -> None:
        """Put these faults in force, and no others. Unchanged ones go on as they were, the rest count from zero."""
        self._crash_points.arm([fault for fault in faults if isinstance(fault, CrashAt)])
        before = {active.fault.id: active for active in self.links + self.routes}
        placed = [_unchanged(before, fault) or ActiveFault(fault) for fault in faults if not isinstance(fault, CrashAt)]
        self.links = [active for active in placed if active.fault.to is not None]
        self.routes = [active for active in placed if active.fault.route is not None]

    def of_call(self, service: str, path: str) -> list[ActiveFault]:
        """The faults that hit this call, in the order of the list."""
        return [active for active in self.links if active.strikes_call(service, path)]

    def of_request(self, method: str, path: str) -> list[ActiveFault]:
        """The faults that hit this request, in the order of the list."""
        return [active for active in self.routes if active.strikes_request(method, path)]

    def report(self) -> list[dict[str, Any]]:
        """Every fault in force with its hits."""
        in_force: list[ActiveFault | ArmedCrash] = [*self.links, *self.routes, *self._crash_points.armed]
        return [{**each.fault.model_dump(exclude_none=True), "hits": each.hits} for each in in_force]
