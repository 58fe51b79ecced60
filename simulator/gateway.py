"""The payment gateway: takes payments and refunds, remembers idempotency keys, and coordinates.

A key points at its transaction from the moment the transaction exists. A repetition gets the transaction's answer once
there is one, whichever replica decided it; until then 409: the first attempt may still be running somewhere.
"""

from typing import Any

from settlement.policies.codes import KEY_IN_USE, NOT_SETTLED
from settlement.protocol.coordinator import CoordinatorTiming
from settlement.protocol.events import AckReceived, VoteReceived
from settlement.protocol.messages import Charge, Decide, Message, Prepare
from settlement.protocol.records import CoordinatorPhase, Decision, Participant, Vote
from simulator.coordinator_node import CoordinatorNode, Draft, Transaction, TransactionStore
from simulator.kernel import Steps
from simulator.network import NotSent, Reply, Unknown
from simulator.node import Payload
from simulator.replica import Replica
from simulator.risk import RiskGate
from simulator.service import Answer, Platform, Service, problem

CLOSE_POLL_S = 0.02
_STATUS_OF_REASON = {
    "declined": 402, "insufficient_funds": 402, "order_not_found": 404, "order_not_payable": 409, "out_of_stock": 409,
    "order_not_refundable": 409, "payment_not_refundable": 409, "cancelled": 409, "amount_mismatch": 422,
}  # fmt: skip
# By name, because it takes the interpreter five times as long to find a member in its enum.
_CLOSED, _COMMIT = CoordinatorPhase.CLOSED, Decision.COMMIT
_ASKED_BY = {Prepare: "POST /participant/prepare", Charge: "POST /participant/charge"}
_AT_ONCE = (Participant("order"), Participant("payment"))
# A wallet cannot hold without charging: it is asked when everybody else has said yes.
_BY_WALLET = (Participant("order"), Participant("payment", asked_last=True))


class Gateway(Service):
    """A replica of the gateway."""

    def __init__(self, platform: Platform, replica: Replica, store: TransactionStore) -> None:
        super().__init__(platform, replica)
        self._store = store
        plan = platform.plan
        timing = CoordinatorTiming(
            plan.setting("gateway.prepare_timeout_ms"),
            plan.setting("gateway.retry_base_ms"),
            plan.setting("gateway.retry_max_ms"),
            plan.setting("gateway.retry_attempts_max"),
        )
        lease_ms, protocol = plan.setting("gateway.lease_ms"), platform.protocol
        self.node = CoordinatorNode(
            replica, platform.crash_points, platform.commit_s, store, timing, lease_ms, protocol
        )
        self.node.send = self._send
        self._call = platform.network.call
        self._prepare_timeout_s = plan.setting_s("gateway.prepare_timeout_ms")
        self._http_timeout_s = plan.setting_s("http.timeout_ms")
        self._risk = RiskGate(platform, replica)
        self._delivering: set[tuple[str, str, Decision]] = set()
        self.routes = {
            "POST /payments": self._pay,
            "GET /payments/{gid}": self._show,
            "POST /payments/{gid}/refunds": self._refund,
            "GET /refunds/{gid}": self._show,
            "GET /transactions/{gid}/outcome": self._outcome,
        }

    def start(self) -> None:
        """Take up what an earlier life left, and start the recovery worker."""
        self.process.spawn(self.node.recover_left_behind())
        self.process.every(self.platform.plan.setting_s("gateway.recovery_interval_ms"), self.node.recover)

    # -- clients ----------------------------------------------------------------------------------------------------

    def _pay(self, body: dict[str, Any]) -> Steps[Answer]:
        gid = self._store.new_gid("pay")
        payload = Payload(
            user_id=body["user_id"],
            order_no=body["order_no"],
            amount_minor=body["amount_minor"],
            currency=body["currency"],
            method=body["method"],
            out_trade_no=gid,
        )
        participants = _BY_WALLET if body["method"] == "wallet" else _AT_ONCE
        draft = Draft("payment", body["key"], payload)
        # A payment that was taken is not assessed again: risk may have changed its mind since.
        if self._risk.asks and (payload.user_id, draft.key) not in self._store.keys:
            refusal = yield from self._risk.admit(body)
            if refusal is not None:
                return refusal
        return (yield from self._carry_out(gid, draft, participants))

    def _refund(self, body: dict[str, Any]) -> Steps[Answer]:
        paid = self._store.rows.get(body["gid"])
        if paid is None or paid.kind != "payment" or paid.payload.user_id != body["user_id"]:
            return problem(404, "payment_not_found")
        yield from self._await_close(paid)
        if paid.record.phase is not _CLOSED:
            return problem(409, NOT_SETTLED)
        if paid.record.decision is not _COMMIT or body["amount_minor"] != paid.payload.amount_minor:
            return problem(409, "payment_not_refundable")
        gid = self._store.new_gid("refund")
        payload = Payload(
            paid.payload.user_id, paid.payload.order_no, paid.payload.amount_minor, paid.payload.currency,
            paid.payload.method, paid.payload.out_trade_no, payment_gid=paid.gid, refund_no=gid,
        )  # fmt: skip
        return (yield from self._carry_out(gid, Draft("refund", body["key"], payload), _AT_ONCE))

    def _await_close(self, row: Transaction) -> Steps[None]:
        """Who was just told of the decision may refund at once, a moment before the participants have applied it."""
        until_s = self.platform.kernel.now + self._prepare_timeout_s
        while row.record.phase is not _CLOSED and self.platform.kernel.now < until_s:
            yield self.process.sleep(CLOSE_POLL_S)

    def _carry_out(self, gid: str, draft: Draft, participants: tuple[Participant, ...]) -> Steps[Answer]:
        known = self._store.keys.get((draft.payload.user_id, draft.key))
        if known is not None:
            return self._replay(self._store.rows[known], draft)
        yield self.node.begin(gid, draft, participants)
        return self._answer(self._store.rows[gid])

    def _replay(self, row: Transaction, draft: Draft) -> Answer:
        asked, before = draft.payload, row.payload
        if (asked.order_no, asked.amount_minor, asked.method) != (before.order_no, before.amount_minor, before.method):
            return problem(422, "idempotency_key_reused")
        if row.record.decision is None:
            return problem(409, KEY_IN_USE, gid=row.gid)
        return self._answer(row)

    def _answer(self, row: Transaction) -> Answer:
        about = {"gid": row.gid, "order_no": row.payload.order_no, "amount_minor": row.payload.amount_minor}
        if row.record.decision is None:  # this replica lost the transaction to another
            return 201, {**about, "status": "processing"}, None
        if row.record.decision is _COMMIT:
            return 201, {**about, "status": "succeeded"}, None
        reason = row.record.reason
        status = _STATUS_OF_REASON.get(reason, 503)
        return status, {**about, "code": reason, "status": "failed", "reason": reason}, None

    def _show(self, body: dict[str, Any]) -> Answer:
        row = self._store.rows.get(body["gid"])
        if row is None or row.payload.user_id != body["user_id"]:
            return problem(404, "payment_not_found")
        return 200, self._answer(row)[1], None

    # -- participants -----------------------------------------------------------------------------------------------

    def _outcome(self, body: dict[str, Any]) -> Answer:
        return 200, {"decision": self.node.decision_of(body["gid"])}, None

    def _send(self, gid: str, to: str, message: Message) -> None:
        row = self._store.rows[gid]
        body = {"gid": gid, "kind": row.kind, "payload": row.payload}
        if isinstance(message, Decide):
            delivery = (gid, to, message.decision)
            if delivery not in self._delivering:
                self._delivering.add(delivery)
                body["decision"] = message.decision
                call = self._call(self.replica, to, "POST /participant/decision", body, self._http_timeout_s)
                self.process.when(call, self._delivered, delivery)
        elif type(message) in _ASKED_BY:
            call = self._call(self.replica, to, _ASKED_BY[type(message)], body, self._prepare_timeout_s)
            self.process.when(call, self._voted, gid, to)

    def _voted(self, reply: Reply | None, error: Exception | None, gid: str, to: str) -> None:
        if not _answered(error) or reply is None or reply.status != 200:
            # Until the decision an abort is always safe, also if it did vote: it will be told.
            self.node.feed(gid, VoteReceived(to, Vote.NO, "participant_unavailable"))
        else:
            self.node.feed(gid, VoteReceived(to, reply.body["vote"], reply.body["reason"]))

    def _delivered(self, reply: Reply | None, error: Exception | None, delivery: tuple[str, str, Decision]) -> None:
        self._delivering.discard(delivery)
        if _answered(error) and reply is not None and reply.status == 200:
            gid, to, _decision = delivery
            self.node.feed(gid, AckReceived(to))


def _answered(error: Exception | None) -> bool:
    """Whether there is an answer; if not, it was not sent, or nobody knows."""
    if error is None:
        return True
    if isinstance(error, NotSent | Unknown):
        return False
    raise error
