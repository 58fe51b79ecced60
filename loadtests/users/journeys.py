"""The three things a client does: pay, browse, refund. No Locust here: requests go through a `Link`.

A calibration also plays single steps of them, to see what each costs by itself: a journey named after a step makes that
one request, and `check_out` stops before the payment.

A money operation is repeated with the same Idempotency-Key until somebody says how it ended or its deadline has passed:
whoever gives up after one timeout neither knows whether the money is gone nor lets the platform tell.
"""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Protocol

from loadtests.outcomes import Answer, Outcome, Reply, judge
from loadtests.recorder import OperationRow, Records
from loadtests.users.accounts import Account
from scenarios.plan import Arrival

PAUSE_FIRST_S = 0.1
PAUSE_MAX_S = 1.0
PAGE_SIZE = 20
CART_EMPTY = "cart_empty"


@dataclass
class Call:
    """One request to make. `operation`, `journey`, `step` and `intended_s` are for the record."""

    service: str
    method: str
    path: str
    operation: str
    journey: str
    step: str
    intended_s: float
    body: dict[str, Any] | None = None
    headers: dict[str, str] = field(default_factory=dict)


class Link(Protocol):
    """How a journey reaches the platform and spends time. `call` never raises for anything the platform does."""

    def now_s(self) -> float:
        """Seconds since the run's start."""

    def pause(self, duration_s: float) -> None:
        """Wait."""

    def call(self, call: Call) -> Reply:
        """Make one HTTP attempt and record it."""


@dataclass(frozen=True)
class Order:
    """What the client is about to pay for."""

    order_no: str
    amount_minor: int
    currency: str


@dataclass(frozen=True)
class Purpose:
    """What distinguishes paying from refunding: where to ask for it, where to ask how it went."""

    kind: str
    path: str
    result_path: str
    body: dict[str, Any]
    order: Order


class StepFailed(Exception):
    """A step before the money operation did not succeed."""

    def __init__(self, step: str, reply: Reply) -> None:
        super().__init__(f"{step}: {reply.describe()}")


class Journey:
    """One arrival, executed by one account. `intended_s`: when it should have started (the wait for a user counts)."""

    def __init__(
        self, link: Link, records: Records, account: Account, arrival: Arrival, intended_s: float, deadline_s: float
    ) -> None:
        self._link = link
        self._records = records
        self._account = account
        self._arrival = arrival
        self._intended_s = intended_s
        self._step_intended_s = intended_s
        self._deadline_s = deadline_s

    def run(self) -> None:
        """Do it all; the outcome is in the records. Raises ValueError for a journey that does not exist."""
        match self._arrival.journey:
            case "browse":
                self._browse()
            case "pay":
                self._pay()
            case "refund":
                self._refund()
            case single:
                self._single(single)

    def _browse(self) -> None:
        with suppress(StepFailed):  # the request's own record says why
            self._goods_list()
            self._goods()
            self._cart_get()

    def _single(self, name: str) -> None:
        steps: dict[str, Callable[[], object]] = {
            "goods_list": self._goods_list,
            "goods": self._goods,
            "cart_get": self._cart_get,
            "cart_put": self._cart_put,
            "check_out": self._check_out,
        }
        if name not in steps:
            raise ValueError(f"no journey {name!r}; there are pay, browse, refund and the single {', '.join(steps)}")
        with suppress(StepFailed):  # as above
            steps[name]()

    def _goods_list(self) -> None:
        self._need("goods_list", "order", "GET", f"/goods?limit={PAGE_SIZE}")

    def _goods(self) -> None:
        self._need("goods", "order", "GET", f"/goods/{self._arrival.goods_id}")

    def _cart_get(self) -> None:
        self._need("cart_get", "cart", "GET", "/cart")

    def _cart_put(self) -> None:
        self._need("cart_put", "cart", "PUT", f"/cart/items/{self._arrival.goods_id}", {"count": self._arrival.count})

    def _pay(self) -> tuple[Order, str] | None:
        """Check out and pay; the order and the payment's gid if the client was told that it succeeded."""
        try:
            order = self._check_out()
        except StepFailed as failure:
            # The client wanted to pay and could not: an operation that failed, certainly without a charge.
            now_s = self._link.now_s()
            self._record("pay", Order("", 0, ""), "", self._intended_s, now_s, Outcome.FAIL, str(failure))
            return None
        details = {"order_no": order.order_no, "amount_minor": order.amount_minor, "currency": order.currency}
        purpose = Purpose("pay", "/payments", "/payments", {**details, "method": self._arrival.method}, order)
        gid = self._settle(purpose, self._intended_s)
        return (order, gid) if gid else None

    def _refund(self) -> None:
        if (paid := self._pay()) is None:
            return
        order, gid = paid
        self._step_intended_s = self._link.now_s()
        body = {"amount_minor": order.amount_minor, "reason": "changed my mind"}
        self._settle(Purpose("refund", f"/payments/{gid}/refunds", "/refunds", body, order), self._step_intended_s)

    def _check_out(self) -> Order:
        self._goods()
        wanted = {"from_cart": True, "pay_method": self._arrival.method}
        self._cart_put()
        created = self._ask("order_create", "order", "POST", "/orders", wanted)
        if created.body.get("code") == CART_EMPTY:
            # The event of this user's previous order cleared the cart only now. A customer puts the thing in again.
            self._cart_put()
            created = self._ask("order_create", "order", "POST", "/orders", wanted)
        if not created.ok:
            raise StepFailed("order_create", created)
        try:
            return Order(str(created.body["order_no"]), int(created.body["total_minor"]), str(created.body["currency"]))
        except (KeyError, TypeError, ValueError) as error:
            raise StepFailed("order_create", Reply(created.status, error=f"unreadable order: {error!r}")) from error

    def _settle(self, purpose: Purpose, intended_s: float) -> str:
        """Carry a money operation to its end and record it; the gid if it succeeded, else ''."""
        started_s = self._link.now_s()
        outcome, gid, error = Outcome.UNKNOWN, "", "interrupted"
        try:
            outcome, gid, error = self._negotiate(purpose, started_s + self._deadline_s)
        finally:  # a user who is stopped in the middle does not know how it ended
            self._record(purpose.kind, purpose.order, gid, intended_s, started_s, outcome, error)
        return gid if outcome is Outcome.OK else ""

    def _negotiate(self, purpose: Purpose, until_s: float) -> tuple[Outcome, str, str]:
        key = {"Idempotency-Key": f"{self._arrival.key}-{purpose.kind}"}
        gid, in_doubt, pause_s = "", False, PAUSE_FIRST_S
        while True:
            if gid:
                reply = self._ask("poll", "gateway", "GET", f"{purpose.result_path}/{gid}")
            else:
                reply = self._ask(purpose.kind, "gateway", "POST", purpose.path, purpose.body, key)
            # A failed look at the result says nothing about the result.
            answer = judge(reply, in_doubt=in_doubt) if not gid or reply.ok else Answer.DOUBTFUL
            known_gid = gid or str(reply.body.get("gid") or "")
            if answer is Answer.SUCCEEDED:
                return Outcome.OK, known_gid, ""
            if answer is Answer.FAILED:
                return Outcome.FAIL, known_gid, str(reply.body.get("reason") or reply.describe() or "failed")
            if answer is Answer.PROCESSING:
                gid = known_gid
            in_doubt = in_doubt or answer is not Answer.NOT_DONE
            if self._link.now_s() + pause_s >= until_s:
                last = reply.describe() or "processing"
                return (Outcome.UNKNOWN if in_doubt else Outcome.FAIL), known_gid, f"deadline passed; last: {last}"
            self._link.pause(pause_s)
            # Waiting before a repetition is the client's own will: the repetition is intended only now.
            self._step_intended_s = self._link.now_s()
            pause_s = min(2 * pause_s, PAUSE_MAX_S)

    def _need(self, step: str, service: str, method: str, path: str, body: dict[str, Any] | None = None) -> Reply:
        reply = self._ask(step, service, method, path, body)
        if not reply.ok:
            raise StepFailed(step, reply)
        return reply

    def _ask(
        self,
        step: str,
        service: str,
        method: str,
        path: str,
        body: dict[str, Any] | None = None,
        headers: dict[str, str] | None = None,
    ) -> Reply:
        reply = self._link.call(
            Call(
                service=service,
                method=method,
                path=path,
                operation=self._arrival.key,
                journey=self._arrival.journey,
                step=step,
                intended_s=self._step_intended_s,
                body=body,
                headers={"Authorization": f"Bearer {self._account.token}", **(headers or {})},
            )
        )
        self._step_intended_s = self._link.now_s()
        return reply

    def _record(
        self, kind: str, order: Order, gid: str, intended_s: float, started_s: float, outcome: Outcome, error: str
    ) -> None:
        self._records.operation(
            OperationRow(
                operation=self._arrival.key,
                kind=kind,
                key=f"{self._arrival.key}-{kind}",
                gid=gid,
                order_no=order.order_no,
                amount_minor=order.amount_minor,
                currency=order.currency,
                method=self._arrival.method,
                intended_s=intended_s,
                started_s=started_s,
                ended_s=self._link.now_s(),
                outcome=outcome.value,
                error=error,
            )
        )
