"""The protocols that ship, by name: which pure functions an interpreter has to run.

`two_phase` is the one to run a platform with. `article` is there to show where it loses money.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from settlement.protocol import article, article_participant, coordinator, participant
from settlement.protocol.coordinator import CoordinatorState
from settlement.protocol.effects import Effect
from settlement.protocol.events import Event
from settlement.protocol.participant import ParticipantState

TWO_PHASE: Final = "two_phase"
ARTICLE: Final = "article"


@dataclass(frozen=True)
class Protocol:
    """`coordinator` and `participant` advance one transaction; `repeats`: what got no answer is sent again."""

    name: str
    coordinator: Callable[[CoordinatorState, Event], tuple[CoordinatorState, tuple[Effect, ...]]]
    participant: Callable[[ParticipantState, Event], tuple[ParticipantState, tuple[Effect, ...]]]
    repeats: bool


PROTOCOLS: Final[Mapping[str, Protocol]] = {
    TWO_PHASE: Protocol(TWO_PHASE, coordinator.handle, participant.handle, repeats=True),
    ARTICLE: Protocol(ARTICLE, article.handle, article_participant.handle, repeats=False),
}
