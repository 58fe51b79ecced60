"""Payments and refunds: from a client's request to a durable decision, once a key.

Idempotency follows Stripe: the same key with the same parameters gets the first answer again, with other parameters
it is refused, and while the first request is still being worked on the second is told to come back. The key row and
the begin record of the transaction are written together (see `journal`), and the answer follows from the record; so a
client whose gateway died can repeat its request anywhere and will be told what became of it.
"""

from __future__ import annotations

import asyncio
import hashlib
import secrets
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from sqlalchemy import Row
from starlette.responses import Response

from settlement.chassis.coordinator_driver import Coordinator, Errand, Overtaken
from settlement.chassis.database import CommitUnknown
from settlement.chassis.participant import Payload
from settlement.chassis.problems import Problem
from settlement.chassis.trace import bind_gid
from settlement.policies.codes import KEY_IN_USE, NOT_SETTLED
from settlement.protocol.records import CoordinatorPhase, Decision
from settlement.services.gateway.answers import first_answer
from settlement.services.gateway.journal import GatewayJournal, KeyTaken, Request, participants_of
from settlement.services.gateway.notifications import allowed
from settlement.services.gateway.risk import RiskGate
from settlement.services.gateway.schemas import PaymentRequest, RefundRequest

if TYPE_CHECKING:
    from settlement.chassis.app import Chassis

WATCH_INTERVAL_S = 0.02
TAKE_OVER_MS = 1_000


class GatewayService:
    """Takes money-moving requests of users."""

    def __init__(self, chassis: Chassis, journal: GatewayJournal, coordinator: Coordinator, risk: RiskGate) -> None:
        self._risk = risk
        self._chassis = chassis
        self._journal = journal
        self._coordinator = coordinator

    async def pay(self, user_id: int, request: PaymentRequest, key: str) -> Response:
        """Pay an order.

        Raises Problem 403 `risk_denied | risk_review`, 409 `idempotency_key_in_use`, 422 `idempotency_key_reused |
        currency_not_supported | notify_host_not_allowed`, 503 `risk_unavailable`, each with nothing begun. A refused
        payment is not raised but answered, as it will be in every replay.
        """
        fingerprint = _fingerprint("payment", request.model_dump_json())
        known = await self._journal.find_key(user_id, key)
        if known is not None:
            # First of all: settings and risk's rules may have changed since the request was taken.
            return await self._replay(known, fingerprint)
        self._require_takeable(request)
        gid = self._new_gid("p")
        admitted = await self._risk.admit(user_id, request, key, fingerprint)
        payload = Payload(
            user_id=user_id,
            order_no=request.order_no,
            amount_minor=request.amount_minor,
            currency=request.currency,
            method=request.method,
            out_trade_no=gid,
        )
        asked = Request(key, fingerprint, request.notify_url, request.return_url, risk=admitted)
        return await self._run(Errand(gid, "payment", payload), asked)

    async def refund(self, user_id: int, payment_gid: str, request: RefundRequest, key: str) -> Response:
        """Give back what a payment took.

        Raises like `pay`, and Problem 404 `payment_not_found`, 409 `payment_not_refundable | payment_not_settled`, 422
        `amount_mismatch`.
        """
        fingerprint = _fingerprint(f"refund of {payment_gid}", request.model_dump_json())
        known = await self._journal.find_key(user_id, key)
        if known is not None:
            return await self._replay(known, fingerprint)
        payment = await self.find(user_id, payment_gid, "payment")
        if payment.decision != Decision.COMMIT:
            raise Problem(409, "payment_not_refundable", "This payment took nothing that could be given back")
        await self._settled(payment)
        if request.amount_minor != payment.amount_minor:
            raise Problem(422, "amount_mismatch", "Only the whole amount can be refunded", f"{payment.amount_minor}")
        self._require_allowed(request.notify_url)
        gid = self._new_gid("r")
        payload = Payload(
            user_id=user_id,
            order_no=payment.order_no,
            amount_minor=payment.amount_minor,
            currency=payment.currency,
            method=payment.method,
            out_trade_no=payment.out_trade_no,
            payment_gid=payment_gid,
            refund_no=gid,
        )
        asked = Request(key, fingerprint, request.notify_url or payment.notify_url, None, request.reason)
        return await self._run(Errand(gid, "refund", payload), asked)

    async def find(self, user_id: int, gid: str, kind: str) -> Row[Any]:
        """A user's own payment or refund. Raises Problem 404; somebody else's looks like none."""
        row = await self._journal.find(gid)
        if row is None or row.user_id != user_id or row.kind != kind:
            raise Problem(404, f"{kind}_not_found", f"No such {kind}")
        await self._journal.certain(row)
        return row

    async def find_by_key(self, user_id: int, key: str, kind: str) -> Row[Any]:
        """The payment or refund that a user began with a key. Raises Problem 404."""
        row = await self._journal.find_by_key(user_id, key)
        if row is None or row.kind != kind:
            raise Problem(404, f"{kind}_not_found", f"No {kind} was begun with this key")
        await self._journal.certain(row)
        return row

    async def _run(self, errand: Errand, request: Request) -> Response:
        insert = partial(self._journal.insert, errand=errand, request=request)
        participants = participants_of(errand.payload.method, errand.kind)
        try:
            await self._coordinator.begin(errand, participants, insert)
        except KeyTaken as taken:
            return await self._replay(taken.row, request.fingerprint)
        except CommitUnknown:
            # Without a record nothing was begun, and nobody will be told anything of this payment.
            if await self._journal.find(errand.gid) is None:
                raise
            return await self._answer_of_another(errand.gid)
        except Overtaken:
            return await self._answer_of_another(errand.gid)
        return first_answer(await self._record(errand.gid), replayed=False)

    async def _answer_of_another(self, gid: str) -> Response:
        await self._decided(gid)
        return await self._answer(gid, replayed=False)

    async def _answer(self, gid: str, *, replayed: bool) -> Response:
        row = await self._record(gid)
        await self._journal.certain(row)
        return first_answer(row, replayed=replayed)

    async def _record(self, gid: str) -> Row[Any]:
        row = await self._journal.find(gid)
        if row is None:
            raise LookupError(f"{gid} has begun, but there is no record of it")
        return row

    async def _decided(self, gid: str) -> None:
        """Wait until whoever has the transaction now decides it, as long as a take-over may take."""
        read = self._chassis.settings.integer
        patience_ms = read("gateway.lease_ms") + 2 * read("gateway.recovery_interval_ms") + TAKE_OVER_MS
        await self._watch(gid, patience_ms, lambda row: row.decision is not None)

    async def _settled(self, payment: Row[Any]) -> None:
        """Wait until the participants have applied a commit: who was just told of it may ask for a refund at once.

        Raises Problem 409 `payment_not_settled`, with nothing begun.
        """
        patience_ms = self._chassis.settings.integer("gateway.prepare_timeout_ms")
        if not await self._watch(payment.gid, patience_ms, lambda row: row.state == CoordinatorPhase.CLOSED):
            detail = "it is committed, but not everybody has applied it yet"
            raise Problem(409, NOT_SETTLED, "Come back later", detail, headers={"Retry-After": "1"})

    async def _watch(self, gid: str, patience_ms: int, reached: Callable[[Row[Any]], bool]) -> bool:
        deadline_ms = self._chassis.clock.monotonic_ms() + patience_ms
        while not self._chassis.stopping.is_set():
            row = await self._journal.find(gid)
            if row is not None and reached(row):
                return True
            if self._chassis.clock.monotonic_ms() >= deadline_ms:
                return False
            await asyncio.sleep(WATCH_INTERVAL_S)
        return False

    async def _replay(self, key: Row[Any], fingerprint: str) -> Response:
        if key.fingerprint != fingerprint:
            raise Problem(422, "idempotency_key_reused", "This key was used for another request")
        if (await self._record(key.gid)).decision is None:
            detail = "the first request with this key is still being worked on"
            raise Problem(409, KEY_IN_USE, "Come back later", detail, headers={"Retry-After": "1"})
        return await self._answer(key.gid, replayed=True)

    def _require_takeable(self, request: PaymentRequest) -> None:
        if request.currency != self._chassis.settings.text("gateway.currency"):
            raise Problem(422, "currency_not_supported", "Currency not supported", request.currency)
        self._require_allowed(request.notify_url)

    def _require_allowed(self, notify_url: str | None) -> None:
        if notify_url is not None and not allowed(notify_url, self._chassis.settings.text("gateway.notify_hosts")):
            raise Problem(422, "notify_host_not_allowed", "notify_url names a host that is not on the list")

    def _new_gid(self, prefix: str) -> str:
        """Sorts by time and cannot be guessed. From here on, logs and spans of the request carry it."""
        gid = f"{prefix}{self._chassis.clock.now_ms():013d}{secrets.token_hex(8)}"
        bind_gid(gid)
        return gid


def _fingerprint(operation: str, parameters: str) -> str:
    return hashlib.sha256(f"{operation}\n{parameters}".encode()).hexdigest()
