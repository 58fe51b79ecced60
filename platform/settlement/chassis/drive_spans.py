"""The phases of one transaction as spans: `2pc prepare` until the decision, `2pc complete` until it is closed.

They hang under the request that began the transaction; one that was taken over has a trace of its own, `2pc recovery`.
Calls to participants run in tasks of their own, which `enter` the phase that they belong to.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Final

from settlement.chassis.trace import Recording, SpanKind, Trace, current_trace, enter_trace, started
from settlement.protocol.records import CoordinatorPhase, Decision

PREPARE: Final = "2pc prepare"
COMPLETE: Final = "2pc complete"
RECOVERY: Final = "2pc recovery"
_WRITTEN: Final = {
    CoordinatorPhase.PREPARING: "begin",
    CoordinatorPhase.DECIDED: "decide",
    CoordinatorPhase.CLOSED: "close",
}


class DriveSpans:
    """The spans of one drive. Costs nothing if nothing is recorded; `recovery` is ended with the drive."""

    def __init__(self, recovery: Trace | None) -> None:
        self._root = recovery or current_trace()
        self._recovery = recovery
        self._phase: Trace | None = None
        self._prepare = self._begun(PREPARE) if recovery is None else None
        self._phase = self._prepare

    def enter(self, *, preparing: bool) -> None:
        """Make the phase that a call belongs to the current span of the running task, for good."""
        phase = self._prepare if preparing else self._phase
        if phase is not None:
            enter_trace(phase)
        elif self._recovery is not None:
            enter_trace(self._recovery)

    def writing(self, phase: CoordinatorPhase) -> AbstractContextManager[object]:
        """Record the write of the record that enters `phase`, whichever task it runs in."""
        above = self._phase or self._recovery
        if above is None or above.tracer is None:
            return nullcontext()
        name = f"2pc {_WRITTEN.get(phase, phase.value)}"
        return Recording(started(above, above.tracer, name, SpanKind.INTERNAL, gid=above.gid))

    def decided(self, decision: Decision, reason: str) -> None:
        """The decision is durable: what follows is completion."""
        about = {"paylab.decision": decision.value, "paylab.reason": reason}
        if self._root.span is not None:
            self._root.span.add_event("2pc decided", about)
        if self._phase is not None and self._phase.span is not None:
            self._phase.span.set_attributes(about)
            self._phase.span.end()
        self._phase = self._begun(COMPLETE)

    def ended(self, phase: CoordinatorPhase) -> None:
        """The drive is over."""
        for trace in (self._phase, self._recovery):
            if trace is not None and trace.span is not None:
                trace.span.set_attribute("paylab.ended_as", phase.value)
                trace.span.end()
        self._phase = self._recovery = None

    def _begun(self, name: str) -> Trace | None:
        root = self._root
        if root.span is None or root.tracer is None:
            return None
        return started(root, root.tracer, name, SpanKind.INTERNAL, gid=root.gid)
