"""The search engine against models whose answers are known."""

from collections.abc import Iterator
from itertools import pairwise

import pytest

from simulator.explorer.engine import Kind, Limits, Model, Problem, Progress, Property, Verdict, explore

from .lamport import TCommit, TwoPhase


def test_tcommit_has_34_states() -> None:
    found = explore(TCommit(3))
    assert (found.states, found.verdict) == (34, Verdict.HOLDS)


@pytest.mark.parametrize(("managers", "states"), [(3, 288), (5, 8_832), (6, 50_816)])
def test_lamports_two_phase_has_the_published_number_of_states(managers: int, states: int) -> None:
    found = explore(TwoPhase(managers))
    assert (found.states, found.complete) == (states, True)
    assert {each.verdict for each in found.judged} == {Verdict.HOLDS}


def test_lamports_two_phase_has_the_published_steps_and_depth() -> None:
    found = explore(TwoPhase(3))
    # The depth of the published run counts states on the longest shortest path, ours the steps between them.
    assert (found.generated, found.depth + 1) == (1_146, 11)


@pytest.mark.parametrize(("broken", "steps"), [("vote missing", 7), ("impatient", 9), ("forgetful", 11)])
def test_a_broken_two_phase_has_a_shortest_story_of_known_length(broken: str, steps: int) -> None:
    found = explore(TwoPhase(3, broken))
    (violation,) = found.violations
    assert violation.property.name == "consistent"
    assert len(violation.path) - 1 == steps


def test_a_search_that_was_stopped_calls_nothing_safe() -> None:
    found = explore(TwoPhase(6), Limits(states_max=5_000))
    assert not found.complete
    assert found.verdict is Verdict.INCOMPLETE
    assert {each.property.name: each.verdict for each in found.judged}["consistent"] is Verdict.INCOMPLETE


def test_a_search_tells_how_far_it_is() -> None:
    told: list[Progress] = []
    found = explore(TwoPhase(6), tell=told.append)
    assert len(told) > 10
    assert all(before.states <= after.states for before, after in pairwise(told))
    assert told[-1].states <= found.states


class Slips(Model[int, str]):
    """Counts to five: three is unlucky, four is worse, and no end is a good one."""

    properties = (Property("unlucky", Kind.SAFETY), Property("worse", Kind.SAFETY), Property("ends", Kind.LIVENESS))

    def initial(self) -> Iterator[int]:
        yield 0

    def steps(self, state: int) -> Iterator[tuple[str, int]]:
        if state < 5:
            yield "on", state + 1

    def problems(self, state: int) -> list[Problem]:
        return [Problem({3: "unlucky", 4: "worse"}[state], "slipped")] if state in (3, 4) else []

    def is_settled(self, state: int) -> bool:
        return False


def test_a_search_stops_at_the_first_violation() -> None:
    found = explore(Slips())
    assert [(each.property.name, each.path) for each in found.violations] == [("unlucky", (0, 1, 2, 3))]
    assert (found.stopped_by, found.complete) == ("violation", False)


def test_a_search_that_keeps_going_has_a_shortest_story_of_every_violation() -> None:
    found = explore(Slips(), keep_going=True)
    assert [(each.property.name, len(each.path) - 1) for each in found.violations] == [
        ("ends", 0),
        ("unlucky", 3),
        ("worse", 4),
    ]
    assert (found.states, found.complete) == (6, True)


LIVES = Property("ends", Kind.LIVENESS)


class Graph(Model[str, str]):
    """A model given as a drawing: `{state: {label: state}}`. Ends are settled."""

    properties = (LIVES,)

    def __init__(self, steps: dict[str, dict[str, str]], settled: str, faults: dict[str, str] | None = None) -> None:
        self._steps, self._settled, self._faults = steps, settled, faults or {}

    def initial(self) -> Iterator[str]:
        yield "start"

    def steps(self, state: str) -> Iterator[tuple[str, str]]:
        yield from self._steps.get(state, {}).items()

    def faults(self, state: str) -> Iterator[tuple[str, str]]:
        if state in self._faults:
            yield "fault", self._faults[state]

    def is_settled(self, state: str) -> bool:
        return state == self._settled


def judged(model: Graph) -> tuple[Verdict, tuple[str, ...], tuple[str, ...]]:
    (found,) = explore(model).judged
    return found.verdict, found.path, found.loop


def test_a_state_that_cannot_end_is_found_by_its_shortest_path() -> None:
    stuck = Graph({"start": {"a": "end", "b": "x"}, "x": {"c": "stuck"}}, "end")
    assert judged(stuck)[:2] == (Verdict.VIOLATED, ("start", "x"))


def test_a_fault_is_no_way_out() -> None:
    assert judged(Graph({}, "end", {"start": "end"}))[0] is Verdict.VIOLATED


def test_a_loop_that_fairness_leaves_is_no_problem() -> None:
    # Out of both states of the loop, "leave" is possible all the time: a fair schedule takes it.
    fair = Graph({"start": {"go": "x", "leave": "end"}, "x": {"back": "start", "leave": "end"}}, "end")
    assert judged(fair)[0] is Verdict.HOLDS


def test_a_loop_that_a_fair_schedule_can_keep_to_is_a_problem() -> None:
    # "leave" is possible in one state of the loop only: it is never possible all along, so nothing forces it.
    livelock = Graph({"start": {"go": "x", "leave": "end"}, "x": {"back": "start"}}, "end")
    assert judged(livelock) == (Verdict.VIOLATED, ("start",), ("start", "x"))


def test_what_never_happened_is_a_violation_of_sometimes() -> None:
    class Never(TCommit):
        properties = (Property("explodes", Kind.SOMETIMES),)

    assert explore(Never(2)).verdict is Verdict.VIOLATED
