"""From windows and a call graph to demands: one regression a process, and what all processes have in common.

A process' CPU is its idle rate, the visits to its services' routes, the calls that these make, the events that they
are given and the requests that bring them, and their durable commits; the load generator's, the journeys that it begins
and their requests. The commits' share is known from a probe. What a call costs (a payment from a balance calls no
channel, and relays call whether much or little is going on) and what it costs to wake up (less often where more is
going on) is found from all processes together and then held fixed, so that none explains its routes by them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy

from scenarios.calibrate.graph import CALL, COMMIT, EVENT, Graph, Place
from scenarios.calibrate.regression import Fit, Found, Term, fit, guessed, known
from scenarios.calibrate.waking import Wakings
from scenarios.calibrate.windows import Window, process_of
from settlement.topology import DEFAULT_TOPOLOGY, process_name, processes
from simulator.analysis.estimates import Estimate
from simulator.calibration import CLIENT, LAB

IDLE = "idle"
REQUEST = "request"
JOURNEY = "journey"
DELIVERY = "delivery"
WAKING = "waking"
CALL_GUESS_S = 0.0005
EVENT_GUESS_S = 0.0003
DELIVERY_GUESS_S = 0.001
VISIT_GUESS_S = 0.001
REQUEST_GUESS_S = 0.001
JOURNEY_GUESS_S = 0.0005
IDLE_GUESS = 0.01
IDLE_WIDTH = 0.1
NOTHING_SAID = 100.0
WAKING_GUESS_S = 0.0003
WAKING_WIDTH_S = 0.0005
WAKING_TERM = Term(WAKING, WAKING_GUESS_S, WAKING_WIDTH_S)
COMMON = (guessed(CALL, CALL_GUESS_S), WAKING_TERM)


@dataclass(frozen=True)
class Demands:
    """CPU seconds. `routes` net of calls, commits and events; `fits`: process -> how well it is explained."""

    routes: Mapping[Place, Found]
    call: Found
    waking: Found
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


def demands(
    windows: Sequence[Window],
    graph: Graph,
    commit_cpu_s: float,
    topology: str = DEFAULT_TOPOLOGY,
    woke: Sequence[Wakings] = (),
) -> Demands:
    """All CPU demands that these windows tell of. `woke`: one a window, if it is known."""
    counts = [graph.counts(window.operations) for window in windows]
    services = services_of(topology)
    seen = _Seen(windows, counts, graph, commit_cpu_s, woke or [{}] * len(windows))
    accounts = {name: seen.account(name, members) for name, members in services.items()} | {CLIENT: seen.client()}
    common = _common(list(accounts.values()))
    fits = {name: account.knowing(common).fit() for name, account in accounts.items()}
    fits[LAB] = fit([_idle()], [{IDLE: window.duration_s} for window in windows], _used(windows, LAB))
    place_of = {_key(place): place for place in graph.places()}
    routes = {place_of[name]: found for each in fits.values() for name, found in each.terms.items() if name in place_of}
    return Demands(
        routes,
        common.get(CALL, _unknown(CALL_GUESS_S)),
        common.get(WAKING, _unknown(0.0)),
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
class _Account:
    """What a process used in every window, and the terms whose counts shall explain it."""

    terms: Sequence[Term]
    counts: Sequence[Mapping[str, float]]
    used_s: Sequence[float]

    def knowing(self, common: Mapping[str, Found]) -> _Account:
        """The same account, when some terms have been found elsewhere."""
        terms = [
            known(term.name, common[term.name].estimate.value) if term.name in common else term for term in self.terms
        ]
        return replace(self, terms=terms)

    def fit(self) -> Fit:
        return fit(self.terms, self.counts, self.used_s)


@dataclass(frozen=True)
class _Seen:
    """What every process' fit starts from; `counts` and `woke`: one a window."""

    windows: Sequence[Window]
    counts: Sequence[Mapping[Place, float]]
    graph: Graph
    commit_cpu_s: float
    woke: Sequence[Wakings]

    def account(self, name: str, members: Sequence[str]) -> _Account:
        """Of a process of the platform."""
        rows = [self._row(at, name, members) for at in range(len(self.windows))]
        used_s = _used(self.windows, name)
        happened = set().union(*rows)
        small = (*COMMON, guessed(EVENT, EVENT_GUESS_S), guessed(DELIVERY, DELIVERY_GUESS_S))
        terms = [_idle(), known(COMMIT, self.commit_cpu_s), *(term for term in small if term.name in happened)]
        routes = [p for p in self.graph.places() if p.service in members and p.what not in (CALL, COMMIT, EVENT)]
        scale = self._scale(routes, rows, used_s)
        terms += [guessed(_key(place), scale * _own_s(self.graph, place)) for place in routes]
        return _Account(terms, rows, used_s)

    def _scale(self, routes: Sequence[Place], rows: Sequence[Mapping[str, float]], used_s: Sequence[float]) -> float:
        """How much of the spans' own times is CPU: they hold waiting too, and tracing stretches them."""
        own_s = sum(row.get(_key(place), 0.0) * _own_s(self.graph, place) for row in rows for place in routes)
        commits_s = sum(row.get(COMMIT, 0.0) * self.commit_cpu_s for row in rows)
        return min(1.0, max(0.0, sum(used_s) - commits_s) / own_s) if own_s > 0 else 1.0

    def client(self) -> _Account:
        """Of the load generator."""
        rows = [
            {IDLE: window.duration_s, REQUEST: window.requests, JOURNEY: window.journeys, **_wakings(woke, CLIENT)}
            for window, woke in zip(self.windows, self.woke, strict=True)
        ]
        terms = [_idle(), guessed(REQUEST, REQUEST_GUESS_S), guessed(JOURNEY, JOURNEY_GUESS_S), WAKING_TERM]
        return _Account(terms, rows, _used(self.windows, CLIENT))

    def _row(self, at: int, name: str, members: Sequence[str]) -> dict[str, float]:
        """How often everything happened in one window."""
        window = self.windows[at]
        row: dict[str, float] = defaultdict(float)
        for place, number in self.counts[at].items():
            if place.service in members:
                row[place.what if place.what in (CALL, COMMIT, EVENT) else _key(place)] += number
        for (producer, consumer), number in window.deliveries.items():
            if producer in members:
                row[CALL] += number
            if consumer in members:
                row[DELIVERY] += number
        return {**row, IDLE: window.duration_s, **_wakings(self.woke[at], name)}


def _wakings(woke: Wakings, process: str) -> dict[str, float]:
    return {WAKING: woke[process]} if process in woke else {}


def _idle() -> Term:
    return Term(IDLE, IDLE_GUESS, IDLE_WIDTH)


def _used(windows: Sequence[Window], process: str) -> list[float]:
    return [window.cpu_s.get(process, 0.0) for window in windows]


def _key(place: Place) -> str:
    return f"{place.service} {place.what}"


def _own_s(graph: Graph, place: Place) -> float:
    times = graph.own_s.get(place, ())
    return float(numpy.median(times)) if times else VISIT_GUESS_S


def _common(accounts: Sequence[_Account]) -> dict[str, Found]:
    """The terms that these accounts have in common, as far as they occur.

    Guesses of what else there is say nothing here: one that is wrong would be made up for by calls.
    """
    shared = {term.name for term in COMMON}
    occurring = set().union(*(row for account in accounts for row in account.counts))
    terms = [term for term in COMMON if term.name in occurring]
    counts: list[Mapping[str, float]] = []
    used_s: list[float] = []
    clusters: list[int] = []
    for number, account in enumerate(accounts):
        own = {term.name: f"{number} {term.name}" for term in account.terms if term.name not in shared}
        terms += [_own(term, own[term.name]) for term in account.terms if term.name in own]
        counts += [{own.get(what, what): each for what, each in row.items()} for row in account.counts]
        used_s += account.used_s
        clusters += range(len(account.counts))
    found = fit(terms, counts, used_s, clusters).terms
    return {name: found[name] for name in shared & occurring}


def _own(term: Term, name: str) -> Term:
    surely = term.name in (IDLE, COMMIT)
    return replace(term, name=name, width_s=term.width_s if surely else NOTHING_SAID * term.width_s)


def _unknown(value_s: float) -> Found:
    return Found(Estimate(value_s, 0.0, max(2 * value_s, WAKING_WIDTH_S), 0), separable=False)
