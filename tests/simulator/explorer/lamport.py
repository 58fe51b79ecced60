"""Models whose answers are published: Lamport's TCommit and TwoPhase (from the TLA+ examples)."""

from __future__ import annotations

from collections.abc import Iterator

from simulator.explorer.engine import Kind, Model, Problem, Property

CONSISTENT = Property("consistent", Kind.SAFETY, "no two resource managers end differently")
COMMITS = Property("commits", Kind.SOMETIMES, "some resource manager commits")
ENDS = Property("ends", Kind.LIVENESS, "everybody ends")

Managers = tuple[str, ...]
Two = tuple[Managers, str, frozenset[int], frozenset[str]]  # managers, transaction manager, prepared ones, messages


def problems(managers: Managers) -> list[Problem]:
    if {"committed", "aborted"} <= set(managers):
        return [Problem("consistent", f"managers ended as {managers}")]
    return []


def changed(managers: Managers, index: int, to: str) -> Managers:
    return (*managers[:index], to, *managers[index + 1 :])


class TCommit(Model[Managers, str]):
    """What any commit protocol must do: resource managers working, prepared, committed or aborted."""

    properties = (CONSISTENT, COMMITS)

    def __init__(self, managers: int) -> None:
        self._count = managers

    def initial(self) -> Iterator[Managers]:
        yield ("working",) * self._count

    def steps(self, state: Managers) -> Iterator[tuple[str, Managers]]:
        for index, manager in enumerate(state):
            if manager == "working":
                yield "prepares", changed(state, index, "prepared")
            if manager == "prepared" and set(state) <= {"prepared", "committed"}:
                yield "commits", changed(state, index, "committed")
            if manager in ("working", "prepared") and "committed" not in state:
                yield "aborts", changed(state, index, "aborted")

    def problems(self, state: Managers) -> list[Problem]:
        return problems(state)


class TwoPhase(Model[Two, str]):
    """Two-phase commit over a set of messages that only grows. `broken` names a way to get it wrong."""

    properties = (CONSISTENT, COMMITS, ENDS)

    def __init__(self, managers: int, broken: str = "") -> None:
        self._count, self._broken = managers, broken

    def initial(self) -> Iterator[Two]:
        yield ("working",) * self._count, "init", frozenset(), frozenset()

    def steps(self, state: Two) -> Iterator[tuple[str, Two]]:
        managers, decision, prepared, messages = state
        missing = 1 if self._broken == "vote missing" else 0
        if decision == "init":
            if len(prepared) >= self._count - missing:
                yield "decides", (managers, "committed", prepared, messages | {"commit"})
            yield "decides", (managers, "aborted", prepared, messages | {"abort"})
        for index, manager in enumerate(managers):
            if decision == "init" and f"prepared {index}" in messages:
                yield "hears", (managers, decision, prepared | {index}, messages)
            if manager == "working":
                told = messages | {f"prepared {index}"}
                yield "prepares", (changed(managers, index, "prepared"), decision, prepared, told)
                yield "aborts", (changed(managers, index, "aborted"), decision, prepared, messages)
            if self._broken == "impatient" and manager == "prepared":
                yield "aborts", (changed(managers, index, "aborted"), decision, prepared, messages)
            if "commit" in messages:
                yield "commits", (changed(managers, index, "committed"), decision, prepared, messages)
            if "abort" in messages:
                yield "aborts", (changed(managers, index, "aborted"), decision, prepared, messages)
        if self._broken == "forgetful" and decision != "init":
            yield "forgets", (managers, "init", frozenset(), messages)

    def problems(self, state: Two) -> list[Problem]:
        return problems(state[0])

    def is_settled(self, state: Two) -> bool:
        return set(state[0]) <= {"committed", "aborted"}
