"""Talking to the channel: what was charged, what was refused, and what nobody knows yet.

Every call names our own number (out_trade_no, refund_no) and may therefore be repeated. An answer that got lost is
resolved by asking again, a bounded number of times; what is still unknown then raises `Unresolved`, never a guess.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from settlement.chassis.http_client import CallFailed, NotSent, ServiceReply
from settlement.chassis.participant import Payload, Unresolved

if TYPE_CHECKING:
    from settlement.chassis.app import Chassis

UNAVAILABLE = "channel_unavailable"
QUERIES_MAX = 2
_CHARGED = {"card": ("authorized", "captured"), "wallet": ("captured",)}
_COLLECTIONS = {"card": "/card/authorizations", "wallet": "/wallet/payments"}


@dataclass(frozen=True, slots=True)
class Charge:
    """What the channel did about a reservation. `refusal` is a short code, empty if it holds or has the money."""

    refusal: str = ""


NO_CHANNEL = Charge()


class Channel:
    """The card and wallet channels, as the payment service uses them."""

    def __init__(self, chassis: Chassis) -> None:
        self._chassis = chassis

    async def charge(self, payload: Payload) -> Charge:
        """Authorize a card, or take a wallet's money. Raises Unresolved if it remains unknown whether it happened."""
        body = {
            "out_trade_no": payload.out_trade_no,
            "amount_minor": payload.amount_minor,
            "currency": payload.currency,
        }
        try:
            reply = await self._call("POST", _COLLECTIONS[payload.method], body)
        except NotSent as error:
            # Not this call, but an earlier one with the same number may have got through: only the channel knows.
            raise Unresolved(UNAVAILABLE) from error
        except CallFailed:
            return await self._query(payload)
        return _judged(payload, reply)

    async def capture(self, payload: Payload) -> None:
        """Take what a card authorization holds."""
        await self._must(f"{_number(payload)}/capture", None)

    async def release(self, payload: Payload) -> None:
        """Void an authorization, or give a wallet's money back; leaves a tombstone if there was neither."""
        verb = "void" if payload.method == "card" else "cancel"
        reply = await self._certain("POST", f"{_number(payload)}/{verb}", None)
        if reply.status == 409 and _code(reply) == "already_captured" and payload.method == "wallet":
            await self.refund(payload, f"void-{payload.out_trade_no}")
        elif not reply.ok:
            raise self._strange(verb, payload, reply)

    async def refund(self, payload: Payload, refund_no: str) -> None:
        """Give captured money back, once per `refund_no`."""
        await self._must(f"{_number(payload)}/refunds", {"refund_no": refund_no, "amount_minor": payload.amount_minor})

    async def _query(self, payload: Payload) -> Charge:
        """Find out what became of a charge whose answer was lost."""
        for _ in range(QUERIES_MAX):
            try:
                reply = await self._call("GET", _number(payload), None)
            except CallFailed:
                continue
            if reply.status == 200:
                return _judged(payload, reply)
            if reply.status == 404:
                # It may still be on its way there, so a no is not certain either: the abort will leave a tombstone.
                break
        raise Unresolved(UNAVAILABLE)

    async def _must(self, path: str, body: dict[str, Any] | None) -> None:
        reply = await self._certain("POST", path, body)
        if not reply.ok:
            self._chassis.log.error("channel_refused", path=path, status=reply.status, code=_code(reply))
            raise Unresolved("channel_refused")

    async def _certain(self, method: str, path: str, body: dict[str, Any] | None) -> ServiceReply:
        try:
            reply = await self._call(method, path, body)
        except CallFailed as error:
            raise Unresolved(UNAVAILABLE) from error
        if reply.status >= 500:
            raise Unresolved(UNAVAILABLE)
        return reply

    def _strange(self, verb: str, payload: Payload, reply: ServiceReply) -> Unresolved:
        number, code = payload.out_trade_no, _code(reply)
        self._chassis.log.error("channel_refused", verb=verb, out_trade_no=number, status=reply.status, code=code)
        return Unresolved("channel_refused")

    async def _call(self, method: str, path: str, body: dict[str, Any] | None) -> ServiceReply:
        timeout_ms = self._chassis.settings.integer("payment.channel_timeout_ms")
        # Reading may be repeated by the client; a charge is repeated only by us, who look first. Only a new charge can
        # do without a channel that keeps failing: everything else finds out about or finishes what has begun.
        begun = path not in _COLLECTIONS.values()
        return await self._chassis.client.call(
            "channel", method, path, json=body, timeout_ms=timeout_ms, idempotent=method == "GET", must_arrive=begun
        )


def _number(payload: Payload) -> str:
    return f"{_COLLECTIONS[payload.method]}/{payload.out_trade_no}"


def _judged(payload: Payload, reply: ServiceReply) -> Charge:
    """What an answer to a charge or a query means."""
    if reply.status >= 500:
        raise Unresolved(UNAVAILABLE)
    if not reply.ok:
        return Charge(_code(reply) if reply.status in (402, 409) else "channel_refused")
    state = reply.json.get("state") if isinstance(reply.json, dict) else None
    if state in _CHARGED[payload.method]:
        return NO_CHANNEL
    return Charge("declined" if state == "declined" else "cancelled")


def _code(reply: ServiceReply) -> str:
    code = reply.json.get("code") if isinstance(reply.json, dict) else None
    return code if isinstance(code, str) and code else "channel_refused"
