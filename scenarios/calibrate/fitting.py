"""From windows and a call graph to demands: one regression a process, and what all processes have in common.

A process' CPU is its idle rate, the visits to its services' routes, the calls that these make, the events that they
are given and the requests that bring them, and their durable commits; the load generator's, the journeys that it begins
and their requests. The commits' share is known from a probe. What a
call costs is taken from the processes in which calls occur without always the same visits (a payment from a balance
calls no channel), and is then held fixed everywhere, so that no process explains its routes by calls.

Work that began on an idle core took longer (`simulator.hosts.Host`): it counts as so much more of the same.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy

from scenarios.calibrate.graph import CALL, COMMIT, EVENT, Graph, Place
from scenarios.calibrate.regression import Fit, Found, Term, fit, guessed
from scenarios.calibrate.windows import Window, process_of
from settlement.topology import DEFAULT_TOPOLOGY, process_name, processes
from simulator.analysis.estimates import Estimate
from simulator.calibration import CLIENT, LAB

IDLE = "idle"
REQUEST = "request"
JOURNEY = "journey"
DELIVERY = "delivery"
CALL_GUESS_S = 0.0005
EVENT_GUESS_S = 0.0003
DELIVERY_GUESS_S = 0.001
VISIT_GUESS_S = 0.001
REQUEST_GUESS_S = 0.001
JOURNEY_GUESS_S = 0.0005
IDLE_GUESS = 0.01
IDLE_WIDTH = 0.1


@dataclass(frozen=True)
class Demands:
    """CPU seconds. `routes` net of calls, commits and events; `fits`: process -> how well it is explained."""

    routes: Mapping[Place, Found]
    call: Found
    events: Mapping[str, Found]
    deliveries: Mapping[str, Found]
    idle: Mapping[str, Found]
    request: Found
    journey: Found
    fits: Mapping[str, Fit]

    @property
    def misfit(self) -> float:
        """What all processes leave unexplained: squares, in units of the noise that an account has."""
        return sum(each.misfit for each in self.fits.values())


Stretch = Mapping[str, float]
"""Process -> by what factor its work in a window was longer, because cores had to wake up; 1 where it says nothing."""


def demands(
    windows: Sequence[Window],
    graph: Graph,
    commit_cpu_s: float,
    topology: str = DEFAULT_TOPOLOGY,
    stretches: Sequence[Stretch] = (),
) -> Demands:
    """All CPU demands that these windows tell of. `stretches`: one a window, if any."""
    stretches = stretches or [{}] * len(windows)
    counts = [graph.counts(window.operations) for window in windows]
    services = services_of(topology)
    seen = _Seen(windows, counts, graph, commit_cpu_s, stretches)
    first = {name: seen.fit_process(name, members) for name, members in services.items()}
    call = _common([found.terms[CALL] for found in first.values() if CALL in found.terms])
    fits = {name: seen.fit_process(name, members, call.estimate.value) for name, members in services.items()}
    fits[CLIENT] = _fit_client(windows, stretches)
    fits[LAB] = fit([_idle()], [{IDLE: window.duration_s} for window in windows], _used(windows, LAB))
    place_of = {_key(place): place for place in graph.places()}
    routes = {place_of[name]: found for each in fits.values() for name, found in each.terms.items() if name in place_of}
    return Demands(
        routes,
        call,
        _of_members(EVENT, fits, services),
        _of_members(DELIVERY, fits, services),
        {name: each.terms[IDLE] for name, each in fits.items()},
        fits[CLIENT].terms[REQUEST],
        fits[CLIENT].terms[JOURNEY],
        fits,
    )


def services_of(topology: str) -> dict[str, tuple[str, ...]]:
    """Process, as the windows call it, -> services that live in it."""
    return {process_of(process_name(members, 0)): members for members in processes(topology)}


def _of_members(what: str, fits: Mapping[str, Fit], services: Mapping[str, Sequence[str]]) -> dict[str, Found]:
    return {
        member: fits[name].terms[what] for name in services if what in fits[name].terms for member in services[name]
    }


@dataclass(frozen=True)
class _Seen:
    """What every process' fit starts from; `counts` and `stretches`: one a window."""

    windows: Sequence[Window]
    counts: Sequence[Mapping[Place, float]]
    graph: Graph
    commit_cpu_s: float
    stretches: Sequence[Stretch]

    def fit_process(self, name: str, members: Sequence[str], call_cpu_s: float | None = None) -> Fit:
        """`call_cpu_s`: what a call is known to cost; None: find it out."""
        known = {COMMIT: self.commit_cpu_s} | ({} if call_cpu_s is None else {CALL: call_cpu_s})
        rows = [self._row(at, name, members) for at in range(len(self.windows))]
        left = [
            max(0.0, used_s - sum(row.get(what, 0.0) * cost_s for what, cost_s in known.items()))
            for row, used_s in zip(rows, _used(self.windows, name), strict=True)
        ]
        happened = set().union(*rows)
        terms = [_idle()]
        for what, guess_s in ((CALL, CALL_GUESS_S), (EVENT, EVENT_GUESS_S), (DELIVERY, DELIVERY_GUESS_S)):
            if what in happened and what not in known:
                terms.append(guessed(what, guess_s))
        scale = _scale(self.graph, members, rows, left)
        routes = [p for p in self.graph.places() if p.service in members and p.what not in (CALL, COMMIT, EVENT)]
        terms += [guessed(_key(place), scale * _own_s(self.graph, place)) for place in routes]
        return fit(terms, rows, left)

    def _row(self, at: int, name: str, members: Sequence[str]) -> dict[str, float]:
        """How often everything happened in one window, as much of it as if no core had slept."""
        window, stretch = self.windows[at], self.stretches[at].get(name, 1.0)
        row: dict[str, float] = defaultdict(float)
        for place, number in self.counts[at].items():
            if place.service in members:
                row[place.what if place.what in (CALL, COMMIT, EVENT) else _key(place)] += stretch * number
        for (producer, consumer), number in window.deliveries.items():
            if producer in members:
                row[CALL] += stretch * number
            if consumer in members:
                row[DELIVERY] += stretch * number
        return {**row, IDLE: window.duration_s}


def _fit_client(windows: Sequence[Window], stretches: Sequence[Stretch]) -> Fit:
    rows = []
    for window, stretch in zip(windows, stretches, strict=True):
        longer = stretch.get(CLIENT, 1.0)
        rows.append({IDLE: window.duration_s, REQUEST: longer * window.requests, JOURNEY: longer * window.journeys})
    terms = [_idle(), guessed(REQUEST, REQUEST_GUESS_S), guessed(JOURNEY, JOURNEY_GUESS_S)]
    return fit(terms, rows, _used(windows, CLIENT))


def _idle() -> Term:
    return Term(IDLE, IDLE_GUESS, IDLE_WIDTH)


def _used(windows: Sequence[Window], process: str) -> list[float]:
    return [window.cpu_s.get(process, 0.0) for window in windows]


def _key(place: Place) -> str:
    return f"{place.service} {place.what}"


def _own_s(graph: Graph, place: Place) -> float:
    times = graph.own_s.get(place, ())
    return float(numpy.median(times)) if times else VISIT_GUESS_S


def _scale(graph: Graph, members: Iterable[str], rows: Sequence[Mapping[str, float]], cpu_s: Sequence[float]) -> float:
    """How much of the spans' own times is CPU: they hold waiting too, and tracing stretches them."""
    routes = [p for p in graph.places() if p.service in members and p.what not in (CALL, COMMIT, EVENT)]
    own_s = sum(row.get(_key(place), 0.0) * _own_s(graph, place) for row in rows for place in routes)
    return min(1.0, sum(cpu_s) / own_s) if own_s > 0 else 1.0


def _common(found: Sequence[Found]) -> Found:
    """One figure from the processes that tell it apart, the surest counting most; the guess if none does."""
    sure = [each for each in found if each.separable]
    if not sure:
        return Found(Estimate(CALL_GUESS_S, 0.0, 2 * CALL_GUESS_S, 0), separable=False)
    weight = [1 / max(each.estimate.half_width, 1e-9) ** 2 for each in sure]
    value = sum(each.estimate.value * share for each, share in zip(sure, weight, strict=True)) / sum(weight)
    half = 1 / sum(weight) ** 0.5
    count = sum(each.estimate.count for each in sure)
    return Found(Estimate(value, max(0.0, value - half), value + half, count), separable=True)
