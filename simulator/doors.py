"""The door of a replica: rate limits for each caller, a limit of what it does at a time, and one of undecided payments.

As in `chassis/admission`, and in the gateway's own admission of payments and refunds, from beginning to decision.
Rules, limits and buckets are the shipped ones of `settlement.policies`, driven by the same settings. Whom nothing
limits costs next to nothing: a full bucket lets its next `burst` requests in whenever they come, so it is looked at
only after so many.
"""

from collections.abc import Callable
from typing import Any

from settlement.policies.codes import OVERLOADED
from settlement.policies.concurrency_limit import Gate, Limit
from settlement.policies.doors import (
    RETRY_AFTER_S,
    TROUBLE_MS,
    Caller,
    concurrency_limit,
    payments_limit,
)
from settlement.policies.token_bucket import Taken, TokenBuckets

RETRY_AFTER_MS = "retry_after_ms"
"""Where the body of a refusal carries its Retry-After."""

FULL: dict[str, Any] = {"code": OVERLOADED, RETRY_AFTER_MS: RETRY_AFTER_S * 1000.0}


class Tally:
    """One caller's bucket: `sure` more requests are let in whenever they come; `noted` are those not told to it yet."""

    __slots__ = ("noted", "sure")

    def __init__(self, sure: int) -> None:
        self.sure = sure
        self.noted: list[float] = []


class Tallies:
    """The shipped token buckets by key, told of requests only when one of them might be refused."""

    def __init__(self, rate_per_s: float, burst: int) -> None:
        self._rate_per_s, self._burst = rate_per_s, burst
        self._buckets = TokenBuckets()
        self._tallies: dict[Any, Tally] = {}

    def take(self, key: Any, now_ms: float) -> Taken | None:
        """Ask for a token; None: it was given."""
        tally = self._tallies.get(key)
        if tally is None:
            tally = self._tallies[key] = Tally(self._burst)
        if tally.sure > 0:
            tally.sure -= 1
            tally.noted.append(now_ms)
            return None
        name = str(key)
        for at_ms in tally.noted:
            self._buckets.take(name, at_ms, self._rate_per_s, self._burst)
        tally.noted.clear()
        taken = self._buckets.take(name, now_ms, self._rate_per_s, self._burst)
        tally.sure = taken.remaining
        return None if taken.allowed else taken


class Door:
    """The door of one replica, for one life of its process.

    `gate` limits how much is in progress, `payments` how many of them are undecided; None: nothing does. `gates` are
    those that there are for most requests, `gates_of_payments` for those that begin a payment. `tallies` count requests
    by who is limited.
    """

    def __init__(self, setting: Callable[[str], Any]) -> None:
        self.gate = _gate(concurrency_limit(setting("limit.concurrency_mode"), setting("limit.concurrency_max")))
        timeout_ms, payments_min = setting("gateway.prepare_timeout_ms"), setting("gateway.admission_min")
        mode, payments_max = setting("gateway.admission_mode"), setting("gateway.admission_max")
        self.payments = _gate(payments_limit(mode, payments_max, payments_min, lambda: float(timeout_ms)))
        self.gates = tuple(gate for gate in (self.gate,) if gate is not None)
        self.gates_of_payments = tuple(gate for gate in (self.gate, self.payments) if gate is not None)
        # Nobody opens an account or a session on the way of a journey.
        limits = {
            Caller.USER: (setting("limit.user_rate_per_s"), setting("limit.user_burst")),
            Caller.ADDRESS: (setting("limit.address_rate_per_s"), setting("limit.address_burst")),
            Caller.SERVICE: (setting("limit.service_rate_per_s"), setting("limit.service_burst")),
        }
        self.tallies = {
            caller: Tallies(float(rate_per_s), burst)
            for caller, (rate_per_s, burst) in limits.items()
            if rate_per_s > 0
        }
        self._turned_away_at_s = float("-inf")

    def turn_away(self, now_s: float) -> dict[str, Any]:
        """There is no time for a request: the body of its 503."""
        self._turned_away_at_s = now_s
        return FULL

    def overloaded(self, now_s: float) -> bool:
        """Whether somebody was turned away for want of time within the last second."""
        return (now_s - self._turned_away_at_s) * 1000 < TROUBLE_MS


def _gate(limit: Limit | None) -> Gate | None:
    return Gate(limit) if limit is not None else None
