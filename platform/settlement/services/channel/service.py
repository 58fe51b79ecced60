"""The channel's rules: what may follow what, and what a repeated or late request gets.

    card     authorize -> authorized -> captured (-> refunded), or -> voided
    wallet   pay       -> captured (-> refunded)

Every request names its own number, and a repetition is answered like the first time. The same number with another
amount is refused. A void or cancel of a number never seen leaves a tombstone, so that the request it was meant for is
refused if it arrives later: without it, a delayed authorization would hold money that nobody will ever release.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import Row, bindparam, insert, select, update

from settlement.chassis.problems import Problem
from settlement.services.channel.model import charges, entries, refunds
from settlement.services.channel.schemas import ChannelName, ChargeRequest, ChargeView, RefundRequest, RefundView

if TYPE_CHECKING:
    from settlement.chassis.clock import Clock
    from settlement.chassis.database import Database, Transaction

_CHARGE = (
    select(charges)
    .where(charges.c.channel == bindparam("kind"), charges.c.out_trade_no == bindparam("number"))
    .with_for_update()
)
_REFUND = select(refunds).where(refunds.c.channel == bindparam("kind"), refunds.c.refund_no == bindparam("number"))
_CHANGE = (
    update(charges)
    .where(charges.c.id == bindparam("charge_id"))
    .values(
        state=bindparam("next_state"),
        captured_minor=bindparam("captured"),
        refunded_minor=bindparam("refunded"),
        updated_at_ms=bindparam("now_ms"),
    )
)
_INSERT_CHARGE = insert(charges)
_INSERT_REFUND = insert(refunds)
_INSERT_ENTRY = insert(entries)


def declines(out_trade_no: str, *, seed: int, share: float) -> bool:
    """Whether this number is one of the `share` (0..1) that the bank declines; the same in every replay."""
    digest = hashlib.sha256(f"{seed}:{out_trade_no}".encode()).digest()
    return int.from_bytes(digest[:8]) < share * 2**64


@dataclass(frozen=True, slots=True)
class Decliner:
    """The bank's mood at the moment of a request: which share of all numbers it declines."""

    seed: int
    share: float

    def declines(self, out_trade_no: str) -> bool:
        """Whether it declines this number."""
        return declines(out_trade_no, seed=self.seed, share=self.share)


class ChannelService:
    """One kind of channel, `card` or `wallet`, with its charges."""

    def __init__(self, name: ChannelName, database: Database, clock: Clock) -> None:
        self._name = name
        self._database = database
        self._clock = clock

    async def charge(self, request: ChargeRequest, decliner: Decliner) -> ChargeView:
        """Authorize a card or take a wallet's money.

        Raises Problem 402 `declined`, 409 `amount_conflict | cancelled`.
        """

        async def take(tx: Transaction) -> Row[Any]:
            known = await self._find(tx, request.out_trade_no)
            if known is None:
                known = await self._open(tx, request, declined=decliner.declines(request.out_trade_no))
            return known

        known = await self._database.run(take, after_duplicate=True)
        # Judged after the transaction, for a declined charge has to be remembered as well.
        return _view(_accepted(known, request))

    async def find(self, out_trade_no: str) -> ChargeView:
        """A charge as it stands. Problem 404 `charge_not_found`."""
        rows = await self._database.read(_CHARGE, {"kind": self._name, "number": out_trade_no})
        if not rows:
            raise _not_found(out_trade_no)
        return _view(rows[0])

    async def capture(self, out_trade_no: str) -> ChargeView:
        """Take what was authorized, all of it. Problem 404 `charge_not_found`, 409 `cancelled | declined`."""

        async def take(tx: Transaction) -> ChargeView:
            charge = await self._existing(tx, out_trade_no)
            if charge.state in {"captured", "refunded"}:
                return _view(charge)
            if charge.state != "authorized":
                raise _wrong_state(charge)
            await self._book(tx, "capture", charge, charge.authorized_minor)
            return _view(await self._change(tx, charge, "captured", captured_minor=charge.authorized_minor))

        return await self._database.run(take)

    async def void(self, out_trade_no: str) -> ChargeView:
        """Let an authorization go, or leave a tombstone. Problem 409 `already_captured` if the money was taken."""

        async def let_go(tx: Transaction) -> ChargeView:
            charge = await self._find(tx, out_trade_no)
            if charge is None:
                return _view(await self._bury(tx, out_trade_no))
            if charge.state == "authorized":
                return _view(await self._change(tx, charge, "voided"))
            if charge.state in {"captured", "refunded"}:
                raise Problem(409, "already_captured", "Already captured", f"{out_trade_no}: refund it")
            return _view(charge)

        return await self._database.run(let_go, after_duplicate=True)

    async def refund(self, out_trade_no: str, request: RefundRequest) -> RefundView:
        """Give captured money back.

        Raises Problem 404 `charge_not_found`, 409 `not_captured | refund_conflict | refund_exceeds_captured`.
        """

        async def give_back(tx: Transaction) -> RefundView:
            charge = await self._existing(tx, out_trade_no)
            earlier = (await tx.execute(_REFUND, {"kind": self._name, "number": request.refund_no})).one_or_none()
            if earlier is not None:
                return _refund_view(_same_refund(earlier, out_trade_no, request), charge)
            if charge.state not in {"captured", "refunded"}:
                raise Problem(409, "not_captured", "Nothing to refund", f"{out_trade_no} is {charge.state}")
            if charge.refunded_minor + request.amount_minor > charge.captured_minor:
                left_minor = charge.captured_minor - charge.refunded_minor
                raise Problem(409, "refund_exceeds_captured", "Refund too large", f"{left_minor} left to refund")
            return await self._give_back(tx, charge, request)

        return await self._database.run(give_back, after_duplicate=True)

    async def _find(self, tx: Transaction, out_trade_no: str) -> Row[Any] | None:
        return (await tx.execute(_CHARGE, {"kind": self._name, "number": out_trade_no})).one_or_none()

    async def _existing(self, tx: Transaction, out_trade_no: str) -> Row[Any]:
        charge = await self._find(tx, out_trade_no)
        if charge is None:
            raise _not_found(out_trade_no)
        return charge

    async def _open(self, tx: Transaction, request: ChargeRequest, *, declined: bool) -> Row[Any]:
        taken_at_once = self._name == "wallet" and not declined
        charge = await self._insert(
            tx,
            out_trade_no=request.out_trade_no,
            state="declined" if declined else "captured" if taken_at_once else "authorized",
            asked_minor=request.amount_minor,
            authorized_minor=0 if declined else request.amount_minor,
            captured_minor=request.amount_minor if taken_at_once else 0,
            currency=request.currency,
        )
        if taken_at_once:
            await self._book(tx, "payment", charge, request.amount_minor)
        return charge

    async def _bury(self, tx: Transaction, out_trade_no: str) -> Row[Any]:
        nothing = {"asked_minor": 0, "authorized_minor": 0, "captured_minor": 0}
        return await self._insert(tx, out_trade_no=out_trade_no, state="cancelled", currency="", **nothing)

    async def _insert(self, tx: Transaction, **values: object) -> Row[Any]:
        now_ms = self._clock.now_ms()
        common = {"channel": self._name, "refunded_minor": 0, "created_at_ms": now_ms, "updated_at_ms": now_ms}
        await tx.execute(_INSERT_CHARGE, {**common, **values})
        return await self._existing(tx, str(values["out_trade_no"]))

    async def _change(
        self,
        tx: Transaction,
        charge: Row[Any],
        state: str,
        *,
        captured_minor: int | None = None,
        refunded_minor: int | None = None,
    ) -> Row[Any]:
        change = {
            "charge_id": charge.id,
            "next_state": state,
            "captured": charge.captured_minor if captured_minor is None else captured_minor,
            "refunded": charge.refunded_minor if refunded_minor is None else refunded_minor,
            "now_ms": self._clock.now_ms(),
        }
        await tx.execute(_CHANGE, change)
        return await self._existing(tx, charge.out_trade_no)

    async def _give_back(self, tx: Transaction, charge: Row[Any], request: RefundRequest) -> RefundView:
        made = {**request.model_dump(), "channel": self._name, "refunded_at_ms": self._clock.now_ms()}
        await tx.execute(_INSERT_REFUND, {**made, "out_trade_no": charge.out_trade_no})
        await self._book(tx, "refund", charge, -request.amount_minor, request.refund_no)
        refunded_minor = charge.refunded_minor + request.amount_minor
        state = "refunded" if refunded_minor == charge.captured_minor else "captured"
        changed = await self._change(tx, charge, state, refunded_minor=refunded_minor)
        refund = (await tx.execute(_REFUND, {"kind": self._name, "number": request.refund_no})).one()
        return _refund_view(refund, changed)

    async def _book(
        self, tx: Transaction, kind: str, charge: Row[Any], amount_minor: int, refund_no: str | None = None
    ) -> None:
        entry = {
            "kind": kind,
            "channel": self._name,
            "out_trade_no": charge.out_trade_no,
            "refund_no": refund_no,
            "amount_minor": amount_minor,
            "currency": charge.currency,
            "booked_at_ms": self._clock.now_ms(),
        }
        await tx.execute(_INSERT_ENTRY, entry)


def _accepted(charge: Row[Any], request: ChargeRequest) -> Row[Any]:
    """The charge, if it answers the request; else the Problem that does."""
    if charge.state in {"voided", "cancelled"}:
        raise _wrong_state(charge)
    if (charge.asked_minor, charge.currency) != (request.amount_minor, request.currency):
        detail = f"{charge.out_trade_no} was used before with another amount or currency"
        raise Problem(409, "amount_conflict", "Same number, other amount", detail)
    if charge.state == "declined":
        raise Problem(402, "declined", "Declined", f"the bank declined {charge.out_trade_no}")
    return charge


def _same_refund(earlier: Row[Any], out_trade_no: str, request: RefundRequest) -> Row[Any]:
    if (earlier.out_trade_no, earlier.amount_minor) != (out_trade_no, request.amount_minor):
        detail = f"{request.refund_no} was used before for another charge or amount"
        raise Problem(409, "refund_conflict", "Same refund number, other refund", detail)
    return earlier


def _not_found(out_trade_no: str) -> Problem:
    return Problem(404, "charge_not_found", "No such charge", f"nothing is known of {out_trade_no}")


def _wrong_state(charge: Row[Any]) -> Problem:
    """409 with the code `cancelled` (void, cancelled) or `declined`."""
    code = "declined" if charge.state == "declined" else "cancelled"
    return Problem(409, code, f"The charge is {charge.state}", f"{charge.out_trade_no} is {charge.state}")


def _view(charge: Row[Any]) -> ChargeView:
    return ChargeView.model_validate({name: charge._mapping[name] for name in ChargeView.model_fields})


def _refund_view(refund: Row[Any], charge: Row[Any]) -> RefundView:
    return RefundView(
        refund_no=refund.refund_no,
        amount_minor=refund.amount_minor,
        refunded_at_ms=refund.refunded_at_ms,
        charge=_view(charge),
    )
