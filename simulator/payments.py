"""The payment service: holds money for a transaction, books it, and speaks to the channel.

    card      prepare authorizes, commit captures, abort voids: the hold is real
    wallet    prepare charges (so it is asked last), abort cancels or refunds
    balance   a hold on the user's account in our own ledger

An answer that got lost is resolved by asking again. The channel knows a payment by its `out_trade_no`, derived from the
gid: an abort can void what no vote ever confirmed.
"""

from dataclasses import dataclass, field
from typing import Any

from simulator.books import Books
from simulator.kernel import Steps
from simulator.network import NotSent, Reply, Unknown
from simulator.node import Payload
from simulator.participant_node import (
    COLLECT,
    CONFIRM,
    RELEASE,
    RESERVE,
    Action,
    BarrierStore,
    Change,
    ParticipantNode,
    Refused,
    Unresolved,
)
from simulator.participants import participant_routes
from simulator.replica import Replica
from simulator.service import Platform, Service

UNAVAILABLE = "channel_unavailable"
QUERIES_MAX = 2
CARD, WALLET = "/card/authorizations", "/wallet/payments"


@dataclass(slots=True)
class Hold:
    """What the payment service holds or has taken for one transaction (a row of `audit_payments`)."""

    gid: str
    payment_gid: str
    kind: str
    method: str
    out_trade_no: str
    amount_minor: int
    currency: str
    state: str = "held"


@dataclass
class PaymentStore:
    """The payment service's database."""

    books: Books
    holds: dict[str, Hold] = field(default_factory=dict)
    barrier: BarrierStore = field(default_factory=BarrierStore)


class ChannelClient:
    """Calls to the channel, with its answers turned into what the business needs to know."""

    def __init__(self, platform: Platform, replica: Replica) -> None:
        self._network, self._replica = platform.network, replica
        self._timeout_s = platform.plan.setting_s("payment.channel_timeout_ms")

    def charge(self, path: str, payload: Payload) -> Steps[None]:
        """Authorize or pay; a lost answer is resolved by asking. Raises Refused or Unresolved."""
        body = {"amount_minor": payload.amount_minor, "currency": payload.currency}
        try:
            reply = yield from self._sent(f"POST {path}", payload, body)
        except NotSent as error:
            # Not this call, but an earlier one with the same number may have got through: only the channel knows.
            raise Unresolved(UNAVAILABLE) from error
        for _ in range(QUERIES_MAX if reply is None else 0):
            reply = yield from self._ask(f"GET {path}/{{out_trade_no}}", payload, {})
            if reply is not None:
                break
        if reply is None or reply.status >= 500 or reply.status == 404:
            # It may still be on its way there: a no is not certain either, and the abort will leave a tombstone.
            raise Unresolved(UNAVAILABLE)
        if reply.status >= 400:
            raise Refused(str(reply.body["code"]))
        if reply.body["state"] not in ("authorized", "captured"):
            raise Refused("declined" if reply.body["state"] == "declined" else "cancelled")

    def capture(self, payload: Payload) -> Steps[None]:
        """Take what is authorized. Raises Unresolved."""
        yield from self._insist(f"POST {CARD}/{{out_trade_no}}/capture", payload, {})

    def void(self, payload: Payload) -> Steps[None]:
        """Let an authorization go, also one that never came. Raises Unresolved."""
        yield from self._insist(f"POST {CARD}/{{out_trade_no}}/void", payload, {})

    def cancel(self, payload: Payload) -> Steps[None]:
        """Undo a wallet's charge, also one that never came. Raises Unresolved."""
        reply = yield from self._ask(f"POST {WALLET}/{{out_trade_no}}/cancel", payload, {})
        if reply is not None and reply.status == 409:
            yield from self.refund(WALLET, payload, f"void-{payload.out_trade_no}")
        elif reply is None or reply.status != 200:
            raise Unresolved(UNAVAILABLE)

    def refund(self, path: str, payload: Payload, refund_no: str) -> Steps[None]:
        """Give captured money back; idempotent by `refund_no`. Raises Unresolved."""
        body = {"refund_no": refund_no, "amount_minor": payload.amount_minor}
        yield from self._insist(f"POST {path}/{{out_trade_no}}/refunds", payload, body)

    def _insist(self, route: str, payload: Payload, body: dict[str, Any]) -> Steps[None]:
        reply = yield from self._ask(route, payload, body)
        if reply is None or reply.status >= 400:
            raise Unresolved(UNAVAILABLE)

    def _ask(self, route: str, payload: Payload, body: dict[str, Any]) -> Steps[Reply | None]:
        """The answer, or None if none came: the channel may or may not have done it."""
        try:
            return (yield from self._sent(route, payload, body))
        except NotSent:
            return None

    def _sent(self, route: str, payload: Payload, body: dict[str, Any]) -> Steps[Reply | None]:
        """The same, but raises NotSent if it certainly has not."""
        request = {"out_trade_no": payload.out_trade_no, **body}
        try:
            reply: Reply = yield self._network.call(self._replica, "channel", route, request, self._timeout_s)
        except Unknown:
            return None
        return reply


class PaymentBusiness:
    """What the payment service holds for a transaction."""

    def __init__(self, platform: Platform, replica: Replica, store: PaymentStore) -> None:
        self._platform, self._store = platform, store
        self._channel = ChannelClient(platform, replica)

    def reach_out(self, action: Action, gid: str, kind: str, payload: Payload) -> Steps[None] | None:
        """The channel's half; None: it has none. A refund moves money only when it is committed."""
        if payload.method == "balance":
            return None
        is_card, channel = payload.method == "card", self._channel
        path = CARD if is_card else WALLET
        if kind == "refund":
            takes_effect = action in (CONFIRM, COLLECT)
            return channel.refund(path, payload, payload.refund_no) if takes_effect else None
        if action is RESERVE:
            return channel.charge(path, payload)
        if action is CONFIRM:
            return channel.capture(payload) if is_card else None
        if action is RELEASE:
            return channel.void(payload) if is_card else channel.cancel(payload)
        return self._collect(path, payload) if action is COLLECT else None

    def _collect(self, path: str, payload: Payload) -> Steps[None]:
        yield from self._channel.charge(path, payload)
        if path == CARD:
            yield from self._channel.capture(payload)

    def change(self, action: Action, gid: str, kind: str, payload: Payload, outside: Any) -> Change:
        """Our own books' half."""
        if action in (RESERVE, COLLECT):
            self._require_money(kind, payload)
            return lambda: self._hold(gid, kind, payload, at_once=action is COLLECT)
        hold = self._store.holds.get(gid)
        if hold is None or hold.state != "held":
            return lambda: None
        if action is CONFIRM:
            return lambda: self._confirm(hold)
        return lambda: self._release(hold)

    def _require_money(self, kind: str, payload: Payload) -> None:
        if kind == "refund":
            paid = self._store.holds.get(payload.payment_gid)
            if paid is None or paid.state != "captured":
                raise Refused("payment_not_refundable")
        elif payload.method == "balance":
            self._store.books.open_account(payload.user_id, payload.currency, self._now_ms())
            if self._store.books.available_minor(payload.user_id, payload.currency) < payload.amount_minor:
                raise Refused("insufficient_funds")

    def _hold(self, gid: str, kind: str, payload: Payload, *, at_once: bool) -> None:
        payment_gid = payload.payment_gid or gid
        self._store.holds[gid] = Hold(
            gid, payment_gid, kind, payload.method, payload.out_trade_no, payload.amount_minor, payload.currency
        )
        if kind == "refund":
            self._store.holds[payment_gid].state = "refunding"
        self._store.books.hold(gid, kind, payload, self._now_ms())
        if at_once:
            self._confirm(self._store.holds[gid])

    def _confirm(self, hold: Hold) -> None:
        hold.state = "captured"
        if hold.kind == "refund":
            self._store.holds[hold.payment_gid].state = "refunded"
        self._store.books.capture(hold.gid, self._now_ms())

    def _release(self, hold: Hold) -> None:
        hold.state = "voided"
        if hold.kind == "refund":
            self._store.holds[hold.payment_gid].state = "captured"
        self._store.books.void(hold.gid, self._now_ms())

    def _now_ms(self) -> int:
        return self._platform.kernel.now_ms


class PaymentService(Service):
    """A replica of the payment service."""

    def __init__(self, platform: Platform, replica: Replica, store: PaymentStore) -> None:
        super().__init__(platform, replica)
        interval_ms = platform.plan.setting("payment.orphan_interval_ms")
        business = PaymentBusiness(platform, replica, store)
        self.node = ParticipantNode(
            replica, platform.crash_points, platform.commit_s, store.barrier, business, interval_ms, platform.protocol
        )
        self.routes = participant_routes(platform, self.node)

    def start(self) -> None:
        """Set the timers of what is in doubt."""
        self.node.recover()
