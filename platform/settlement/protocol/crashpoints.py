"""The names of every moment at which a process may die, derived from the transition tables.

A crash point is `role.phase.effect.before|after`: the phase entered and the effect about to run or just run, such as
`coordinator.decided.persist.after`: the decision is durable and nobody knows it yet.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from enum import StrEnum
from typing import Any

from settlement.protocol import article, article_participant, coordinator, participant
from settlement.protocol.effects import Effect
from settlement.protocol.shipped import ARTICLE, TWO_PHASE
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
"""Those of `two_phase`."""

# The article's roles have the same names, so that one fault can be tried on both protocols.
_ARTICLE_COORDINATOR = tuple(dict.fromkeys(_points(coordinator.ROLE, article.TRANSITIONS)))
_ARTICLE_PARTICIPANT = tuple(dict.fromkeys(_points(participant.ROLE, article_participant.TRANSITIONS)))
POINTS_OF: Mapping[str, tuple[str, ...]] = {
    TWO_PHASE: CRASH_POINTS,
    ARTICLE: _ARTICLE_COORDINATOR + _ARTICLE_PARTICIPANT,
}
KNOWN_POINTS: tuple[str, ...] = tuple(dict.fromkeys(point for points in POINTS_OF.values() for point in points))


def role_of(point: str) -> str:
    """Whose crash point it is: `coordinator` or `participant`."""
    return point.partition(".")[0]
