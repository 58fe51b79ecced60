"""The machinery that both roles share: a transition table is data, and a missing entry is an error, never a guess.

A table maps phase -> event type -> `Transition`. A transition names its rule (the function that computes the next state
and the effects) and, as data, every outcome it may have: the phase entered and the effects run on entering it. The
crash points, the state diagrams and the error messages are derived from those outcomes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Generic, Protocol, TypeVar

from settlement.protocol.effects import Effect
from settlement.protocol.events import Event


class HasPhase(Protocol):
    """A state of either role."""

    @property
    def phase(self) -> StrEnum:
        """The phase that the table is keyed by."""


State = TypeVar("State", bound=HasPhase)
Step = tuple[State, tuple[Effect, ...]]


class ProtocolError(Exception):
    """An event that its role cannot meet in its phase, or an outcome that the table does not declare.

    Attributes: role, phase, event (type name).
    """

    def __init__(self, role: str, phase: str, event: str, detail: str = "") -> None:
        self.role, self.phase, self.event = role, phase, event
        super().__init__(f"{role} in phase {phase!r} cannot handle {event}{': ' + detail if detail else ''}")


@dataclass(frozen=True)
class Outcome:
    """One possible result of a transition: the phase entered and the effect types it may run, in order."""

    phase: StrEnum
    effects: tuple[type[Effect], ...] = ()


@dataclass(frozen=True)
class Transition(Generic[State]):
    """A rule `(state, event) -> (state, effects)` and its declared outcomes."""

    rule: Callable[[State, Any], Step[State]]
    outcomes: tuple[Outcome, ...]


Table = Mapping[StrEnum, Mapping[type[Event], Transition[State]]]


def step(role: str, table: Table[State], state: State, event: Event) -> Step[State]:
    """Look the transition up and apply its rule.

    Raises:
        ProtocolError: no entry for (phase, event), or the rule entered a phase that the table does not declare.
    """
    transition = table[state.phase].get(type(event))
    if transition is None:
        raise ProtocolError(role, str(state.phase), repr(event))
    after, effects = transition.rule(state, event)
    phase = after.phase
    for outcome in transition.outcomes:  # a generator in `any` would cost more than the comparisons
        if outcome.phase is phase:
            return after, effects
    raise ProtocolError(role, str(state.phase), repr(event), f"undeclared next phase {phase!r}")
