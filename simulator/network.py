"""The network between replicas: links with latency, a registry with leases, and the three ways a call can end.

A call ends in a `Reply`, in `NotSent` (certainly not executed: nobody listened) or in `Unknown` (sent, and nothing came
back). The last two are never mixed up: what may have been executed must not be taken for failed.
"""

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from simulator.calibration import Calibration
from simulator.faults import NO_TROUBLE, LinkFaults, Trouble
from simulator.hosts import Process, Replica
from simulator.kernel import Future, Kernel, Steps
from simulator.randomness import Draws, Streams

if TYPE_CHECKING:
    from collections.abc import Callable


TRIES = 3
"""How many replicas a service tries when connections are refused."""

SUSPICION_S = 1.0
"""A replica that refused a connection is passed over for this long, if there is another."""


class NotSent(Exception):
    """Certainly not executed."""


class Unknown(Exception):
    """Sent, no answer: executed or not, nobody knows yet."""


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer: HTTP status, body, and who gave it."""

    status: int
    body: Any
    replica: str = ""


class Directory:
    """Who is known to serve what. A replica that falls silent stays listed until its registration's lease runs out."""

    def __init__(self, kernel: Kernel, lease_s: float) -> None:
        self._kernel, self._lease_s = kernel, lease_s
        self._replicas: dict[str, list[Replica]] = {}
        self._silent_since: dict[str, float] = {}
        self._outstanding: dict[tuple[str, str], int] = {}
        self._turns: dict[tuple[str, str], int] = {}
        self._suspect_until: dict[tuple[str, str], float] = {}

    def register(self, replica: Replica) -> None:
        """The replica serves (again)."""
        known = self._replicas.setdefault(replica.service, [])
        if replica not in known:
            known.append(replica)
        self._silent_since.pop(replica.name, None)

    def silent(self, replica: Replica) -> None:
        """The replica no longer renews its registration."""
        self._silent_since.setdefault(replica.name, self._kernel.now_s)

    def choose(self, source: str, service: str, without: tuple[str, ...] = ()) -> Replica | None:
        """The listed replica with the fewest open calls of `source`, in turn among equals; None if there is none."""
        listed = [r for r in self._replicas.get(service, ()) if r.name not in without and self._is_listed(r)]
        if len(listed) <= 1:
            return listed[0] if listed else None
        now_s = self._kernel.now_s
        trusted = [r for r in listed if self._suspect_until.get((source, r.name), 0.0) <= now_s] or listed
        turn = self._turns[source, service] = self._turns.get((source, service), -1) + 1
        in_turn = trusted[turn % len(trusted) :] + trusted[: turn % len(trusted)]
        return min(in_turn, key=lambda replica: self._outstanding.get((source, replica.name), 0))

    def suspect(self, source: str, replica: Replica) -> None:
        """`source` was refused by `replica`."""
        self._suspect_until[source, replica.name] = self._kernel.now_s + SUSPICION_S

    def count(self, source: str, replica: Replica, change: int) -> None:
        """Calls outstanding, plus one or minus one."""
        key = (source, replica.name)
        self._outstanding[key] = self._outstanding.get(key, 0) + change

    def _is_listed(self, replica: Replica) -> bool:
        since_s = self._silent_since.get(replica.name)
        return since_s is None or self._kernel.now_s < since_s + self._lease_s


class _Call:
    """One call under way."""

    __slots__ = ("body", "future", "refused_by", "route", "service", "source", "target", "tries", "trouble")

    def __init__(self, source: Replica, service: str, route: str, body: Any, tries: int) -> None:
        self.source, self.service, self.route, self.body = source, service, route, body
        self.future = Future()
        self.target: Replica | None = None
        self.refused_by: tuple[str, ...] = ()
        self.tries = tries
        self.trouble: Trouble = NO_TROUBLE


class Network:
    """Carries calls between replicas. `visits` counts the requests that were served: (caller, service, route)."""

    def __init__(
        self, kernel: Kernel, calibration: Calibration, streams: Streams, faults: LinkFaults, directory: Directory
    ) -> None:
        self._kernel, self._calibration, self._streams = kernel, calibration, streams
        self._faults = faults
        self.directory = directory
        self._latency: dict[tuple[str, str], Draws] = {}
        self._service_time: dict[str, Draws] = {}
        self._open: dict[str, dict[int, _Call]] = {}
        self._calls = 0
        self.visits: Counter[tuple[str, str, str]] = Counter()

    def watch(self, process: Process) -> None:
        """Whoever waits for a process that dies is told at once: its connections are reset."""
        self._open[process.name] = {}
        process.on_death.append(lambda: self._reset(process))

    def call(
        self,
        source: Replica,
        service: str,
        route: str,
        body: Any,
        timeout_s: float,
        cpu_s: float | None = None,
        tries: int = TRIES,
    ) -> Future:
        """Call `route` of some replica of `service`: a future `Reply`, or NotSent or Unknown as its error.

        `route` is method and path template ("POST /payments"). Making the call costs the caller `cpu_s` (default: a
        service's call); a replica that refuses the connection is replaced by another, at most `tries` in all.
        """
        call = _Call(source, service, route, body, tries)
        trouble = call.trouble = self._faults.of_link(source.service, service, route)
        process = source.process
        process.after(timeout_s, lambda: call.future.settle(error=Unknown("timeout")))
        if trouble.status:
            answer = Reply(trouble.status, {"code": "injected"})
            process.after(self._hop_s(source.service, service), lambda: call.future.settle(answer))
            return call.future
        ready = process.work(self._calibration.call_cpu_s if cpu_s is None else cpu_s)
        ready.then((lambda: self._hold_up(call, trouble.delay_s)) if trouble.delay_s else (lambda: self._send(call)))
        return call.future

    def _hold_up(self, call: _Call, delay_s: float) -> None:
        call.source.process.after(delay_s, lambda: self._send(call))

    def _send(self, call: _Call) -> None:
        target = self.directory.choose(call.source.name, call.service, call.refused_by)
        if target is None or len(call.refused_by) >= call.tries:
            call.future.settle(error=NotSent(f"no replica of {call.service} answers"))
            return
        if call.trouble.lost:
            return  # the caller's patience will end it
        call.target = target
        self.directory.count(call.source.name, target, 1)
        flight_s = self._hop_s(call.source.service, call.service) + call.trouble.flight_s
        self._kernel.after(flight_s, lambda: self._arrive(call, target))

    def _arrive(self, call: _Call, target: Replica) -> None:
        if not target.process.running or target.app is None:
            self.directory.count(call.source.name, target, -1)
            self.directory.suspect(call.source.name, target)
            call.refused_by += (target.name,)
            # Refused means not executed: trying another replica is always safe.
            call.source.process.after(self._hop_s(call.service, call.source.service), lambda: self._send(call))
            return
        self._admit(call, target)
        for delay_s in call.trouble.copies_after_s:
            self._kernel.after(delay_s, lambda: self._repeat(call))

    def _repeat(self, call: _Call) -> None:
        """A copy of a request that had arrived comes again, perhaps to another replica; nobody waits for its answer."""
        target = self.directory.choose(call.source.name, call.service)
        if target is None or not target.process.running or target.app is None:
            return
        copy = _Call(call.source, call.service, call.route, call.body, tries=0)
        copy.target = target
        self.directory.count(call.source.name, target, 1)
        self._admit(copy, target)

    def _admit(self, call: _Call, target: Replica) -> None:
        self._calls += 1
        self.visits[call.source.service, target.service, call.route] += 1
        number = self._calls
        self._open[target.process.name][number] = call
        target.process.deliver(lambda: self._accept(call, target, number))

    def _accept(self, call: _Call, target: Replica, number: int) -> None:
        target.process.spawn(self._serve(call, target, number))

    def _serve(self, call: _Call, target: Replica, number: int) -> Steps[None]:
        service, route, app = target.service, call.route, target.app
        if app is None:
            raise RuntimeError(f"{target.name} was given a request while it does not serve")
        trouble = self._faults.of_route(service, route)
        demand = self._calibration.demand(service, route)
        yield target.process.work(demand.cpu_s * self._luck(target.name, demand.variation))
        if trouble.delay_s:
            yield target.process.sleep(trouble.delay_s)
        if trouble.status:
            reply = Reply(trouble.status, {"code": "injected"}, target.name)
            sent = None
        else:
            status, body, sent = yield from app.handle(route, call.body)
            reply = Reply(status, body, target.name)
        if self._open[target.process.name].pop(number, None) is None:
            return
        self.directory.count(call.source.name, target, -1)
        if not (trouble.drop_reply or call.trouble.drop_reply):
            self._answer(call, reply)
        if sent is not None:
            sent()

    def _answer(self, call: _Call, reply: Reply) -> None:
        back = self._faults.of_answer(call.source.service, call.service, call.route)
        flight_s = self._hop_s(call.service, call.source.service) + back.flight_s
        if not back.lost:
            self._kernel.after(flight_s, lambda: call.source.process.deliver(lambda: call.future.settle(reply)))

    def _reset(self, process: Process) -> None:
        broken, self._open[process.name] = self._open[process.name], {}
        for call in broken.values():
            if call.target is not None:
                self.directory.count(call.source.name, call.target, -1)
            self._kernel.after(self._hop_s(call.service, call.source.service), self._breaker(call))

    def _breaker(self, call: _Call) -> "Callable[[], None]":
        return lambda: call.source.process.deliver(lambda: call.future.settle(error=Unknown("connection reset")))

    def _hop_s(self, source: str, target: str) -> float:
        draws = self._latency.get((source, target))
        if draws is None:
            draws = self._streams.unit_mean("hop", f"{source}->{target}", self._calibration.hop_variation)
            self._latency[source, target] = draws
        return self._calibration.hop_s * draws.draw()

    def _luck(self, replica: str, variation: float) -> float:
        draws = self._service_time.get(replica)
        if draws is None:
            draws = self._streams.unit_mean("service", replica, variation)
            self._service_time[replica] = draws
        return draws.draw()
