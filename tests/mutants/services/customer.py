"""A customer who wants a definite answer: who hears nothing asks again, with the same key, at the other gateway."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from loadtests.outcomes import Answer, Reply, judge
from settlement.chassis.transport import CallFailed, NotSent

from .house import House

GATEWAYS: Final = ("gateway-0", "gateway-1")
ATTEMPTS_MAX: Final = 25
ANSWER_S_MAX: Final = 1.5
PAUSE_S: Final = 0.03

Say = Callable[[str], None]


@dataclass
class Operation:
    """One money operation with one key, and what its customer has been told."""

    kind: str
    key: str
    order_no: str
    amount_minor: int
    currency: str
    method: str
    began_ms: int
    round: int
    outcome: str = "unknown"
    gid: str = ""
    error: str = ""
    ended_ms: int = 0


@dataclass
class Customer:
    """One user of a house."""

    house: House
    user_id: int
    say: Say
    operations: list[Operation] = field(default_factory=list)

    async def orders(self, method: str) -> dict[str, Any]:
        """Order two pieces."""
        body = {"items": [{"goods_id": 1 + self.user_id % 3, "count": 2}], "pay_method": method}
        while True:
            reply = await self._ask("order-0", "/orders", body, {})
            if reply.status == 201:
                return reply.body
            await asyncio.sleep(PAUSE_S)

    async def pays(self, order: dict[str, Any], method: str, times: int) -> Operation:
        """Pay an order; `times` identical requests at once."""
        wanted = {"order_no": order["order_no"], "amount_minor": order["total_minor"], "currency": order["currency"]}
        operation = self._operation("pay", order, method)
        return await self._until_definite(operation, "/payments", {**wanted, "method": method}, times)

    async def refunds(self, paid: Operation, order: dict[str, Any], times: int) -> Operation:
        """Take a payment back; `times` identical requests at once."""
        operation = self._operation("refund", order, paid.method)
        path = f"/payments/{paid.gid}/refunds"
        return await self._until_definite(operation, path, {"amount_minor": paid.amount_minor}, times)

    def _operation(self, kind: str, order: dict[str, Any], method: str) -> Operation:
        key = f"u{self.user_id}-{kind}"
        amount_minor, currency = order["total_minor"], order["currency"]
        now_ms = self.house.clock.now_ms()
        made = Operation(kind, key, order["order_no"], amount_minor, currency, method, now_ms, self.user_id)
        self.operations.append(made)
        return made

    async def _until_definite(self, operation: Operation, path: str, body: dict[str, Any], times: int) -> Operation:
        copies = (self._insist(operation, path, body, first) for first in range(times))
        answers = await asyncio.gather(*copies)
        operation.ended_ms = self.house.clock.now_ms()
        definite = [reply for reply in answers if reply is not None]
        # The customer believes the first who says anything definite; the copies are told the same, or it is a lie.
        failed = [reply for reply in definite if reply.body.get("status") != "succeeded"]
        if definite:
            believed = (failed or definite)[0]
            operation.outcome = "fail" if failed else "ok"
            operation.gid = str(believed.body.get("gid", ""))
            operation.error = "" if not failed else believed.describe()
        self.say(f"customer: {operation.kind} is {operation.outcome} {operation.error}".rstrip())
        return operation

    async def _insist(self, operation: Operation, path: str, body: dict[str, Any], first: int) -> Reply | None:
        in_doubt = False
        for attempt in range(ATTEMPTS_MAX):
            gateway = GATEWAYS[(first + attempt) % len(GATEWAYS)]
            reply = await self._ask(gateway, path, body, {"Idempotency-Key": operation.key})
            if reply.sent:
                heard = f"{reply.status} {reply.describe() or reply.body.get('status')}"
                self.say(f"customer -> {gateway}: {operation.kind} with key {operation.key}: {heard}")
            told = judge(reply, in_doubt=in_doubt)
            if told in (Answer.SUCCEEDED, Answer.FAILED):
                return reply
            in_doubt = in_doubt or told is Answer.DOUBTFUL
            await asyncio.sleep(PAUSE_S)
        return None

    async def _ask(self, replica: str, path: str, body: dict[str, Any], headers: dict[str, str]) -> Reply:
        sent = {**self.house.as_user(self.user_id), **headers, "Content-Type": "application/json"}
        try:
            answer = await self.house.network.send(
                f"http://{replica}", "POST", path, json.dumps(body).encode(), sent, ANSWER_S_MAX
            )
        except NotSent as error:
            return Reply(0, error=str(error), sent=False)
        except (CallFailed, Exception) as error:  # noqa: BLE001 - a server that breaks gives no answer
            return Reply(0, error=f"no answer: {type(error).__name__}", sent=True)
        return Reply(answer.status, _object(answer.body))


def _object(body: bytes) -> dict[str, Any]:
    try:
        read = json.loads(body)
    except ValueError:
        return {}
    return read if isinstance(read, dict) else {}
