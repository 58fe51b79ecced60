"""The names of every moment at which a process may die, derived from the transition tables.

A crash point is `role.phase.effect.before|after`: the phase entered and the effect about to run or just run, such as
`coordinator.decided.persist.after`: the decision is durable and nobody knows it yet.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from typing import Any

from settlement.protocol import coordinator, participant
from settlement.protocol.messages import Effect
from settlement.protocol.transitions import Table

BEFORE = "before"
AFTER = "after"


def name_of(role: str, phase: StrEnum, effect: Effect | type[Effect], side: str) -> str:
    """The name of one crash point; `side` is BEFORE or AFTER."""
    kind = effect if isinstance(effect, type) else type(effect)
    return f"{role}.{phase.value}.{kind.__name__.lower()}.{side}"


def _points(role: str, table: Table[Any]) -> Iterator[str]:
    for transitions in table.values():
        for transition in transitions.values():
            for outcome in transition.outcomes:
                for effect in outcome.effects:
                    yield name_of(role, outcome.phase, effect, BEFORE)
                    yield name_of(role, outcome.phase, effect, AFTER)


COORDINATOR_POINTS: tuple[str, ...] = tuple(dict.fromkeys(_points(coordinator.ROLE, coordinator.TRANSITIONS)))
PARTICIPANT_POINTS: tuple[str, ...] = tuple(dict.fromkeys(_points(participant.ROLE, participant.TRANSITIONS)))
CRASH_POINTS: tuple[str, ...] = COORDINATOR_POINTS + PARTICIPANT_POINTS
