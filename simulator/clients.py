"""The clients: the same journeys, patience and conclusions as the load generator's.

Open load: arrivals start when the plan says, a bounded pool of users executes them. What finds no user waits, and is
dropped and counted if it waits too long. Closed load: so many users, one journey after the other, with pauses.

An answer is ok, fail or unknown; when in doubt, unknown. A money operation is repeated with the same key until
somebody says how it ended or its deadline has passed. What an answer means is the shipped rule's to say.
"""

from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple

from settlement.policies import conclusions
from settlement.policies.conclusions import Answer as Meaning
from settlement.values import unguarded
from simulator.inputs import Arrival, SimulationInput, Stage
from simulator.kernel import Kernel, Steps
from simulator.network import Network, NotSent, Reply, Unknown
from simulator.recorder import Recorder
from simulator.replica import Replica

PAUSE_FIRST_S = 0.1
PAUSE_MAX_S = 1.0
NO_BODY: dict[str, Any] = {}
_SUCCEEDED = Meaning.SUCCEEDED  # by name: it takes the interpreter ten times as long to find it in its enum


@unguarded
@dataclass(frozen=True, slots=True)
class Order:
    """What the client is about to pay for."""

    order_no: str = ""
    amount_minor: int = 0
    currency: str = ""


class Operation(NamedTuple):
    """Money that a client asks to be moved: the first columns of its row, before it is known how it ended."""

    operation: str
    kind: str
    key: str
    order: Order
    method: str
    intended_s: float
    started_s: float

    def ended(self, ended_s: float, outcome: str, gid: str, error: str) -> tuple[Any, ...]:
        """The row of the payments table."""
        operation, kind, key, order, method, intended_s, started_s = self
        return (
            operation, kind, key, gid, order.order_no, order.amount_minor, order.currency, method, intended_s,
            started_s, ended_s, outcome, error,
        )  # fmt: skip


class StepFailed(Exception):
    """A step before the money operation did not succeed."""


def outcome_of(reply: Reply) -> str:
    """The outcome of one attempt. status 0 with body `sent`: nobody answered."""
    if 200 <= reply.status < 300:
        return "ok"
    return conclusions.outcome_of(reply.status, reply.body, sent=_sent(reply)).value


def describe(reply: Reply) -> str:
    """The error column: '' for success."""
    return "" if 200 <= reply.status < 300 else str(reply.body.get("code") or f"http_{reply.status}")


@dataclass(slots=True)
class Pool:
    """Slots that rest in order (the longest rest first), and arrivals that wait for one."""

    size: int
    patience_s: float
    idle: deque[int] = field(default_factory=deque)
    waiting: deque[Arrival] = field(default_factory=deque)
    started: int = 0
    dropped: int = 0
    lags_s: list[float] = field(default_factory=list)

    def arrive(self, arrival: Arrival, now_s: float) -> int | None:
        """The slot that takes the arrival at once, or None."""
        self._give_up(now_s)
        self.lags_s.append(now_s - arrival.at_s)
        if self.idle:
            self.started += 1
            return self.idle.popleft()
        if len(self.waiting) >= self.size:
            self.dropped += 1
        else:
            self.waiting.append(arrival)
        return None

    def free(self, slot: int, now_s: float) -> Arrival | None:
        """What the slot does next, or None: it rests."""
        self._give_up(now_s)
        if not self.waiting:
            self.idle.append(slot)
            return None
        self.started += 1
        return self.waiting.popleft()

    def _give_up(self, now_s: float) -> None:
        while self.waiting and now_s - self.waiting[0].at_s > self.patience_s:
            self.waiting.popleft()
            self.dropped += 1


class Clients:
    """All clients of a run: one process, that shares the host with the platform."""

    def __init__(
        self, kernel: Kernel, network: Network, source: Replica, plan: SimulationInput, recorder: Recorder
    ) -> None:
        self._kernel, self._network, self._source = kernel, network, source
        self._plan, self._recorder = plan, recorder
        self.pool = Pool(plan.load.pool, plan.load.timeout_s)
        self.planned = len(plan.arrivals)
        self.interrupted: dict[int, Operation] = {}
        self._users_wanted = 0
        self._journeys: dict[int, Iterator[Arrival]] = {}

    def start(self) -> None:
        """Put the whole load on the agenda."""
        if self._plan.load.kind == "closed":
            self._start_closed()
            return
        self.pool.idle.extend(range(self.pool.size))
        arrivals = sorted(self._plan.arrivals, key=lambda arrival: arrival.at_s)
        self._kernel.at_each([(arrival.at_s, arrival) for arrival in arrivals], self._arrive)

    def finish(self) -> None:
        """The run is over: who is still in the middle of a money operation does not know how it ended."""
        for asked in self.interrupted.values():
            self._recorder.payments.append(asked.ended(self._kernel.now, "unknown", "", "interrupted"))
        self.pool.dropped += len(self.pool.waiting)

    def _arrive(self, arrival: Arrival) -> None:
        slot = self.pool.arrive(arrival, self._kernel.now)
        if slot is not None:
            self._source.process.spawn(self._occupy(slot, arrival))

    def _occupy(self, slot: int, arrival: Arrival) -> Steps[None]:
        current: Arrival | None = arrival
        while current is not None:
            yield from self._journey(slot, current, current.at_s)
            current = self.pool.free(slot, self._kernel.now)

    def _start_closed(self) -> None:
        # A stage with fewer users sends the highest numbers home; one with more goes on with the same users as before.
        self.planned = 0
        working: set[int] = set()
        for stage in self._plan.load.stages:
            self._kernel.at(stage.start_s, partial(self._staff, stage, working))

    def _staff(self, stage: Stage, working: set[int]) -> None:
        self._users_wanted = stage.users
        for user in range(stage.users):
            if user not in working:
                working.add(user)
                self._source.process.spawn(self._work(user, working))

    def _work(self, user: int, working: set[int]) -> Steps[None]:
        source = self._plan.user_journeys
        if source is None:
            raise ValueError("a closed load needs `user_journeys`")
        journeys = self._journeys.setdefault(user, source(user))
        while user < self._users_wanted and self._kernel.now < self._plan.load_s:
            self.planned += 1
            self.pool.started += 1
            yield from self._journey(user, next(journeys), self._kernel.now)
            yield self._source.process.sleep(self._plan.load.think_s)
        working.discard(user)

    def _journey(self, slot: int, arrival: Arrival, intended_s: float) -> Steps[None]:
        journey = Journey(self._kernel, self._network, self._source, self._plan, self._recorder, self.interrupted)
        yield from journey.run(arrival.user_id or slot + 1, arrival, intended_s)


class Journey:
    """One arrival, executed by one user.

    `patience_s`: how long a money operation is asked for. A `cautious` client takes nothing but the platform's word for
    a failure: another of its requests with the same key may still be under way.
    """

    def __init__(
        self,
        kernel: Kernel,
        network: Network,
        source: Replica,
        plan: SimulationInput,
        recorder: Recorder,
        interrupted: dict[int, Operation],
    ) -> None:
        self._kernel, self._network, self._source = kernel, network, source
        self._plan, self._recorder = plan, recorder
        self._interrupted = interrupted
        self.patience_s, self.cautious = plan.load.deadline_s, False
        self._user_id = 0
        self._arrival: Arrival
        self._intended_s = 0.0
        self._step_intended_s = 0.0
        costs = plan.calibration
        # Records and the change of users come between what a client measures.
        self._between_s = costs.client_cpu_s * costs.assumed.aside
        self._request_s = costs.client_cpu_s - self._between_s

    def set_out(self, user_id: int, arrival: Arrival, intended_s: float) -> None:
        """Who does it, what, and since when."""
        self._user_id, self._arrival = user_id, arrival
        self._intended_s = self._step_intended_s = intended_s

    def run(self, user_id: int, arrival: Arrival, intended_s: float) -> Steps[None]:
        """Do it all; the outcome is in the records. A calibration also plays single steps."""
        self.set_out(user_id, arrival, intended_s)
        if self._plan.calibration.journey_cpu_s:
            yield self._source.process.work(self._plan.calibration.journey_cpu_s)
        match arrival.journey:
            case "pay":
                yield from self._pay()
            case "refund":
                order, gid = yield from self._pay()
                if gid:
                    yield from self.refund(order, gid)
            case "browse":
                yield from self._until_one_fails(self._goods_list, self._goods, self._cart_get)
            case single:
                yield from self._until_one_fails(self._single(single))

    def _single(self, name: str) -> Callable[[], Steps[object]]:
        return {
            "goods_list": self._goods_list,
            "goods": self._goods,
            "cart_get": self._cart_get,
            "cart_put": self._cart_put,
            "check_out": self.check_out,
        }[name]

    def _until_one_fails(self, *steps: Callable[[], Steps[object]]) -> Steps[None]:
        with suppress(StepFailed):  # the request's own record says why
            for step in steps:
                yield from step()

    def _goods_list(self) -> Steps[Reply]:
        return (yield from self._need("goods_list", "order", "GET /goods", NO_BODY))

    def _goods(self) -> Steps[Reply]:
        goods = {"goods_id": self._arrival.goods_id}
        return (yield from self._need("goods", "order", "GET /goods/{goods_id}", goods))

    def _cart_get(self) -> Steps[Reply]:
        return (yield from self._need("cart_get", "cart", "GET /cart", NO_BODY))

    def _cart_put(self) -> Steps[Reply]:
        what = {"goods_id": self._arrival.goods_id, "count": self._arrival.count}
        return (yield from self._need("cart_put", "cart", "PUT /cart/items/{goods_id}", what))

    def _pay(self) -> Steps[tuple[Order, str]]:
        try:
            order = yield from self.check_out()
        except StepFailed as failure:
            # The client wanted to pay and could not: an operation that failed, certainly without a charge.
            now_s = self._kernel.now
            asked = self._operation("pay", Order(), self._intended_s, now_s)
            self._recorder.payments.append(asked.ended(now_s, "fail", "", str(failure)))
            return Order(), ""
        return order, (yield from self.pay(order))

    def pay(self, order: Order) -> Steps[str]:
        """Pay an order; the payment's gid if it succeeded, else ''."""
        body = {"order_no": order.order_no, "amount_minor": order.amount_minor, "currency": order.currency}
        body["method"] = self._arrival.method
        return (yield from self._settle("pay", "POST /payments", "GET /payments/{gid}", body, order, self._intended_s))

    def refund(self, order: Order, gid: str) -> Steps[str]:
        """Take a payment back; the refund's gid if it succeeded, else ''."""
        body = {"gid": gid, "amount_minor": order.amount_minor}
        route = "POST /payments/{gid}/refunds"
        return (yield from self._settle("refund", route, "GET /refunds/{gid}", body, order, self._step_intended_s))

    def check_out(self) -> Steps[Order]:
        """Look at the goods, fill the cart, order. Raises StepFailed."""
        yield from self._goods()
        yield from self._cart_put()
        created = yield from self._need("order_create", "order", "POST /orders", {"pay_method": self._arrival.method})
        return Order(created.body["order_no"], created.body["total_minor"], created.body["currency"])

    def _settle(
        self, kind: str, route: str, poll: str, body: dict[str, Any], order: Order, intended_s: float
    ) -> Steps[str]:
        """Carry a money operation to its end and record it; the gid if it succeeded, else ''."""
        asked = self._operation(kind, order, intended_s, self._kernel.now)
        self._interrupted[id(asked)] = asked
        outcome, gid, error = yield from self._negotiate(kind, route, poll, body)
        del self._interrupted[id(asked)]
        self._recorder.payments.append(asked.ended(self._kernel.now, outcome, gid, error))
        return gid if outcome == "ok" else ""

    def _negotiate(self, kind: str, route: str, poll: str, body: dict[str, Any]) -> Steps[tuple[str, str, str]]:
        until_s = self._kernel.now + self.patience_s
        keyed = {**body, "key": f"{self._arrival.key}-{kind}"}
        polled_gid, in_doubt, pause_s = "", self.cautious, PAUSE_FIRST_S
        while True:
            if polled_gid:
                reply = yield from self._ask("poll", "gateway", poll, {"gid": polled_gid})
            else:
                reply = yield from self._ask(kind, "gateway", route, keyed)
            gid = polled_gid or str(reply.body.get("gid") or "")
            if polled_gid and outcome_of(reply) != "ok":
                answer = Meaning.DOUBTFUL  # a failed look at the result says nothing about the result
            else:
                answer = conclusions.answer_of(reply.status, reply.body, in_doubt=in_doubt, sent=_sent(reply))
            if answer is _SUCCEEDED:
                return "ok", gid, ""
            if answer is Meaning.FAILED:
                return "fail", gid, str(reply.body.get("reason") or describe(reply) or "failed")
            if answer is Meaning.PROCESSING:
                polled_gid = gid
            in_doubt = in_doubt or answer is not Meaning.NOT_DONE
            if self._kernel.now + pause_s >= until_s:
                error = f"deadline passed; last: {describe(reply) or 'processing'}"
                return ("unknown" if in_doubt else "fail"), gid, error
            yield self._source.process.sleep(pause_s)
            # Waiting before a repetition is the client's own will: the repetition is intended only now.
            self._step_intended_s = self._kernel.now
            pause_s = min(2 * pause_s, PAUSE_MAX_S)

    def _need(self, step: str, service: str, route: str, body: dict[str, Any]) -> Steps[Reply]:
        reply = yield from self._ask(step, service, route, body)
        if outcome_of(reply) != "ok":
            raise StepFailed(f"{step}: {describe(reply)}")
        return reply

    def _ask(self, step: str, service: str, route: str, body: dict[str, Any]) -> Steps[Reply]:
        started_s, intended_s = self._kernel.now, self._step_intended_s
        request = {**body, "user_id": self._user_id}
        try:
            reply: Reply = yield self._network.call(
                self._source,
                service,
                route,
                request,
                self._plan.load.timeout_s,
                self._request_s,
            )
        except NotSent:
            reply = Reply(0, {"sent": False, "code": "refused"})
        except Unknown as unknown:
            reply = Reply(0, {"sent": True, "code": str(unknown)})
        self._recorder.request(
            intended_s,
            started_s,
            self._arrival.key,
            self._arrival.journey,
            step,
            reply,
            outcome_of(reply),
            describe(reply),
            self._kernel.now,
        )
        if self._between_s:
            yield self._source.process.work(self._between_s)
        self._step_intended_s = self._kernel.now
        return reply

    def _operation(self, kind: str, order: Order, intended_s: float, started_s: float) -> Operation:
        arrival = self._arrival
        return Operation(arrival.key, kind, f"{arrival.key}-{kind}", order, arrival.method, intended_s, started_s)


def _sent(reply: Reply) -> bool:
    """Whether the request may have arrived."""
    return reply.status != 0 or bool(reply.body["sent"])
