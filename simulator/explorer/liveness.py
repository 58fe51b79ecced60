"""Does everything end well once faults stop? Two questions about the graph of fault-free steps.

*Is there a way*: from every state, a settled one can be reached (backward reachability from the settled states).
*Does every fair schedule take it*: no strongly connected part outside the settled states can hold a fair schedule for
ever. A schedule is (weakly) fair if no class of actions stays enabled for ever without being taken. A part whose every
state enables some class, all of whose actions leave the part, cannot hold one; any other part is reported.

For a model whose states were merged by a symmetry, a class names the action without the participant, which makes the
test only stricter: an action that is enabled all along and never taken inside stays enabled for one participant.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Hashable, Iterable

import numpy as np
from numpy.typing import NDArray

FairSteps = Callable[[int], list[tuple[Hashable, int]]]
"""State -> its steps, each as (fairness class, state after)."""


class Edges:
    """Fault-free steps between different states, by index."""

    def __init__(self) -> None:
        self._sources, self._targets = array("I"), array("I")

    def note(self, source: int, target: int) -> None:
        """One more step."""
        self._sources.append(source)
        self._targets.append(target)

    def arrays(self) -> tuple[NDArray[np.uint32], NDArray[np.uint32]]:
        """Sources and targets, step by step."""
        return np.array(self._sources, np.uint32), np.array(self._targets, np.uint32)


def first_stuck(settled: bytes, edges: Edges) -> int | None:
    """The first state from which no settled one can be reached; None if there is none."""
    reaches = np.frombuffer(settled, np.uint8).astype(bool)
    sources, targets = edges.arrays()
    while True:
        open_ = ~reaches[sources]
        sources, targets = sources[open_], targets[open_]
        found = sources[reaches[targets]]
        if not found.size:
            break
        reaches[found] = True
    stuck = np.flatnonzero(~reaches)
    return int(stuck[0]) if stuck.size else None


def first_fair_loop(settled: bytes, edges: Edges, steps: FairSteps) -> list[int]:
    """Some states, in order, that a fair schedule can repeat for ever outside the settled ones; empty if none can."""
    sources, targets = _on_cycles(np.frombuffer(settled, np.uint8).astype(bool), edges)
    graph: dict[int, list[int]] = {}
    for source, target in zip(sources.tolist(), targets.tolist(), strict=True):
        graph.setdefault(source, []).append(target)
    for part in components(graph):
        if len(part) > 1 and _can_be_fair(part, steps):
            return _loop_through(part, graph)
    return []


def _on_cycles(settled: NDArray[np.bool_], edges: Edges) -> tuple[NDArray[np.uint32], NDArray[np.uint32]]:
    """The steps that may lie on a cycle outside the settled states: what leads nowhere or comes from nowhere goes."""
    sources, targets = edges.arrays()
    keep = ~(settled[sources] | settled[targets])
    while not keep.all():
        sources, targets = sources[keep], targets[keep]
        leads_on, is_led_to = np.zeros(len(settled), bool), np.zeros(len(settled), bool)
        leads_on[sources] = True
        is_led_to[targets] = True
        keep = leads_on[targets] & is_led_to[sources]
    return sources, targets


def _can_be_fair(part: set[int], steps: FairSteps) -> bool:
    always: set[Hashable] | None = None
    inside: set[Hashable] = set()
    for index in part:
        classes = steps(index)
        enabled = {each for each, _ in classes}
        always = enabled if always is None else always & enabled
        inside |= {each for each, after in classes if after in part}
    return not (always or set()) - inside


def _loop_through(part: set[int], graph: dict[int, list[int]]) -> list[int]:
    """A shortest cycle through the first state of a part."""
    first = min(part)
    came_from = {first: first}
    waiting = [first]
    for index in waiting:
        for after in graph[index]:
            if after == first:
                loop = [index]
                while loop[-1] != first:
                    loop.append(came_from[loop[-1]])
                return loop[::-1]
            if after in part and after not in came_from:
                came_from[after] = index
                waiting.append(after)
    raise ValueError("a strongly connected part has a cycle through each of its states")


def components(graph: dict[int, list[int]]) -> Iterable[set[int]]:
    """The strongly connected components (Tarjan's algorithm, without recursion)."""
    numbers: dict[int, int] = {}
    lowest: dict[int, int] = {}
    stack: list[int] = []
    stacked: set[int] = set()
    for root in graph:
        if root in numbers:
            continue
        work = [(root, iter(graph.get(root, ())))]
        numbers[root] = lowest[root] = len(numbers)
        stack.append(root)
        stacked.add(root)
        while work:
            node, targets = work[-1]
            for target in targets:
                if target not in numbers:
                    numbers[target] = lowest[target] = len(numbers)
                    stack.append(target)
                    stacked.add(target)
                    work.append((target, iter(graph.get(target, ()))))
                    break
                if target in stacked:
                    lowest[node] = min(lowest[node], numbers[target])
            else:
                work.pop()
                if work:
                    lowest[work[-1][0]] = min(lowest[work[-1][0]], lowest[node])
                if lowest[node] == numbers[node]:
                    part = set()
                    while node not in part:
                        part.add(stack.pop())
                    stacked -= part
                    yield part
