"""The calibration document: the figures that the model reads, and what the fit knows about them.

`simulator.calibration` reads the figures alone; everything else (date, machine, versions, intervals, how each figure
was told, the call graph, what could not be identified) is for people and for comparing calibrations.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy

from scenarios.calibrate.fitting import Demands
from scenarios.calibrate.graph import Graph, Place
from scenarios.calibrate.regression import Found
from settlement.topology import SERVICES
from simulator.analysis.estimates import Estimate
from simulator.calibration import DEFAULT_ROUTE, LAB
from simulator.events import CALLED
from simulator.speed import SpeedRecord

BY_ACCOUNTS, BY_SPANS, ASSUMED = "accounts", "spans", "assumed"
VARIATION_ASSUMED = 0.3
DECIMALS = 4
TIME_SLICE_MS = 3.0
"""What Linux' scheduler gives a process on a machine of few cores, about; assumed, not measured."""
EVENTS_ROUTE = "POST /events"
ALL_OF_IT = Estimate(1.0, 1.0, 1.0, 0)


@dataclass(frozen=True)
class Measured:
    """What is no demand: seconds, cores, bytes. An estimate without observations (count 0) is an assumption."""

    cores: int
    hop_s: Estimate
    hop_variation: float
    commit_cpu_s: Estimate
    commit_wait_s: Estimate
    database_cpu_s: Estimate
    startup_s: Mapping[str, float]
    rss_bytes: int
    variations: Mapping[Place, float] = field(default_factory=dict)
    waits_s: Mapping[Place, float] = field(default_factory=dict)
    speed: SpeedRecord | None = None
    probe_s: float = 0.0
    elasticity: Estimate = ALL_OF_IT


def document(
    demands: Demands, measured: Measured, graph: Graph, about: Mapping[str, Any], notes: Sequence[str] = ()
) -> dict[str, Any]:
    """Everything, as it is written to the file."""
    routes = endpoints(demands, measured)
    idle = idle_cores(demands, measured)
    given = {name: found for name, found in sorted(demands.deliveries.items()) if name != CALLED}
    return {
        **about,
        "cores": measured.cores,
        "hop_ms": _ms(measured.hop_s.value),
        "hop_variation": round(measured.hop_variation, DECIMALS),
        "call_cpu_ms": _ms(demands.call.estimate.value),
        "commit_cpu_ms": _ms(measured.commit_cpu_s.value),
        "commit_wait_ms": _ms(measured.commit_wait_s.value),
        "database_cpu_ms": _ms(measured.database_cpu_s.value),
        "client_cpu_ms": _ms(demands.request.estimate.value),
        "journey_cpu_ms": _ms(demands.journey.estimate.value),
        "endpoints": routes,
        "event_cpu_ms": {name: _ms(found.estimate.value) for name, found in sorted(demands.events.items())},
        "delivery_cpu_ms": {name: _ms(found.estimate.value) for name, found in given.items()},
        **(_speed(measured, measured.speed) if measured.speed else {}),
        "time_slice_ms": TIME_SLICE_MS,
        "waking_ms": _ms(demands.waking.estimate.value),
        "idle_cpu": {name: round(found.value, 5) for name, found in sorted(idle.items())},
        "startup_s": {name: round(value_s, 3) for name, value_s in measured.startup_s.items()},
        "rss_bytes": measured.rss_bytes,
        "intervals_ms": {
            "hop": _interval(measured.hop_s),
            "call_cpu": _interval(demands.call.estimate),
            "commit_cpu": _interval(measured.commit_cpu_s),
            "commit_wait": _interval(measured.commit_wait_s),
            "database_cpu": _interval(measured.database_cpu_s),
            "client_cpu": _interval(demands.request.estimate),
            "journey_cpu": _interval(demands.journey.estimate),
            "waking": _interval(demands.waking.estimate),
            "event_cpu": {name: _interval(found.estimate) for name, found in sorted(demands.events.items())},
            "delivery_cpu": {name: _interval(found.estimate) for name, found in given.items()},
            "idle_cpu_a_second": {name: _interval(found) for name, found in sorted(idle.items())},
        },
        "quality": {
            name: {"residual": round(fit.residual, 3), "windows": fit.windows}
            for name, fit in sorted(demands.fits.items())
        },
        "call_graph": {
            operation: {f"{place.service} {place.what}": round(number, 3) for place, number in sorted(places.items())}
            for operation, places in graph.per_operation.items()
        },
        "unidentified": [*unidentified(demands, measured), *notes],
    }


def idle_cores(demands: Demands, measured: Measured) -> dict[str, Estimate]:
    """Cores that each process uses with nothing to do; the lab without its speed probe, which looks at few runs."""
    idle = {name: found.estimate for name, found in demands.idle.items()}
    if measured.speed and LAB in idle:
        probing = measured.probe_s * measured.speed.per_s * len(measured.speed.work_s)
        found = idle[LAB]
        value, low, high = (max(0.0, each - probing) for each in (found.value, found.low, found.high))
        idle[LAB] = replace(found, value=value, low=low, high=high)
    return idle


def _speed(measured: Measured, record: SpeedRecord) -> dict[str, Any]:
    felt = measured.elasticity
    return {
        "probe_ms": _ms(measured.probe_s),
        "elasticity": round(felt.value, DECIMALS),
        "elasticity_interval": [round(felt.low, DECIMALS), round(felt.high, DECIMALS)],
        "speed": record.to_json(),
    }


def endpoints(demands: Demands, measured: Measured) -> dict[str, dict[str, dict[str, Any]]]:
    """Service -> route -> figures. Services and routes that nothing visited get the mean of those that were visited."""
    found: dict[str, dict[str, dict[str, Any]]] = defaultdict(dict)
    for place, demand in sorted(demands.routes.items()):
        found[place.service][place.what] = {
            "cpu_ms": _ms(demand.estimate.value),
            "variation": round(measured.variations.get(place, VARIATION_ASSUMED), DECIMALS),
            "wait_ms": _ms(measured.waits_s.get(place, 0.0)),
            "interval_ms": _interval(demand.estimate),
            "by": BY_ACCOUNTS if demand.separable else BY_SPANS,
        }
    if CALLED in demands.deliveries:
        found[CALLED][EVENTS_ROUTE] = {
            "cpu_ms": _ms(demands.deliveries[CALLED].estimate.value),
            "variation": VARIATION_ASSUMED,
            "wait_ms": 0.0,
            "interval_ms": _interval(demands.deliveries[CALLED].estimate),
            "by": BY_ACCOUNTS if demands.deliveries[CALLED].separable else BY_SPANS,
        }
    everywhere = _mean_ms([figures for routes in found.values() for figures in routes.values()])
    for service in SERVICES:
        routes = found.get(service, {})
        mean_ms = _mean_ms(list(routes.values())) if routes else everywhere
        default = {"cpu_ms": mean_ms, "variation": VARIATION_ASSUMED, "wait_ms": 0.0, "by": ASSUMED}
        found[service] = {DEFAULT_ROUTE: default, **routes}
    return dict(found)


def unidentified(demands: Demands, measured: Measured) -> list[str]:
    """A sentence for every figure that these experiments do not determine."""
    said = [
        f"{place.service} {place.what}: always together with other routes of its process; split by spans"
        for place, found in sorted(demands.routes.items())
        if not found.separable
    ]
    named = {f"{place.service} {place.what}": found for place, found in demands.routes.items()}
    named |= {f"an event given to {service}": found for service, found in demands.events.items()}
    named |= {f"a delivery to {service}": found for service, found in demands.deliveries.items()}
    named |= {
        "a call": demands.call,
        "a client's request": demands.request,
        "a client's journey": demands.journey,
        "waking": demands.waking,
    }
    said += [f"{name}: {_vague(found)}" for name, found in sorted(named.items()) if found.separable and found.is_vague]
    if not demands.call.separable:
        said.append("a call: occurs always with the same visits; assumed")
    return said + [
        f"{name}: not measured in this world; assumed"
        for name, estimate in (
            ("a hop", measured.hop_s), ("CPU of a commit", measured.commit_cpu_s),
            ("waiting for a commit", measured.commit_wait_s), ("CPU of a database server", measured.database_cpu_s),
        )
        if estimate.count == 0
    ]  # fmt: skip


def _vague(found: Found) -> str:
    low_ms, high_ms = _interval(found.estimate)
    why = "at its bound" if found.at_bound else "wider than the figure"
    return f"{_ms(found.estimate.value)} ms, interval {low_ms} to {high_ms} ms, {why}"


def _mean_ms(figures: Sequence[Mapping[str, Any]]) -> float:
    return round(float(numpy.mean([each["cpu_ms"] for each in figures])), DECIMALS) if figures else 1.0


def _interval(estimate: Estimate) -> list[float]:
    return [_ms(estimate.low), _ms(estimate.high)]


def _ms(value_s: float) -> float:
    return round(value_s * 1000, DECIMALS)
