"""The network between replicas: links with latency, and the three ways a call can end.

A call ends in a `Reply`, in `NotSent` (certainly not executed: nobody listened) or in `Unknown` (sent, and nothing came
back). The last two are never mixed up: what may have been executed must not be taken for failed. Whoever gives up
waiting does not stop the work that was asked for: it goes on, and costs what it costs.

A payment makes a dozen calls, and each passes here six times: this file is the request path, and written for speed.
"""

from collections import Counter
from collections.abc import Callable
from heapq import heappush
from typing import Any, NamedTuple

from settlement.policies.circuit_breaker import Permit
from settlement.policies.concurrency_limit import Gate
from simulator.calibration import Calibration
from simulator.calling import manner_of
from simulator.database import DatabaseUnavailable
from simulator.entrance import entrance_of
from simulator.faults import NO_TROUBLE, LinkFaults
from simulator.hosts import Process, nothing
from simulator.kernel import Crashed, Future, Kernel, Task
from simulator.path import Path
from simulator.peers import Peer
from simulator.randomness import Streams
from simulator.replica import Replica, Response


class NotSent(Exception):
    """Certainly not executed."""


class Unknown(Exception):
    """Sent, no answer: executed or not, nobody knows yet."""


class Reply(NamedTuple):
    """An answer: HTTP status, body, and who gave it."""

    status: int
    body: Any
    replica: str = ""


NEVER_S = float("inf")
_new_tuple = tuple.__new__
"""Makes a named tuple in half the time that its own constructor takes."""


class Call(Future):
    """One call under way: the future of its `Reply`, and the waiter for the handler's answer at the other end.

    It is made in attempts, one after the other: `attempt` is the number of this one, `sent` whether it is on its way,
    `permit` the breaker's (None: it needs none). `peer` is what its caller knows of the service (None: nothing).
    `gates` count it as in progress since `entered_s`. `work_s`: its caller's CPU, of which `before` is spent on sending
    and the rest on hearing the answer; `behind_s`: its target's CPU when the answer has left.
    """

    __slots__ = (
        "attempt", "behind_s", "body", "entered_s", "gates", "incarnation", "network", "path", "peer", "permit", "sent",
        "source", "target", "there", "trouble", "until_s", "work_s",
    )  # fmt: skip

    def __init__(
        self,
        network: "Network",
        source: Replica,
        path: Path,
        body: Any,
        work_s: float,
        until_s: float,
        peer: Peer | None,
    ) -> None:
        self.settled, self._waiter = False, None
        self.network, self.source, self.path, self.body = network, source, path, body
        self.incarnation = source.process.incarnation
        self.target: Replica  # once it is sent
        self.sent, self.attempt = False, 1
        self.work_s, self.until_s, self.peer = work_s, until_s, peer
        self.permit: Permit | None = None
        self.gates: tuple[Gate, ...] = ()
        self.behind_s = 0.0
        self.entered_s: float  # if it is counted
        self.trouble = self.there = NO_TROUBLE

    def expire(self) -> None:
        """The caller's patience is over."""
        process = self.source.process
        if process.incarnation == self.incarnation:
            process.deliver(self._give_up)

    def _give_up(self) -> None:
        if not self.settled:
            self.source.caller.gave_up(self)
            self.settle(None, Unknown("timeout"))

    def resume(self, response: Any, error: Exception | None) -> None:
        """The handler has an answer."""
        if error is None:
            self.network.answer(self, response)
        elif isinstance(error, DatabaseUnavailable):
            self.network.answer(self, (503, {"code": "database_unavailable"}, None))
        else:
            raise error


class Network:
    """Carries calls between replicas."""

    def __init__(
        self, kernel: Kernel, calibration: Calibration, streams: Streams, faults: LinkFaults, protocol: str
    ) -> None:
        self._kernel, self._calibration, self._streams = kernel, calibration, streams
        self._call_cpu_s, self._refusal_cpu_s = calibration.call_cpu_s, calibration.assumed.refusal_cpu_s
        self._before, self._after = calibration.assumed.before, 1.0 - calibration.assumed.before
        self._behind = calibration.assumed.behind
        self._faults, self._protocol = faults, protocol
        self._hops: dict[tuple[str, str], Callable[[], float]] = {}
        self._paths: dict[tuple[str, str, str], Path] = {}
        self._costs: dict[tuple[str, str], Callable[[], float]] = {}
        self._send_entry, self._arrive_entry = self._send, self._arrive
        self._handle_entry, self._answered_entry = self._handle, self._answered
        self._hear_entry = self._hear

    @property
    def visits(self) -> Counter[tuple[str, str, str]]:
        """The requests that were served: (caller, service, route)."""
        return Counter({key: path.visits for key, path in self._paths.items() if path.visits})

    def watch(self, process: Process) -> None:
        """Whoever waits for a process that dies is told at once: its connections are reset."""
        process.on_death.append(lambda: self._reset(process))

    def call(
        self,
        source: Replica,
        service: str,
        route: str,
        body: Any,
        timeout_s: float,
        cpu_s: float | None = None,
    ) -> Future:
        """Call `route` of some replica of `service`: a future `Reply`, or NotSent or Unknown as its error.

        `route` is method and path template ("POST /payments"). Each attempt costs the caller `cpu_s` (default: a
        service's call); whether there is another one after a failure is its caller's to say (`simulator.calling`).
        """
        path = self._paths.get((source.service, service, route)) or self._new_path(source.service, service, route)
        peer = source.caller.peers[service]
        work_s = self._call_cpu_s if cpu_s is None else cpu_s
        call = Call(self, source, path, body, work_s, self._kernel.now + timeout_s, peer)
        if timeout_s != path.timeout_s:
            path.timeout_s, path.deadlines = timeout_s, self._kernel.deadlines(timeout_s)
        path.deadlines.add(call)
        if peer is not None and peer.spent:
            peer.call_made()
        self.attempt(call)
        return call

    def attempt(self, call: Call) -> None:
        """Make the call, unless there is a breaker in front of it that is open."""
        peer = call.peer
        if peer is not None and not call.path.manner.must_arrive:
            call.permit = peer.permit or peer.ask(self._kernel.now)
            if call.permit is None:
                call.settle(error=NotSent(f"{call.path.service} has failed too often"))
                return
        if self._faults.calm or not self._in_trouble(call):
            call.source.process.run(call.work_s * self._before, self._send_entry, call)

    def again(self, call: Call) -> None:
        """Make it once more, unless it has ended meanwhile."""
        if not call.settled:
            call.trouble = call.there = NO_TROUBLE
            self.attempt(call)

    def _in_trouble(self, call: Call) -> bool:
        """Find out what is wrong with the call; True if it is taken care of."""
        path, process = call.path, call.source.process
        trouble = call.trouble = self._faults.of_link(call.source, path.service, path.route)
        if trouble.status:
            if call.source.caller.send(call) is None:
                self._unlisted(call)
            else:
                process.later(path.there_s(), self._take, call, Reply(trouble.status, {"code": "injected"}))
            return True
        if trouble.delay_s:
            # Held up between the caller's work and the wire.
            process.run(call.work_s * self._before, self._hold_up, call)
            return True
        return False

    def _hold_up(self, call: Call) -> None:
        call.source.process.later(call.trouble.delay_s, self._send, call)

    def _send(self, call: Call) -> None:
        path, trouble = call.path, call.trouble
        if call.settled:
            self._send_late(call)
            return
        target = call.source.caller.send(call)
        if target is None:
            self._unlisted(call)
            return
        if trouble.lost or (not self._faults.calm and self._parted(call.source, target)):
            return  # the caller's patience will end it
        agenda = self._kernel
        due_s = agenda.now + path.there_s() + trouble.flight_s
        heappush(agenda.heap, (due_s, next(agenda.numbers), self._arrive_entry, (call, target)))

    def _send_late(self, call: Call) -> None:
        """Nobody waits for it any more: it is sent only if it was held up on a link, as on a real network."""
        target = call.source.caller.choose(call.path.service) if call.trouble.delay_s else None
        if target is not None and not self._parted(call.source, target):
            call.target = target
            self._kernel.after(call.path.there_s(), self._arrive, (call, target))

    def _unlisted(self, call: Call) -> None:
        if not call.source.caller.unlisted(call):
            call.settle(error=NotSent(f"no replica of {call.path.service} answers"))

    def _parted(self, source: Replica, target: Replica) -> bool:
        return self._faults.separate(source.process.name, target.process.name)

    def _arrive(self, sent: tuple[Call, Replica]) -> None:
        call, target = sent
        process = target.process
        if not process.running or target.app is None:
            self._refuse(call, target)
            return
        call.path.visits += 1
        process.requests[call] = None
        if process.paused:
            process.deliver(self._accept, call)
        else:
            self._accept(call)
        if call.trouble is not NO_TROUBLE:
            for delay_s in call.trouble.copies_after_s:
                self._kernel.after(delay_s, self._repeat, call)

    def _refuse(self, call: Call, target: Replica) -> None:
        process = call.source.process
        if process.incarnation == call.incarnation:
            process.later(call.path.back_s(), self._hear_refusal, call, target)

    def _hear_refusal(self, call: Call, target: Replica) -> None:
        if not call.settled and not call.source.caller.refused(call):
            call.settle(error=NotSent(f"{target.name} refused the connection"))

    def _repeat(self, call: Call) -> None:
        """A copy of a request that had arrived comes again, perhaps to another replica; nobody waits for its answer."""
        target = call.source.caller.choose(call.path.service)
        if target is None or not target.process.running or target.app is None:
            return
        copy = Call(self, call.source, call.path, call.body, 0.0, 0.0, None)
        copy.target, copy.settled = target, True
        copy.path.visits += 1
        target.process.requests[copy] = None
        target.process.deliver(self._accept, copy)

    def _accept(self, call: Call) -> None:
        target, path = call.target, call.path
        work_s = (path.costs.get(target.name) or self._new_cost(path, target))()
        if path.entrance is not None:
            refusal = path.entrance.refusal(call, self._kernel.now)
            if refusal is not None:
                target.process.run(self._refusal_cpu_s, self._turn_away, (call, *refusal))
                return
            if path.entrance.remembers:
                work_s *= path.entrance.share(call)
        call.behind_s = work_s * self._behind
        work_s -= call.behind_s
        if not self._faults.calm:
            call.there = self._faults.of_route(target, path.route)
        if path.wait_s or call.there.delay_s:
            target.process.run(work_s, self._wait, call)
        else:
            target.process.run(work_s, self._handle_entry, call)

    def _turn_away(self, refused: tuple[Call, int, dict[str, Any]]) -> None:
        call, status, body = refused
        self.answer(call, (status, body, None))

    def _wait(self, call: Call) -> None:
        call.target.process.later(call.path.wait_s + call.there.delay_s, self._handle, call)

    def _handle(self, call: Call) -> None:
        target = call.target
        if target.app is None:
            raise RuntimeError(f"{target.name} was given a request while it does not serve")
        database = target.process.database
        if call.there.status:
            self.answer(call, (call.there.status, {"code": "injected"}, None))
            return
        if database is not None and database.away:
            self.answer(call, (503, {"code": "database_unavailable"}, None))
            return
        route = call.path.route
        if route not in target.app.routes:
            raise LookupError(f"{target.service} has no route {route!r}")
        handler = target.app.routes[route]
        try:
            steps = handler(call.body)
        except Crashed:
            return
        if isinstance(steps, tuple):
            self.answer(call, steps)
        else:
            Task(steps, target.process, call).resume()

    def answer(self, call: Call, response: Response) -> None:
        """A request is answered, unless the process that worked on it is not there any more."""
        status, body, sent = response
        process = call.target.process
        if process.requests.pop(call, 0) == 0:
            return
        agenda = self._kernel
        for gate in call.gates:
            gate.leave((agenda.now - call.entered_s) * 1000, agenda.now * 1000)
        flight_s = call.path.back_s()
        if not self._faults.calm:
            flight_s += self._more_s(call)
        if flight_s < NEVER_S:
            due_s = agenda.now + flight_s
            heappush(agenda.heap, (due_s, next(agenda.numbers), self._answered_entry, (call, status, body)))
        if sent is not None:
            try:
                sent()
            except Crashed:
                return  # the moment after the answer has left is a crash point
        if call.behind_s:
            process.run(call.behind_s, nothing)

    def _more_s(self, call: Call) -> float:
        """How much longer than usual an answer is under way; NEVER_S: it gets lost."""
        path = call.path
        back = self._faults.of_answer(call.source, path.service, path.route)
        dropped = call.there.drop_reply or call.trouble.drop_reply or back.lost
        return NEVER_S if dropped or self._parted(call.source, call.target) else back.flight_s

    def _answered(self, answer: tuple[Call, int, Any]) -> None:
        call, status, body = answer
        process = call.source.process
        if process.incarnation == call.incarnation and not call.settled:
            reply = _new_tuple(Reply, (status, body, call.target.name))
            hear_s = call.work_s * self._after
            if hear_s:
                process.run(hear_s, self._hear_entry, (call, reply))
            elif process.paused:
                process.deliver(self._take, call, reply)
            elif call.source.caller.answered(call, reply):
                call.settle(reply)

    def _hear(self, heard: tuple[Call, Reply]) -> None:
        call, reply = heard
        if not call.settled and call.source.caller.answered(call, reply):
            call.settle(reply)

    def _take(self, call: Call, reply: Reply) -> None:
        """The caller has an answer before it."""
        if not call.settled and call.source.caller.answered(call, reply):
            call.settle(reply)

    def _reset(self, process: Process) -> None:
        broken, process.requests = process.requests, {}
        for call in broken:
            self._kernel.after(call.path.back_s(), call.source.process.deliver, self._break, call)

    def _break(self, call: Call) -> None:
        process = call.source.process
        if not call.settled and process.incarnation == call.incarnation and not call.source.caller.broken(call):
            call.settle(error=Unknown("connection reset"))

    def _new_path(self, source: str, service: str, route: str) -> Path:
        path = self._paths[source, service, route] = Path(source, service, route)
        path.there_s, path.back_s = self._hop(source, service), self._hop(service, source)
        path.manner = manner_of(route, self._protocol)
        path.wait_s = self._calibration.demand(service, route).wait_s
        path.entrance = entrance_of(source, service, route, self._calibration)
        return path

    def _hop(self, source: str, target: str) -> Callable[[], float]:
        """One way over the link: draws of its latency in seconds."""
        if (source, target) not in self._hops:
            name, figures = f"{source}->{target}", self._calibration
            draws = self._streams.positive("hop", name, figures.hop_s, figures.hop_variation)
            self._hops[source, target] = draws.draw
        return self._hops[source, target]

    def _new_cost(self, path: Path, target: Replica) -> Callable[[], float]:
        """Draws of what a visit to this route of this replica costs, whoever comes."""
        key = (target.name, path.route)
        if key not in self._costs:
            demand = self._calibration.demand(target.service, path.route)
            draws = self._streams.positive("service", " ".join(key), demand.cpu_s, demand.variation)
            self._costs[key] = draws.draw
        path.costs[target.name] = self._costs[key]
        return self._costs[key]
