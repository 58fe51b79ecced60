"""State diagrams of the protocol, drawn from the transition tables that the services execute (Mermaid)."""

from __future__ import annotations

from typing import Any

from settlement.protocol.transitions import Table


def state_diagram(table: Table[Any]) -> str:
    """A `stateDiagram-v2`: an arrow from phase to phase, labelled with the events and the effects run on the way.

    Events that leave a phase as it is and do nothing are left out.
    """
    arrows: dict[tuple[str, str, str], list[str]] = {}
    for phase, transitions in table.items():
        for event, transition in transitions.items():
            for outcome in transition.outcomes:
                effects = ", ".join(effect.__name__ for effect in outcome.effects)
                if effects or outcome.phase is not phase:
                    arrows.setdefault((phase.value, outcome.phase.value, effects), []).append(event.__name__)
    first = next(iter(table)).value
    lines = ["stateDiagram-v2", f"    [*] --> {first}"]
    for (source, target, effects), events in arrows.items():
        done = f" / {effects}" if effects else ""
        lines.append(f"    {source} --> {target}: {', '.join(dict.fromkeys(events))}{done}")
    return "\n".join(lines)
