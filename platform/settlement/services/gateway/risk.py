"""Asking risk before a payment begins, and what to do without an answer.

    gateway.risk_mode   off           nobody is asked
                        fail_open     without an answer the payment goes on, counted and marked `unassessed`
                        fail_closed   without an answer it is refused (503), with nothing begun

Without an answer means: not within `gateway.risk_timeout_ms`, or not asked, because the switch `degrade.risk` says so;
left to itself it does while the circuit breaker for risk is open. A verdict is always obeyed. Refunds are not assessed:
they give money back to where it came from.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final

from prometheus_client import Counter

from settlement.chassis.http_client import CallFailed
from settlement.chassis.problems import Problem
from settlement.policies.codes import RISK_UNAVAILABLE

if TYPE_CHECKING:
    from settlement.chassis.app import Chassis
    from settlement.services.gateway.schemas import PaymentRequest

OFF: Final = "off"
ALLOWED: Final = "allowed"
UNASSESSED: Final = "unassessed"


class RiskGate:
    """Lets payments pass as risk says."""

    def __init__(self, chassis: Chassis) -> None:
        self._chassis = chassis
        self._outcomes = Counter(
            "paylab_gateway_risk_verdicts", "Payments by what risk said", ["verdict"], registry=chassis.metrics.registry
        )

    async def admit(self, user_id: int, request: PaymentRequest, key: str, fingerprint: str) -> str:
        """How the payment was let through: `allowed`, `unassessed` or `off`.

        Raises Problem 403 `risk_denied | risk_review`, 503 `risk_unavailable`.
        """
        if self._chassis.settings.text("gateway.risk_mode") == OFF:
            return OFF
        verdict = await self._verdict(user_id, request, _payment_key(user_id, key, fingerprint))
        self._outcomes.labels(verdict).inc()
        if verdict == "allow":
            return ALLOWED
        if verdict == UNASSESSED:
            return self._without_verdict()
        # Which rules fired is for operators: told to a customer, it would tell how to get around them.
        if verdict == "review":
            raise Problem(403, "risk_review", "This payment has to be looked at first", "nothing was charged")
        raise Problem(403, "risk_denied", "This payment is not let through", "nothing was charged")

    async def _verdict(self, user_id: int, request: PaymentRequest, payment_key: str) -> str:
        if self._chassis.degradation.active("risk"):
            return self._unassessed(request, "degraded")
        asked = {
            "payment_key": payment_key,
            "user_id": user_id,
            "order_no": request.order_no,
            "amount_minor": request.amount_minor,
            "currency": request.currency,
            "method": request.method,
        }
        timeout_ms = self._chassis.settings.integer("gateway.risk_timeout_ms")
        try:
            reply = await self._chassis.client.call(
                "risk", "POST", "/assessments", json=asked, timeout_ms=timeout_ms, idempotent=True
            )
        except CallFailed as error:
            return self._unassessed(request, str(error))
        verdict = reply.json.get("verdict") if reply.status == 200 and isinstance(reply.json, dict) else None
        if verdict not in ("allow", "review", "deny"):
            return self._unassessed(request, f"answered {reply.status}")
        return str(verdict)

    def _unassessed(self, request: PaymentRequest, why: str) -> str:
        self._chassis.log.warning("payment_not_assessed", order_no=request.order_no, error=why)
        return UNASSESSED

    def _without_verdict(self) -> str:
        if self._chassis.settings.text("gateway.risk_mode") == "fail_open":
            return UNASSESSED
        detail = "nothing was begun; the same request may be repeated"
        raise Problem(503, RISK_UNAVAILABLE, "Payments cannot be assessed now", detail, headers={"Retry-After": "1"})


def _payment_key(user_id: int, key: str, fingerprint: str) -> str:
    """The payment's name for risk: the same for the same request of the same user under the same key."""
    return hashlib.sha256(f"{user_id}\n{key}\n{fingerprint}".encode()).hexdigest()
