"""The call graph: what one client operation sets in motion, and how its time divides, learned from recorded requests.

Every request of a client has a trace; the spans under it say which routes of which services were visited, which calls,
commits and deliveries of events that made, and how long each took without them (its own time).
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy

from scenarios.calibrate.windows import named_requests
from scenarios.history import History

TRANSACTION = "transaction"
EVENT = "event"
CALL = "call"
COMMIT = "commit"


class Place(NamedTuple):
    """Something a service does: a visit to a route, a call that it makes, a durable commit, an event it is given."""

    service: str
    what: str


@dataclass(frozen=True)
class Graph:
    """What follows from what.

    per_operation  client operation -> how often it makes each place happen, on average
    entry          client operation -> the route that it arrives at
    own_s          place -> its times without the calls under it, in seconds (of a commit: the whole transaction)
    hops_s         one way between two services, as far as spans can tell
    """

    per_operation: Mapping[str, Mapping[Place, float]]
    entry: Mapping[str, Place] = field(default_factory=dict)
    own_s: Mapping[Place, tuple[float, ...]] = field(default_factory=dict)
    hops_s: tuple[float, ...] = ()

    def counts(self, operations: Mapping[str, int]) -> dict[Place, float]:
        """What so many operations make happen."""
        found: dict[Place, float] = defaultdict(float)
        for operation, number in operations.items():
            for place, share in self.per_operation.get(operation, {}).items():
                found[place] += number * share
        return dict(found)

    def places(self) -> list[Place]:
        """All there are, in order of name."""
        return sorted({place for places in self.per_operation.values() for place in places})


def graph(history: History) -> Graph:
    """The graph of a run in which every request was recorded."""
    requests = named_requests(history)
    operation_of = dict(zip(requests["trace_id"], requests["what"], strict=True))
    spans = history["spans"]
    spans = spans[spans["trace_id"].isin(operation_of)]
    rows = [_Span(row) for row in spans.to_dict("records")]
    by_id = {row.id: row for row in rows}
    children: dict[str, list[_Span]] = defaultdict(list)
    for row in rows:
        children[row.parent].append(row)
    totals: dict[str, Counter[Place]] = defaultdict(Counter)
    own: dict[Place, list[float]] = defaultdict(list)
    for row in rows:
        if (place := row.place()) is not None:
            totals[operation_of[row.trace]][place] += 1
            own[place].append(_own_s(row, children))
    times = Counter(requests["what"])
    inside = {row.id for row in rows}
    entered = [row for row in rows if row.kind == "server" and row.parent not in inside]
    return Graph(
        {what: {place: count / times[what] for place, count in totals[what].items()} for what in sorted(times)},
        {operation_of[row.trace]: Place(row.service, row.name) for row in entered},
        {place: tuple(values) for place, values in own.items()},
        tuple(_hops_s(rows, by_id)),
    )


class _Span:
    """One row of the table, with its attributes read."""

    def __init__(self, row: Mapping[Any, Any]) -> None:
        self.id, self.parent, self.trace = row["span_id"], row["parent_id"], row["trace_id"]
        self.name, self.kind, self.service = row["name"], row["kind"], row["service"]
        self.started_s, self.ended_s = row["started_s"], row["ended_s"]
        self.about: dict[str, Any] = json.loads(row["attributes"] or "{}")

    @property
    def is_commit(self) -> bool:
        """Whether it is a transaction that somebody waits for to be on the disk."""
        return self.name == TRANSACTION and bool(self.about.get("paylab.durable", True))

    def place(self) -> Place | None:
        """What it counts as, if anything."""
        if self.kind == "server":
            return Place(self.service, self.name)
        if self.kind == "consumer":
            return Place(self.service, EVENT)
        if self.kind == "client":
            if self.name != TRANSACTION:
                return Place(self.service, CALL)
            return Place(self.service, COMMIT) if self.is_commit else None
        return None


def _own_s(span: _Span, children: Mapping[str, list[_Span]]) -> float:
    """Its time without the calls that were made under it, however deep; overlapping calls count once."""
    # What goes on after the answer (completing a transaction) is under the span, and beyond its end.
    within = [(start_s, min(end_s, span.ended_s)) for start_s, end_s in _calls(span, children)]
    return float(span.ended_s - span.started_s) - _covered_s(each for each in within if each[0] < each[1])


def _calls(span: _Span, children: Mapping[str, list[_Span]]) -> Iterable[tuple[float, float]]:
    for child in children.get(span.id, ()):
        if child.kind == "client" and child.name != TRANSACTION:
            yield child.started_s, child.ended_s
        elif child.service == span.service and child.kind != "consumer":
            yield from _calls(child, children)


def _covered_s(stretches: Iterable[tuple[float, float]]) -> float:
    total_s, until_s = 0.0, -numpy.inf
    for start_s, end_s in sorted(stretches):
        if end_s > until_s:
            total_s += end_s - max(start_s, until_s)
            until_s = end_s
    return total_s


def _hops_s(rows: Iterable[_Span], by_id: Mapping[str, _Span]) -> Iterable[float]:
    """Half of what a caller waited beyond the callee's time; includes the caller's own work on the answer."""
    for row in rows:
        caller = by_id.get(row.parent)
        if row.kind == "server" and caller is not None and caller.kind == "client":
            yield max(0.0, (caller.ended_s - caller.started_s) - (row.ended_s - row.started_s)) / 2
