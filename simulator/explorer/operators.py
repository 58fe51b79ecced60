"""What operators do: have an exhausted decision delivered again, decide instead of the protocol, overrule it, or close.

As in the gateway, an order takes the transaction over whoever drives it, and the shipped coordinator's answer to it is
durable at once, in the same write; what is left of the step is what a recovery does. Orders are not refused here as
they are there (a commit that somebody certainly cannot do, a close while somebody is in doubt): operators may be wrong
about what they have seen, and insist. Delivering again is what they are there for, and free; the others are bounded.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from settlement.protocol.coordinator import CoordinatorState
from settlement.protocol.events import Forgotten, Overruled, Resumed
from settlement.protocol.records import CoordinatorPhase, Decision, TransactionRecord
from settlement.protocol.transitions import ProtocolError
from simulator.explorer import gateway
from simulator.explorer.engine import Problem
from simulator.explorer.parts import FREE, ORDER, Bounds, Step
from simulator.explorer.properties import ABORT, COMMIT, HEURISTIC, ORDERED, RESUMED, STABILITY, problem
from simulator.explorer.states import Core

Given = Resumed | Overruled | Forgotten
HEURISTIC_ORDERS: tuple[Given, ...] = (Overruled(Decision.ABORT), Overruled(Decision.COMMIT), Forgotten())


@dataclass(frozen=True, slots=True)
class Order:
    """What it costs, what it is, and what it leads to (before what makes no difference is dropped)."""

    cost: int
    step: Step
    core: Core


def orders(core: Core, replica: int, bounds: Bounds) -> Iterator[Order]:
    """All that an operator may order now, at an idle replica."""
    row = core.row
    if row is None or not (bounds.exhaustions or bounds.operators):
        return
    if row.phase is CoordinatorPhase.EXHAUSTED:
        yield from _order(core, row, replica, bounds, Resumed())
    if bounds.operators:
        for event in HEURISTIC_ORDERS:
            yield from _order(core, row, replica, bounds, event)


def _order(core: Core, before: TransactionRecord, replica: int, bounds: Bounds, event: Given) -> Iterator[Order]:
    claimed, _ = gateway.claimed(before, replica)
    try:
        state, _effects = bounds.shipped.coordinator(CoordinatorState.of(claimed, gateway.TIMING), event)
    except ProtocolError:
        return  # refused: not in this phase
    record = replace(state.record, reason="", attempts=0)
    drives = core.drives
    if record.phase in gateway.UNFINISHED:
        blank = CoordinatorState(record.gid, timing=gateway.TIMING)
        drives = (*drives, gateway.Drive(replica, blank, found=record))
    after = replace(
        core,
        row=record,
        drives=drives,
        excused=True,
        overruled=core.overruled or _overrules(before, event),
        forgotten=core.forgotten or isinstance(event, Forgotten),
        problems=(*core.problems, *_judged(before, record, event)),
    )
    yield Order(FREE if isinstance(event, Resumed) else ORDER, _step(before, record, replica, event), after)


def _overrules(before: TransactionRecord, event: Given) -> bool:
    """Whether an operator decides what the protocol has not decided so."""
    return isinstance(event, Overruled) and event.decision is not before.decision


def _judged(before: TransactionRecord, record: TransactionRecord, event: Given) -> Iterator[Problem]:
    """What is wrong with the record that an order leaves: it has to show what was ordered, and by whom."""
    if before.decision is not None and record.decision is not before.decision:
        yield problem(STABILITY, f"the record said {before.decision}, and now says {record.decision or 'nothing'}")
    if before.heuristic and not record.heuristic:
        yield problem(HEURISTIC, "the record has forgotten what an operator decided")
    elif isinstance(event, Forgotten) and not record.heuristic:
        yield problem(HEURISTIC, "an operator closes it, and the record does not say who")
    elif isinstance(event, Overruled) and _overrules(before, event) and not record.heuristic:
        yield problem(HEURISTIC, f"an operator decides {event.decision}, and the record does not say who")
    if isinstance(event, Overruled) and (record.overruled or record.decision) is not event.decision:
        yield problem(HEURISTIC, f"an operator orders {event.decision}, and the record says something else")


def _step(before: TransactionRecord, record: TransactionRecord, replica: int, event: Given) -> Step:
    marks = {RESUMED.name} if isinstance(event, Resumed) else {ORDERED.name}
    if before.decision is None and record.decision is not None:
        marks.add(COMMIT.name if record.decision is Decision.COMMIT else ABORT.name)
    marked = ", marked as heuristic" if record.heuristic else ""
    note = f"durable: epoch {record.epoch}, {record.phase}{marked}"
    return Step("order", replica, False, _words(before, event), notes=(note,), marks=frozenset(marks), fair="operator")


def _words(before: TransactionRecord, event: Given) -> str:
    match event:
        case Resumed():
            return f"an operator has {before.overruled or before.decision} delivered again"
        case Forgotten():
            return "an operator closes it"
    if before.decision is None:
        return f"an operator decides {event.decision}"
    against = f" against the decision to {before.decision}" if _overrules(before, event) else " once more, as decided"
    return f"an operator orders {event.decision}{against}"
