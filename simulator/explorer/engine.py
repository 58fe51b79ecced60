"""Breadth-first search over every reachable state of a model.

A model names its initial states, what may happen in a state (its *steps*) and what may go wrong there (its *faults*).
Breadth first, so the first violation met is one with a shortest story: the parents lead back to it. Faults are kept
apart because liveness is judged where they have stopped. Limits end a search honestly: what was not seen is not called
safe.
"""

from __future__ import annotations

import time
from array import array
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Generic, TypeVar

from simulator.explorer import liveness

State = TypeVar("State", bound=Hashable)
Label = TypeVar("Label", bound=Hashable)

LOOK_UP_EVERY = 2_048
"""States between two looks at the clock."""


class Verdict(StrEnum):
    """What an exploration says of one property, or of all."""

    HOLDS = "holds"
    VIOLATED = "violated"
    INCOMPLETE = "incomplete"


class Kind(StrEnum):
    """`SAFETY`: never. `LIVENESS`: always again. `SOMETIMES`: at least once, or the others say nothing."""

    SAFETY = "safety"
    LIVENESS = "liveness"
    SOMETIMES = "sometimes"


@dataclass(frozen=True, slots=True)
class Property:
    """Something that has to hold. `meaning` is one sentence for people."""

    name: str
    kind: Kind
    meaning: str = ""


@dataclass(frozen=True, slots=True)
class Problem:
    """A safety property that one state violates, and how."""

    property: str
    text: str


class Model(Generic[State, Label]):
    """What can be explored. States and labels are hashable; equal states are one state."""

    properties: Sequence[Property] = ()

    def initial(self) -> Iterable[State]:
        """Where everything may begin."""
        raise NotImplementedError

    def steps(self, state: State) -> Iterable[tuple[Label, State]]:
        """What may happen next, without any fault."""
        raise NotImplementedError

    def faults(self, _state: State) -> Iterable[tuple[Label, State]]:
        """What may go wrong next."""
        return ()

    def problems(self, _state: State) -> Sequence[Problem]:
        """The safety properties that this state violates."""
        return ()

    def is_settled(self, _state: State) -> bool:
        """Whether liveness has what it wants here."""
        return True

    def fairness(self, label: Label) -> Hashable:
        """The class of actions that is treated fairly as one: never enabled for ever and never taken."""
        return label

    def sees(self, label: Label, name: str) -> bool:
        """Whether taking `label` is an occurrence of the `sometimes` property `name`."""
        return label == name


@dataclass(frozen=True, slots=True)
class Limits:
    """When to give up. None: never."""

    states_max: int | None = None
    seconds_max: float | None = None


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a search stands."""

    states: int
    generated: int
    depth: int
    frontier: int
    seconds: float


Tell = Callable[[Progress], None]
"""Whoever wants to know how far a search is; called often, so it has to be quick."""


@dataclass(frozen=True)
class Judged(Generic[State]):
    """One property's verdict. `path`: the states of a shortest story, `loop` those that it then repeats for ever."""

    property: Property
    verdict: Verdict
    text: str = ""
    path: tuple[State, ...] = ()
    loop: tuple[State, ...] = ()


@dataclass(frozen=True)
class Exploration(Generic[State, Label]):
    """What a search found. `generated` counts initial states and every step and fault taken from a state."""

    states: int
    generated: int
    depth: int
    seconds: float
    stopped_by: str
    judged: tuple[Judged[State], ...]
    labels: frozenset[Label] = field(repr=False)

    @property
    def complete(self) -> bool:
        """Whether every reachable state was seen and followed."""
        return not self.stopped_by

    @property
    def verdict(self) -> Verdict:
        """A violation is one even in an incomplete search; nothing else is certain there."""
        verdicts = {each.verdict for each in self.judged}
        if Verdict.VIOLATED in verdicts:
            return Verdict.VIOLATED
        return Verdict.HOLDS if self.complete and verdicts <= {Verdict.HOLDS} else Verdict.INCOMPLETE

    @property
    def violations(self) -> tuple[Judged[State], ...]:
        """The properties that do not hold: those with a story first, and of them the shortest."""
        found = [each for each in self.judged if each.verdict is Verdict.VIOLATED]
        return tuple(sorted(found, key=lambda each: (not each.path, len(each.path))))


def explore(
    model: Model[State, Label],
    limits: Limits = Limits(),
    tell: Tell = lambda _progress: None,
    keep_going: bool = False,
) -> Exploration[State, Label]:
    """Search until there is nothing new, a limit is reached, or (unless `keep_going`) something is violated.

    `keep_going` finds a shortest story of every property that is violated, also of those that only follow from another.
    """
    return _Search(model, limits, tell, keep_going).run()


class _Search(Generic[State, Label]):
    """One search: the states in the order of their discovery, and for each the one that it was found from."""

    def __init__(self, model: Model[State, Label], limits: Limits, tell: Tell, keep_going: bool) -> None:
        self._model, self._limits, self._tell, self._keep_going = model, limits, tell, keep_going
        self._index: dict[State, int] = {}
        self._order: list[State] = []
        self._parents = array("q")
        self._edges = liveness.Edges()
        self._labels: set[Label] = set()
        self._found: dict[str, tuple[int, str]] = {}
        self._generated = 0
        self._depth = 0
        self._began_s = time.monotonic()
        self._stopped_by = ""

    def run(self) -> Exploration[State, Label]:
        for state in self._model.initial():
            self._generated += 1
            if state not in self._index:
                self._discover(state, -1)
        begin, end = 0, len(self._order)
        while begin < end and not self._stopped_by:
            self._level(begin, end)
            begin, end = end, len(self._order)
            self._depth += begin < end
        return self._result()

    def _level(self, begin: int, end: int) -> None:
        """Expand the states of one depth. The loop is the whole cost of a search: it is kept flat."""
        model, index_of, note = self._model, self._index, self._edges.note
        for index in range(begin, end):
            if index % LOOK_UP_EVERY == 0 and self._over(end - index):
                return
            if self._found and not self._keep_going:
                self._stopped_by = "violation"
                return
            state = self._order[index]
            for label, after in model.steps(state):
                self._generated += 1
                self._labels.add(label)
                found = index_of.get(after)
                if found is None:
                    found = self._discover(after, index)
                if found != index:
                    note(index, found)
            for label, after in model.faults(state):
                self._generated += 1
                self._labels.add(label)
                if after not in index_of:
                    self._discover(after, index)

    def _discover(self, state: State, parent: int) -> int:
        index = self._index[state] = len(self._order)
        self._order.append(state)
        self._parents.append(parent)
        for problem in self._model.problems(state):
            self._found.setdefault(problem.property, (index, problem.text))
        return index

    def _over(self, frontier: int) -> bool:
        """Tell how far it is, and whether a limit is reached."""
        seconds = time.monotonic() - self._began_s
        self._tell(Progress(len(self._order), self._generated, self._depth, frontier, seconds))
        states_max, seconds_max = self._limits.states_max, self._limits.seconds_max
        if states_max is not None and len(self._order) > states_max:
            self._stopped_by = "states"
        elif seconds_max is not None and seconds > seconds_max:
            self._stopped_by = "time"
        return bool(self._stopped_by)

    # ---- judgement ----

    def _result(self) -> Exploration[State, Label]:
        judged = tuple(self._judge(each) for each in self._model.properties)
        seconds = time.monotonic() - self._began_s
        return Exploration(
            len(self._order), self._generated, self._depth, seconds, self._stopped_by, judged, frozenset(self._labels)
        )

    def _judge(self, each: Property) -> Judged[State]:
        if each.kind is Kind.SAFETY and each.name in self._found:
            index, text = self._found[each.name]
            return Judged(each, Verdict.VIOLATED, text, self._path(index))
        if each.kind is Kind.SOMETIMES and any(self._model.sees(label, each.name) for label in self._labels):
            return Judged(each, Verdict.HOLDS)
        if self._stopped_by:
            return Judged(each, Verdict.INCOMPLETE, "not every state was seen")
        if each.kind is Kind.SOMETIMES:
            return Judged(each, Verdict.VIOLATED, "it never happened")
        return self._judge_liveness(each) if each.kind is Kind.LIVENESS else Judged(each, Verdict.HOLDS)

    def _judge_liveness(self, each: Property) -> Judged[State]:
        settled = bytes(map(self._model.is_settled, self._order))
        stuck = liveness.first_stuck(settled, self._edges)
        if stuck is not None:
            text = "from the last state, nothing that may still happen leads to an end"
            return Judged(each, Verdict.VIOLATED, text, self._path(stuck))
        loop = liveness.first_fair_loop(settled, self._edges, self._fair_steps)
        if loop:
            text = "the last states can repeat for ever, although everybody is treated fairly"
            states = tuple(self._order[index] for index in loop)
            return Judged(each, Verdict.VIOLATED, text, self._path(loop[0]), states)
        return Judged(each, Verdict.HOLDS)

    def _fair_steps(self, index: int) -> list[tuple[Hashable, int]]:
        steps = self._model.steps(self._order[index])
        return [(self._model.fairness(label), self._index[after]) for label, after in steps]

    def _path(self, index: int) -> tuple[State, ...]:
        path = []
        while index >= 0:
            path.append(self._order[index])
            index = self._parents[index]
        return tuple(reversed(path))
