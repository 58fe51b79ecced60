"""Faults: what is done to links, routes and processes, and when.

`LinkFaults` answers, for one message, what goes wrong with it; `CrashPoints` kills a process at a named moment of the
protocol. Both only know faults that are active now; `simulator.timeline` switches them on and off. Chance is drawn from
streams of each fault's own, so that adding a fault does not change the luck of another: a fault that real replicas make
too strikes as it would there (`settlement.policies.fault_luck`); one of the network's own has a single stream.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random

from settlement.policies.fault_luck import Chance, delay_ms, luck_name, strikes
from simulator.inputs import Fault
from simulator.kernel import Crashed
from simulator.randomness import Streams
from simulator.replica import Replica

OF_REPLICAS = frozenset({"latency", "error", "drop_reply"})
"""Faults that real replicas make themselves, each with luck of its own that begins anew with every life."""


class ActiveFault:
    """A fault that is on; `hits` counts what it did."""

    def __init__(self, fault: Fault, streams: Streams) -> None:
        self.fault = fault
        self.hits = 0
        self._seed = streams.seed
        self._network = streams.uniform("fault", fault.id).draw
        self._lives: dict[str, tuple[int, Chance]] = {}

    def luck_of(self, replica: Replica) -> Chance:
        """What it draws from when `replica` makes the call (on a link) or is asked (on a route)."""
        if self.fault.kind not in OF_REPLICAS:
            return self._network
        incarnation = replica.process.incarnation
        life = self._lives.get(replica.name)
        if life is None or life[0] != incarnation:
            generator = Random(luck_name(self._seed, replica.name, self.fault.id))
            life = self._lives[replica.name] = (incarnation, generator.random)
        return life[1]

    def hit(self, chance: Chance) -> bool:
        """Whether this one is struck, by the fault's share; counts it."""
        struck = strikes(float(self.fault.parameters.get("share", 1.0)), chance)
        self.hits += struck
        return struck

    def delay_s(self, chance: Chance) -> float:
        """How long a struck call is held up: uniform in delay +- jitter, never less than nothing."""
        parameters = self.fault.parameters
        return delay_ms(float(parameters["delay_ms"]), float(parameters.get("jitter_ms") or 0.0), chance) / 1000

    def within_s(self, chance: Chance) -> float:
        """How long a struck message is under way more than it should: uniform in [0, `within_ms`)."""
        return float(self.fault.parameters["within_ms"]) * chance() / 1000


@dataclass(slots=True)
class Trouble:
    """What goes wrong with one message.

    A call is held up by its caller, answered `status` and not executed, or executed and not answered. On the way a
    message (a request or its answer) is lost, flies `flight_s` longer and is overtaken; a request that arrived comes
    again later, once for each of `copies_after_s`. What is on its way survives whoever sent it.
    """

    delay_s: float = 0.0
    status: int = 0
    drop_reply: bool = False
    lost: bool = False
    flight_s: float = 0.0
    copies_after_s: tuple[float, ...] = ()


NO_TROUBLE = Trouble()
BOTH_WAYS = frozenset({"loss", "reorder"})
"""Faults that strike the answers on a link as well as the requests, each for itself."""


class LinkFaults:
    """The active latency, error, drop_reply, loss, reorder and duplicate faults."""

    def __init__(self, streams: Streams) -> None:
        self._streams = streams
        self._active: list[ActiveFault] = []
        self._cut_off: set[str] = set()
        self.calm = True
        """Whether no fault is active: then there is no need to ask."""

    def add(self, fault: Fault) -> ActiveFault:
        """Switch a fault on."""
        active = ActiveFault(fault, self._streams)
        self._active.append(active)
        self._look()
        return active

    def remove(self, active: ActiveFault) -> None:
        """Switch it off."""
        self._active.remove(active)
        self._look()

    def cut_off(self, process: str, off: bool) -> None:
        """A process is off the network, or back on it."""
        (self._cut_off.add if off else self._cut_off.discard)(process)
        self._look()

    def separate(self, process: str, other: str) -> bool:
        """Whether nothing gets from one process to the other."""
        return process != other and (process in self._cut_off or other in self._cut_off)

    def _look(self) -> None:
        self.calm = not self._active and not self._cut_off

    def of_link(self, source: Replica, target: str, route: str) -> Trouble:
        """Trouble on the caller's side of the link from `source` to a service."""
        if not self._active:
            return NO_TROUBLE
        return self._trouble(source, lambda fault: _is_link(fault.parameters, source.service, target, route))

    def of_answer(self, source: Replica, target: str, route: str) -> Trouble:
        """Trouble on the way back of the answer to a call of `source`."""
        if not self._active:
            return NO_TROUBLE
        return self._trouble(
            source, lambda fault: fault.kind in BOTH_WAYS and _is_link(fault.parameters, source.service, target, route)
        )

    def of_route(self, target: Replica, route: str) -> Trouble:
        """Trouble on the server's side of `route`."""
        if not self._active:
            return NO_TROUBLE
        return self._trouble(target, lambda fault: _is_route(fault.parameters, target.service, route))

    def _trouble(self, where: Replica, concerns: Callable[[Fault], bool]) -> Trouble:
        trouble = Trouble()
        for active in self._active:
            if not concerns(active.fault):
                continue
            chance = active.luck_of(where)
            if active.hit(chance):
                _strike(active, chance, trouble)
        return trouble


def _strike(active: ActiveFault, chance: Chance, trouble: Trouble) -> None:
    match active.fault.kind:
        case "latency":
            trouble.delay_s += active.delay_s(chance)
        case "error":
            # Of several the first answers, as in a replica.
            trouble.status = trouble.status or int(active.fault.parameters.get("status", 503))
        case "drop_reply":
            trouble.drop_reply = True
        case "loss":
            trouble.lost = True
        case "reorder":
            trouble.flight_s += active.within_s(chance)
        case "duplicate":
            trouble.copies_after_s += (active.within_s(chance),)


def _is_link(parameters: dict[str, object], source: str, target: str, route: str) -> bool:
    if parameters.get("to") != target or parameters.get("from") not in (None, source):
        return False
    return route.split(" ", 1)[1].startswith(str(parameters.get("path") or "/"))


def _is_route(parameters: dict[str, object], service: str, route: str) -> bool:
    return parameters.get("service") == service and parameters.get("route") in (None, "", route)


@dataclass
class ArmedCrash:
    """A crash that waits for its moment; each replica counts for itself, the first to reach `nth` dies."""

    fault: Fault
    fire: Callable[[Replica], None]
    counts: dict[str, int] = field(default_factory=dict)


class CrashPoints:
    """Every interpreter passes its crash points through here.

    `watched`: whether anybody wants to know where the replicas are; a plain attribute, because it is asked thirty times
    a payment.
    """

    def __init__(self) -> None:
        self.watched = False
        self._armed: list[ArmedCrash] = []
        self._sightings: Counter[str] | None = None

    def count(self, sightings: Counter[str]) -> None:
        """Count from now on how often each point is passed, and other rare moments by name."""
        self.watched, self._sightings = True, sightings

    def arm(self, crash: ArmedCrash) -> None:
        """Wait for this one's moment."""
        self._armed.append(crash)
        self.watched = True

    def disarm(self, crash: ArmedCrash) -> bool:
        """Wait no longer; whether its moment had not come yet."""
        waited = crash in self._armed
        if waited:
            self._armed.remove(crash)
            self.watched = bool(self._armed) or self._sightings is not None
        return waited

    def sighted(self, what: str) -> None:
        """Something rare happened."""
        if self._sightings is not None:
            self._sightings[what] += 1

    def passed(self, replica: Replica, point: str) -> None:
        """The replica is at `point` now. Raises Crashed if that was its end."""
        self.sighted(point)
        for crash in self._armed:
            parameters = crash.fault.parameters
            if parameters["service"] != replica.service or parameters["point"] != point:
                continue
            if parameters.get("replica") is not None and f"{replica.service}-{parameters['replica']}" != replica.name:
                continue
            crash.counts[replica.name] = crash.counts.get(replica.name, 0) + 1
            if crash.counts[replica.name] >= int(parameters.get("nth") or 1):
                self.disarm(crash)
                crash.fire(replica)
                raise Crashed(point)
