"""How everybody stands after the last step of a story, and who has lost what by it: in words, for people."""

from __future__ import annotations

from collections.abc import Sequence

from settlement.protocol.records import Decision, ParticipantPhase
from simulator.explorer.participants import Node, Outside
from simulator.explorer.parts import Bounds
from simulator.explorer.states import Core

GOODS = {
    Outside.NOTHING: "the goods are free",
    Outside.HELD: "the goods are reserved",
    Outside.CHARGED: "it counts as paid, the goods are sold",
    Outside.RELEASED: "the goods are free again",
}
MONEY = {
    Outside.NOTHING: "no money was taken",
    Outside.HELD: "the money is held",
    Outside.CHARGED: "the money is taken",
    Outside.RELEASED: "the money was given back",
}
ANYTHING = {
    Outside.NOTHING: "nothing is held",
    Outside.HELD: "what was asked is held",
    Outside.CHARGED: "what was asked is charged",
    Outside.RELEASED: "what was held is released",
}


def ending(bounds: Bounds, core: Core, nodes: Sequence[Node]) -> tuple[str, ...]:
    """One line on where everybody stands and, if somebody has lost something, one on who and what."""
    said = "nothing" if core.row is None else str(core.row.decision or core.row.phase)
    told = [] if core.told is None else [f"the client was told {core.told}"]
    stands = [
        f"{name} {_record(node)}, {_kept(bounds, position)[node.outside]}"
        for position, (name, node) in enumerate(zip(bounds.people, nodes, strict=True))
    ]
    line = "; ".join((f"in the end the gateway's record says {said}", *told, *stands))
    lost = _lost_article(core, nodes) if bounds.is_article else _lost(bounds, core, nodes)
    return (line, f"who lost what: {lost}") if lost else (line,)


def _record(node: Node) -> str:
    return "has no record" if node.record is None else f"is {node.record.phase}"


def _kept(bounds: Bounds, position: int) -> dict[Outside, str]:
    if not bounds.is_article:
        return ANYTHING
    return MONEY if position == bounds.participants - 1 else GOODS


def _lost_article(core: Core, nodes: Sequence[Node]) -> str:
    """Money that was taken against goods that were sold."""
    *orders, payment = nodes
    taken = payment.outside is Outside.CHARGED
    sold = any(order.outside is Outside.CHARGED for order in orders)
    failed = core.told is Decision.ABORT or (core.row is not None and core.row.decision is Decision.ABORT)
    if taken and failed:
        heard = "is told that it failed" if core.told is Decision.ABORT else "it is on record as failed"
        goods = ", although the order copied a success" if sold else " and gets no goods"
        return f"the client has paid and {heard}{goods}; payment keeps the money, and nobody gives it back"
    if sold and not taken:
        return "the merchant: the order counts as paid, and no money was taken"
    return ""


def _lost(bounds: Bounds, core: Core, nodes: Sequence[Node]) -> str:
    """Who did not do what is decided or what the others did, and who keeps what nobody committed."""
    done = _named(bounds, nodes, ParticipantPhase.COMMITTED)
    undone = _named(bounds, nodes, ParticipantPhase.ABORTED)
    found = [f"{done} went through with it, {undone} did not"] if done and undone else []
    decided = core.row.decision if core.row is not None else None
    against = {Decision.COMMIT: undone, Decision.ABORT: done}.get(decided) if decided is not None else ""
    if against and not found:
        found = [f"{decided} is decided, and {against} has done the other"]
    for name, node in zip(bounds.people, nodes, strict=True):
        if node.leaks and node.is_quiet:
            found.append(f"{name} {node.ending.removeprefix('ends ')}")
    return "; ".join(found)


def _named(bounds: Bounds, nodes: Sequence[Node], phase: ParticipantPhase) -> str:
    ended = [
        name
        for name, node in zip(bounds.people, nodes, strict=True)
        if node.record is not None and node.record.phase is phase
    ]
    return " and ".join(ended)
