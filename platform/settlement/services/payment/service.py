"""The payment's half of a transaction: hold the money, then take it or let it go.

    method     reserve                         confirm                    release
    card       authorize; pending postings     capture; posted            void; pending reversed
    wallet     pay (it charges); pending       posted                     cancel, or refund what was charged; reversed
    balance    hold on the customer's account  posted                     reversed
    refund     pending merchant -> source      refund_no at the channel   reversed, the payment can be refunded again

The channel's number is known before anything happens (it comes with the transaction), so a release needs no record of
what was reserved: it voids by number. That is what makes a charge impossible to lose, even if this process dies
between the channel's answer and its own record.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Any

from sqlalchemy import Row, bindparam, insert, select, update

from settlement.chassis.participant import Action, Payload, Reservation
from settlement.ledger import MERCHANT
from settlement.services.payment.books import Books, source_and_target
from settlement.services.payment.channel import NO_CHANNEL, Channel, Charge
from settlement.services.payment.model import payments

if TYPE_CHECKING:
    from settlement.chassis.clock import Clock
    from settlement.chassis.database import Transaction


class PaymentState(StrEnum):
    """Where the money of a payment or refund is."""

    HELD = "held"
    CAPTURED = "captured"
    VOIDED = "voided"
    REFUNDING = "refunding"
    REFUNDED = "refunded"


_PAYMENT = select(payments).where(payments.c.gid == bindparam("wanted_gid")).with_for_update()
_INSERT = insert(payments)
_MOVE = (
    update(payments)
    .where(payments.c.gid == bindparam("wanted_gid"), payments.c.state == bindparam("old_state"))
    .values(state=bindparam("new_state"), updated_at_ms=bindparam("now_ms"))
)


class NotHeld(Exception):
    """A commit came for money that its transaction does not hold. The protocol rules this out; nothing is changed."""


class PaymentBusiness:
    """What the payment service holds for a transaction. Amounts are minor units."""

    def __init__(self, channel: Channel, books: Books, clock: Clock) -> None:
        self._channel = channel
        self._books = books
        self._clock = clock

    # ---- the outside half -------------------------------------------------------------------------------------------

    async def reach_out(self, action: Action, gid: str, kind: str, payload: Payload) -> Charge:
        """Do the channel's part. Raises Unresolved while it is not known whether it happened."""
        if payload.method == "balance":
            return NO_CHANNEL
        if kind == "refund":
            # Giving money back cannot be undone, so it waits for the decision (where there is one: see the article's).
            if action in (Action.CONFIRM, Action.COLLECT):
                await self._channel.refund(payload, payload.refund_no or gid)
            return NO_CHANNEL
        if action is Action.RESERVE:
            return await self._channel.charge(payload)
        if action is Action.COLLECT:
            return await self._collect(payload)
        if action is Action.RELEASE:
            await self._channel.release(payload)
        elif payload.method == "card":
            await self._channel.capture(payload)
        return NO_CHANNEL

    async def _collect(self, payload: Payload) -> Charge:
        """Take the money with nobody's decision: the article's way."""
        charge = await self._channel.charge(payload)
        if payload.method == "card" and not charge.refusal:
            await self._channel.capture(payload)
        return charge

    # ---- the local half ---------------------------------------------------------------------------------------------

    async def reserve(self, tx: Transaction, gid: str, kind: str, payload: Payload, outside: Charge) -> Reservation:
        """Hold the money here too, unless the channel refused it or there is too little."""
        if outside.refusal:
            return Reservation.refused(outside.refusal)
        if kind == "refund":
            return await self._reserve_refund(tx, gid, payload)
        source, target = source_and_target(kind, payload.method, payload.user_id, MERCHANT)
        if not await self._books.hold(tx, gid, source, target, payload.currency, payload.amount_minor):
            return Reservation.refused("insufficient_funds")
        await self._insert(tx, gid, gid, kind, payload)
        return Reservation.granted()

    async def confirm(self, tx: Transaction, gid: str, kind: str, payload: Payload, outside: Charge) -> None:
        """The money has moved."""
        await self._change(tx, gid, PaymentState.HELD, PaymentState.CAPTURED)
        if kind == "refund":
            await self._change(tx, _payment_gid(payload), PaymentState.REFUNDING, PaymentState.REFUNDED)
        source, target = source_and_target(kind, payload.method, payload.user_id, MERCHANT)
        await self._books.capture(tx, gid, source, target, payload.currency, payload.amount_minor)

    async def release(self, tx: Transaction, gid: str, kind: str, payload: Payload, outside: Charge) -> None:
        """Let go what is held here, if anything."""
        held = (await tx.execute(_PAYMENT, {"wanted_gid": gid})).one_or_none()
        if held is None or held.state != PaymentState.HELD:
            return
        await self._change(tx, gid, PaymentState.HELD, PaymentState.VOIDED)
        if kind == "refund":
            await self._change(tx, held.payment_gid, PaymentState.REFUNDING, PaymentState.CAPTURED)
        source, target = source_and_target(kind, held.method, held.user_id, MERCHANT)
        await self._books.void(tx, gid, source, target, held.currency, held.amount_minor)

    async def _reserve_refund(self, tx: Transaction, gid: str, payload: Payload) -> Reservation:
        original = (await tx.execute(_PAYMENT, {"wanted_gid": _payment_gid(payload)})).one_or_none()
        refusal = _refund_refusal(original, payload)
        if refusal:
            return Reservation.refused(refusal)
        await self._change(tx, _payment_gid(payload), PaymentState.CAPTURED, PaymentState.REFUNDING)
        source, target = source_and_target("refund", payload.method, payload.user_id, MERCHANT)
        await self._books.hold(tx, gid, source, target, payload.currency, payload.amount_minor)
        await self._insert(tx, gid, _payment_gid(payload), "refund", payload)
        return Reservation.granted()

    async def _insert(self, tx: Transaction, gid: str, payment_gid: str, kind: str, payload: Payload) -> None:
        now_ms = self._clock.now_ms()
        values = payload.model_dump() | {
            "gid": gid,
            "payment_gid": payment_gid,
            "kind": kind,
            "channel": None if payload.method == "balance" else payload.method,
            "state": PaymentState.HELD.value,
            "created_at_ms": now_ms,
            "updated_at_ms": now_ms,
        }
        await tx.execute(_INSERT, values)

    async def _change(self, tx: Transaction, gid: str, old: PaymentState, new: PaymentState) -> None:
        states = {"old_state": old.value, "new_state": new.value, "now_ms": self._clock.now_ms()}
        if (await tx.execute(_MOVE, {"wanted_gid": gid, **states})).rowcount != 1:
            raise NotHeld(f"{gid} is not {old}")


def _payment_gid(payload: Payload) -> str:
    return payload.payment_gid or ""


def _refund_refusal(original: Row[Any] | None, payload: Payload) -> str:
    """Why this payment cannot be refunded so; empty if it can."""
    if original is None or original.kind != "payment" or original.user_id != payload.user_id:
        return "payment_not_found"
    if original.state != PaymentState.CAPTURED:
        return "payment_not_refundable"
    same = (payload.amount_minor, payload.currency, payload.method, payload.out_trade_no)
    if same != (original.amount_minor, original.currency, original.method, original.out_trade_no):
        return "amount_mismatch"
    return ""
