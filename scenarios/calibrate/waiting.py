"""Waiting that no CPU explains: what a request takes in the real world at low load beyond what the model makes of it.

The model knows CPU, hops, commits and calls side by side; so the fitted figures are simulated on the very plan that was
played. Operations lack the more, the more commits follow each other in them: a transaction goes to a thread and comes
back, which no commit measured alone does. How many follow each other, the model tells (it plays the plan once more with
longer commits). What is then still missing from an operation's median becomes waiting of the route that the client
called, and what only payments with a channel are missing belongs to the channel (not so of refunds: their answer does
not wait for it). Medians, because a stranger on the machine spoils means.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy

from scenarios.calibrate.experiments import Segment
from scenarios.calibrate.graph import Graph, Place
from scenarios.calibrate.windows import named_requests
from scenarios.history import History
from simulator.analysis.estimates import Estimate

CHANNEL = "channel"
REFUND = "refund"
ROUNDS = 2
LONGER_S = 0.0005
"""So much longer commits take when the model counts them."""
NOTHING = Estimate(0.0, 0.0, 0.0, 0)
COMMITS_MIN = 0.5
"""Half a commit is noise: who commits, commits at least once."""
# More than one request at a time queues; these segments are the emptiest.
QUIET = ("mix", "idle")


Simulate = Callable[[Mapping[Place, float], float], History]
"""Plays the plan on the model: waits of routes, and how much longer commits take than it was calibrated to."""


@dataclass(frozen=True)
class Waiting:
    """What was compared, all in seconds.

    waits_s    what was found missing, by route
    commit_s   what a commit takes longer than it was measured to; by the operations that commit: median, least, most
    excess_s   by operation, what the model takes too long, or (negative) still too short: nothing mends that
    medians_s  by operation, (real, model)
    """

    waits_s: Mapping[Place, float]
    commit_s: Estimate
    excess_s: Mapping[str, float]
    medians_s: Mapping[str, tuple[float, float]]


def waiting(history: History, segments: Sequence[Segment], graph: Graph, simulate: Simulate, alone: bool) -> Waiting:
    """What is missing. `alone`: commits were measured by themselves; else in services, and lack nothing."""
    real = medians(history, segments)
    commit = NOTHING
    if alone:
        commit = of_commits(real, *(medians(simulate({}, each_s), segments) for each_s in (0.0, LONGER_S)))
    waits: dict[Place, float] = {}
    gaps: dict[str, float] = {}
    model: dict[str, float] = {}
    for number in range(ROUNDS + 1):
        model = medians(simulate(waits, commit.value), segments)
        gaps = {what: real[what] - model[what] for what in real if what in model}
        if number == ROUNDS:
            break  # the last look judges what the others have made
        for place, missing_s in missing(gaps, graph).items():
            waits[place] = max(0.0, waits.get(place, 0.0) + missing_s)
    return Waiting(
        {place: wait_s for place, wait_s in waits.items() if wait_s > 0},
        commit,
        {what: -gap_s for what, gap_s in gaps.items()},
        {what: (real[what], model[what]) for what in gaps},
    )


def of_commits(real: Mapping[str, float], usual: Mapping[str, float], longer: Mapping[str, float]) -> Estimate:
    """What is missing for each commit of an operation, from medians: real ones, and with commits LONGER_S longer.

    Refunds tell nothing: they look from time to time whether the payment has been closed.
    """
    each_s = []
    for what in sorted(set(real) & set(usual) & set(longer)):
        commits = (longer[what] - usual[what]) / LONGER_S
        if commits > COMMITS_MIN and what.split(".")[0] != REFUND:
            each_s.append((real[what] - usual[what]) / commits)
    if not each_s:
        return NOTHING
    return Estimate(float(numpy.median(each_s)), min(each_s), max(each_s), len(each_s))


def medians(history: History, segments: Sequence[Segment]) -> dict[str, float]:
    """Median seconds of every operation that succeeded, in segments that are quiet."""
    requests = named_requests(history)
    requests = requests[requests["outcome"] == "ok"]
    started_s = requests["started_s"]
    quiet = numpy.zeros(len(requests), dtype=bool)
    for segment in segments:
        if not segment.name.startswith(QUIET):
            quiet |= ((started_s >= segment.start_s) & (started_s < segment.until_s)).to_numpy()
    taken_s = (requests["ended_s"] - started_s)[quiet]
    found = taken_s.groupby(requests["what"][quiet]).median()
    return {str(what): float(median_s) for what, median_s in found.items()}


def missing(gaps_s: Mapping[str, float], graph: Graph) -> dict[Place, float]:
    """The gaps as waits of routes: the client's own, by the method that misses least; the rest the channel's."""
    found: dict[Place, float] = {}
    channel: dict[Place, list[float]] = {}
    steps: dict[str, list[str]] = {}
    for what in gaps_s:
        steps.setdefault(what.split(".")[0], []).append(what)
    for step, operations in steps.items():
        base_s = min(gaps_s[what] for what in operations)
        found |= dict.fromkeys(entries(operations, graph), base_s)
        for what in operations if step != REFUND else ():
            visited = {place: n for place, n in graph.per_operation[what].items() if place.service == CHANNEL}
            routes = {place: n for place, n in visited.items() if " " in place.what}
            for place in routes:
                channel.setdefault(place, []).append((gaps_s[what] - base_s) / sum(routes.values()))
    return found | {place: float(numpy.mean(shares_s)) for place, shares_s in channel.items()}


def entries(operations: Sequence[str], graph: Graph) -> set[Place]:
    """The routes that these operations of a client arrive at: those of the service that nothing else of it calls."""
    return {place for what in operations if (place := graph.entry.get(what)) is not None}
