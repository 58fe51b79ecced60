"""What things cost on one machine: CPU and waiting of every endpoint, call, commit, event and client request.

A calibration is a JSON document in `simulator/calibration/` (shipped) or `calibration/<machine>.json` (fitted by
`paylab calibrate`). Times in the file are milliseconds of one core or of waiting; `variation` is the coefficient of
variation (standard deviation / mean) of the draws around a mean. CPU is what occupies an event loop and a core; waiting
occupies neither. What the fit knows about itself (date, versions, quality, intervals) stands in the same document and
is not read here: the model needs the figures alone.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from importlib import resources
from pathlib import Path
from typing import Any

from simulator.scheduling import Scheduling
from simulator.speed import SpeedRecord

DEFAULT_ROUTE = "default"
IDEAL = Scheduling()
RISK = "risk"

CLIENT, LAB = "client", "lab"
"""The load generator and the lab beside the platform, by their names in `idle_cpu` and in a run's resources."""


@dataclass(frozen=True, slots=True)
class Demand:
    """One visit to an endpoint, without the calls and commits that it makes: CPU on the event loop, and waiting."""

    cpu_s: float
    variation: float = 0.0
    wait_s: float = 0.0


@dataclass(frozen=True)
class Assumed:
    """What no experiment has measured: figures to be doubted, each with a value of its own in a document's `assumed`.

    risk                 a visit to risk, if the calibration has no figures of it
    refusal_cpu_s        turning a request away at the door
    behind               share of a visit's CPU that comes when the answer has left (logs, metrics, tidying up)
    before               share of a call's CPU that comes before the wait for its answer; the rest comes after it
    aside                share of a client's CPU for a request that is outside of the time that it measures
    cached_read_spares   share of the CPU of reading a cart or the list of goods that an answer from memory spares
    """

    risk: Demand = Demand(0.0008, 0.3)
    refusal_cpu_s: float = 0.0003
    behind: float = 0.3
    before: float = 0.5
    aside: float = 0.5
    cached_read_spares: float = 0.3


@dataclass(frozen=True)
class Calibration:
    """The model's constants.

    cores                what everything on the machine shares, the load generator too
    hop_s, hop_variation one way over the network (loopback, or a container bridge)
    call_cpu_s           what a call to another service costs its caller: sending and reading the answer
    commit_cpu_s         what a durable commit costs the event loop beyond the endpoint's own CPU
    commit_wait_s        how long the transaction then waits for disk and threads (the event loop goes on)
    database_cpu_s       what a commit costs a database server on the same host; 0 when embedded
    client_cpu_s         what one request costs the load generator
    journey_cpu_s        what one journey costs it besides its requests
    endpoints            service -> method and path template -> Demand, with a `default` route each
    event_cpu_s          service -> what one event costs it when it is delivered
    delivery_cpu_s       service -> what a delivery costs it, however many events it brings
    waking_s             how much longer a process takes that has slept (simulator.hosts.Host)
    scheduling           how the cores serve (simulator.scheduling)
    idle_cpu             process (without its number) -> cores it uses with nothing to do: leases, relays, sampling
    startup_s            service -> from exec to ready; with a `default`
    rss_bytes            a process' resident memory
    probe_s              what the speed probe's work took meanwhile (simulator.speed); 0: unknown
    elasticity           of all CPU figures: when the probe's work takes 1 % longer, they are so many per cent more
    assumed              what was not measured
    """

    cores: int
    hop_s: float
    hop_variation: float
    call_cpu_s: float
    commit_cpu_s: float
    commit_wait_s: float
    database_cpu_s: float
    client_cpu_s: float
    endpoints: Mapping[str, Mapping[str, Demand]]
    event_cpu_s: Mapping[str, float]
    idle_cpu: Mapping[str, float]
    startup_s: Mapping[str, float]
    rss_bytes: int
    delivery_cpu_s: Mapping[str, float] = field(default_factory=dict)
    journey_cpu_s: float = 0.0
    waking_s: float = 0.0
    scheduling: Scheduling = IDEAL
    probe_s: float = 0.0
    elasticity: float = 1.0
    assumed: Assumed = Assumed()

    def demand(self, service: str, route: str) -> Demand:
        """What one visit to `route` of `service` costs. Raises KeyError for a service without figures."""
        if service == RISK and service not in self.endpoints:
            return self.assumed.risk
        routes = self.endpoints[service]
        return routes.get(route) or routes[DEFAULT_ROUTE]

    def while_it_was(self, record: SpeedRecord) -> "Calibration":
        """On a machine whose cores were as fast as in this record, from the beginning of a run."""
        if not self.probe_s:
            return self
        takes_s = record.relative_to(self.probe_s, self.elasticity)
        scheduling = Scheduling(self.scheduling.slice_s, takes_s, record.per_s, anywhere=False)
        lab = self.idle_cpu.get(LAB, 0.0) + self.probe_s * record.per_s * len(record.work_s)  # to look costs, too
        return replace(self, scheduling=scheduling, idle_cpu={**self.idle_cpu, LAB: lab})

    def on_steady_cores(self) -> "Calibration":
        """On a machine without noisy neighbours."""
        return replace(self, scheduling=Scheduling(self.scheduling.slice_s))

    def without_variation(self) -> "Calibration":
        """With visits of one kind that all cost the same."""
        endpoints = {
            service: {route: replace(demand, variation=0.0) for route, demand in routes.items()}
            for service, routes in self.endpoints.items()
        }
        return replace(self, endpoints=endpoints)

    def with_free_clients(self) -> "Calibration":
        """With a load generator that costs nothing."""
        idle_cpu = {name: cores for name, cores in self.idle_cpu.items() if name != CLIENT}
        return replace(self, client_cpu_s=0.0, journey_cpu_s=0.0, idle_cpu=idle_cpu)

    def start_s(self, service: str) -> float:
        """How long a process of `service` takes to start."""
        return self.startup_s.get(service, self.startup_s[DEFAULT_ROUTE])


def load(path: Path | None = None) -> Calibration:
    """The calibration in `path`, or the shipped default. Raises KeyError for a missing figure."""
    return from_document(json.loads(path.read_text() if path else shipped_text()))


def shipped_text() -> str:
    """The shipped calibration, as it is in its file."""
    return (resources.files("simulator") / "calibration" / "default.json").read_text()


def from_document(document: Mapping[str, Any]) -> Calibration:
    """The figures of a parsed document. Raises KeyError for a missing one."""
    return Calibration(
        cores=document["cores"],
        hop_s=document["hop_ms"] / 1000,
        hop_variation=document["hop_variation"],
        call_cpu_s=document["call_cpu_ms"] / 1000,
        commit_cpu_s=document["commit_cpu_ms"] / 1000,
        commit_wait_s=document["commit_wait_ms"] / 1000,
        database_cpu_s=document["database_cpu_ms"] / 1000,
        client_cpu_s=document["client_cpu_ms"] / 1000,
        journey_cpu_s=document.get("journey_cpu_ms", 0.0) / 1000,
        endpoints={
            service: {route: _demand(figures) for route, figures in routes.items()}
            for service, routes in document["endpoints"].items()
        },
        event_cpu_s=_by_service(document["event_cpu_ms"]),
        delivery_cpu_s=_by_service(document.get("delivery_cpu_ms", {})),
        waking_s=document.get("waking_ms", 0.0) / 1000,
        scheduling=_scheduling(document),
        probe_s=document.get("probe_ms", 0.0) / 1000,
        elasticity=document.get("elasticity", 1.0),
        idle_cpu=document["idle_cpu"],
        startup_s=document["startup_s"],
        rss_bytes=document["rss_bytes"],
        assumed=_assumed(document.get("assumed", {})),
    )


def _by_service(cpu_ms: Mapping[str, float]) -> dict[str, float]:
    return {service: each_ms / 1000 for service, each_ms in cpu_ms.items()}


def _scheduling(document: Mapping[str, Any]) -> Scheduling:
    slice_s = document.get("time_slice_ms", 0.0) / 1000
    if "speed" not in document:
        return Scheduling(slice_s)
    record = SpeedRecord.from_json(document["speed"])
    takes_s = record.relative_to(document["probe_ms"] / 1000, document.get("elasticity", 1.0))
    return Scheduling(slice_s, takes_s, record.per_s)


def _assumed(figures: Mapping[str, Any]) -> Assumed:
    default = Assumed()
    return Assumed(
        _demand(figures["risk"]) if "risk" in figures else default.risk,
        figures.get("refusal_cpu_ms", default.refusal_cpu_s * 1000) / 1000,
        figures.get("behind", default.behind),
        figures.get("before", default.before),
        figures.get("aside", default.aside),
        figures.get("cached_read_spares", default.cached_read_spares),
    )


def _demand(figures: Mapping[str, float]) -> Demand:
    return Demand(figures["cpu_ms"] / 1000, figures.get("variation", 0.0), figures.get("wait_ms", 0.0) / 1000)
