"""The outside world: a bank's cards and a wallet, each with its own ledger of charges.

    card     authorize -> authorized -> captured (-> refunded), or -> voided
    wallet   pay       -> captured (-> refunded)

Everything is idempotent by its number. A void or cancel of a number never seen leaves a tombstone, so that the request
it was meant for is refused if it comes later.
"""

import hashlib
from dataclasses import dataclass, field
from typing import Any

from simulator.kernel import Steps
from simulator.replica import Replica
from simulator.service import Answer, Platform, Service, problem


@dataclass(slots=True)
class Charge:
    """One row of the channel's own ledger."""

    channel: str
    out_trade_no: str
    state: str
    asked_minor: int = 0
    authorized_minor: int = 0
    captured_minor: int = 0
    refunded_minor: int = 0
    currency: str = ""
    updated_s: float = 0.0

    @property
    def view(self) -> dict[str, Any]:
        """What the channel answers about it."""
        return {
            "out_trade_no": self.out_trade_no,
            "state": self.state,
            "captured_minor": self.captured_minor,
            "refunded_minor": self.refunded_minor,
        }


@dataclass
class ChannelStore:
    """The channel's database."""

    charges: dict[tuple[str, str], Charge] = field(default_factory=dict)
    refunds: dict[tuple[str, str], int] = field(default_factory=dict)


class Channel(Service):
    """A replica of the channel. Requests are dicts with `out_trade_no` and what else the route needs."""

    def __init__(self, platform: Platform, replica: Replica, store: ChannelStore) -> None:
        super().__init__(platform, replica)
        self._store = store
        plan = platform.plan
        self._latency_s, self._seed = plan.setting_s("channel.latency_ms"), plan.setting("channel.seed")
        self._declined_below = float(plan.setting("channel.decline_share")) * 2**64
        card, wallet = "/card/authorizations", "/wallet/payments"
        self.routes = {
            f"POST {card}": lambda body: self._answer("card", body, self._charge),
            f"GET {card}/{{out_trade_no}}": lambda body: self._answer("card", body, self._find),
            f"POST {card}/{{out_trade_no}}/capture": lambda body: self._answer("card", body, self._capture),
            f"POST {card}/{{out_trade_no}}/void": lambda body: self._answer("card", body, self._void),
            f"POST {card}/{{out_trade_no}}/refunds": lambda body: self._answer("card", body, self._refund),
            f"POST {wallet}": lambda body: self._answer("wallet", body, self._charge),
            f"GET {wallet}/{{out_trade_no}}": lambda body: self._answer("wallet", body, self._find),
            f"POST {wallet}/{{out_trade_no}}/cancel": lambda body: self._answer("wallet", body, self._void),
            f"POST {wallet}/{{out_trade_no}}/refunds": lambda body: self._answer("wallet", body, self._refund),
        }

    def _answer(self, channel: str, body: dict[str, Any], act: Any) -> Steps[Answer]:
        if self._latency_s:
            yield self.process.sleep(self._latency_s)
        if self.process.database is not None:
            yield self.process.database.connect()
        charge = self._store.charges.get((channel, body["out_trade_no"]))
        before = charge and charge.view
        answer: Answer = act(channel, charge, body)
        if charge is not None and charge.view != before:
            charge.updated_s = self.platform.kernel.now
        yield self.committed
        return answer

    def _charge(self, channel: str, charge: Charge | None, body: dict[str, Any]) -> Answer:
        if charge is None:
            charge = self._open(channel, body)
        if charge.state in ("voided", "cancelled"):
            return problem(409, "cancelled")
        if (charge.asked_minor, charge.currency) != (body["amount_minor"], body["currency"]):
            return problem(409, "amount_conflict")
        return problem(402, "declined") if charge.state == "declined" else (201, charge.view, None)

    def _open(self, channel: str, body: dict[str, Any]) -> Charge:
        number, amount_minor = body["out_trade_no"], body["amount_minor"]
        charge = Charge(channel, number, "authorized", amount_minor, amount_minor, currency=body["currency"])
        if self._declines(number):
            charge.state, charge.authorized_minor = "declined", 0
        elif channel == "wallet":
            charge.state, charge.captured_minor = "captured", amount_minor
        return self._insert(charge)

    def _insert(self, charge: Charge) -> Charge:
        charge.updated_s = self.platform.kernel.now
        self._store.charges[charge.channel, charge.out_trade_no] = charge
        return charge

    def _declines(self, number: str) -> bool:
        if not self._declined_below:
            return False
        digest = hashlib.sha256(f"{self._seed}:{number}".encode()).digest()
        return int.from_bytes(digest[:8]) < self._declined_below

    def _find(self, channel: str, charge: Charge | None, body: dict[str, Any]) -> Answer:
        return problem(404, "charge_not_found") if charge is None else (200, charge.view, None)

    def _capture(self, channel: str, charge: Charge | None, body: dict[str, Any]) -> Answer:
        if charge is None:
            return problem(404, "charge_not_found")
        if charge.state == "authorized":
            charge.state, charge.captured_minor = "captured", charge.authorized_minor
        elif charge.state not in ("captured", "refunded"):
            return problem(409, "declined" if charge.state == "declined" else "cancelled")
        return 200, charge.view, None

    def _void(self, channel: str, charge: Charge | None, body: dict[str, Any]) -> Answer:
        if charge is None:
            charge = self._insert(Charge(channel, body["out_trade_no"], "cancelled"))
        elif charge.state == "authorized":
            charge.state = "voided"
        elif charge.state in ("captured", "refunded"):
            return problem(409, "already_captured")
        return 200, charge.view, None

    def _refund(self, channel: str, charge: Charge | None, body: dict[str, Any]) -> Answer:
        if charge is None:
            return problem(404, "charge_not_found")
        if (channel, body["refund_no"]) in self._store.refunds:
            return 200, charge.view, None
        if charge.state not in ("captured", "refunded"):
            return problem(409, "not_captured")
        if charge.refunded_minor + body["amount_minor"] > charge.captured_minor:
            return problem(409, "refund_exceeds_captured")
        self._store.refunds[channel, body["refund_no"]] = body["amount_minor"]
        charge.refunded_minor += body["amount_minor"]
        charge.state = "refunded" if charge.refunded_minor == charge.captured_minor else "captured"
        return 201, charge.view, None
