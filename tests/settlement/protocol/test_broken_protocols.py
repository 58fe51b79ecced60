"""The random walk would notice: each broken rule below must fail the same judgement that the shipped rules pass."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from settlement.protocol import coordinator, participant
from settlement.protocol.messages import (
    DecisionReceived,
    Effect,
    ParticipantPhase,
    Persist,
    PrepareRequested,
    Release,
    Reply,
    Reserve,
    TimerFired,
    VoteReceived,
)
from settlement.protocol.transitions import Outcome, ProtocolError, Transition

from .test_random_walk import judge
from .walk import Options, Walk

Rule = Callable[[Any, Any], tuple[Any, tuple[Effect, ...]]]


def patched(
    table: dict[Any, dict[Any, Transition[Any]]], event: type, change: Callable[[Rule], Rule]
) -> dict[Any, Any]:
    """The table with the rule for one event type changed in every phase."""
    return {
        phase: {
            kind: Transition(change(transition.rule), (*transition.outcomes, *map(Outcome, type(phase))))
            if kind is event
            else transition
            for kind, transition in entries.items()
        }
        for phase, entries in table.items()
    }


def persist_last(rule: Rule) -> Rule:
    def broken(state: Any, event: Any) -> tuple[Any, tuple[Effect, ...]]:
        after, effects = rule(state, event)
        return after, tuple(sorted(effects, key=lambda effect: isinstance(effect, Persist)))

    return broken


def abort_alone(rule: Rule) -> Rule:
    def broken(state: Any, event: Any) -> tuple[Any, tuple[Effect, ...]]:
        if state.phase is not ParticipantPhase.PREPARED:
            return rule(state, event)
        aborted = replace(state, phase=ParticipantPhase.ABORTED)
        return aborted, (Release(), Persist(aborted.record))

    return broken


def no_tombstone(_rule: Rule) -> Rule:
    def broken(state: Any, _event: Any) -> tuple[Any, tuple[Effect, ...]]:
        return replace(state, phase=ParticipantPhase.RESERVING), (Reserve(),)

    return broken


def vote_before_durable(rule: Rule) -> Rule:
    def broken(state: Any, event: Any) -> tuple[Any, tuple[Effect, ...]]:
        after, effects = rule(state, event)
        return after, tuple(sorted(effects, key=lambda effect: not isinstance(effect, Reply)))

    return broken


BROKEN = {
    "the decision is sent before it is durable": (coordinator, VoteReceived, persist_last),
    "a prepared participant aborts on its own timeout": (participant, TimerFired, abort_alone),
    "the barrier does not refuse late prepares": (participant, PrepareRequested, no_tombstone),
    "an acknowledgement is sent before it is durable": (participant, DecisionReceived, vote_before_durable),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_rule_is_found(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    role, event, change = BROKEN[name]
    monkeypatch.setattr(role, "TRANSITIONS", patched(role.TRANSITIONS, event, change))
    options = Options(participants=2, replicas=2, crash=0.05, refuse=0, uncertain=0)
    with pytest.raises((AssertionError, ProtocolError)):
        for seed in range(3_000):
            judge(Walk(seed, options).run())


def test_the_shipped_rules_survive_the_same_effort() -> None:
    options = Options(participants=2, replicas=2, crash=0.05, refuse=0, uncertain=0)
    for seed in range(3_000):
        judge(Walk(seed, options).run())
