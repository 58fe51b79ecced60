"""Risk: what the gateway asks before a payment begins, what it does without an answer, and the service that it asks.

Modes, timeout and the switch `degrade.risk` are the platform's. The service lets every payment pass, as with no rules:
what it costs is the question here, not what it says.
"""

from typing import Any

from settlement.policies.codes import RISK_UNAVAILABLE
from settlement.policies.degradation import Mode, is_degraded
from settlement.policies.doors import RETRY_AFTER_S
from simulator.doors import RETRY_AFTER_MS
from simulator.kernel import Steps
from simulator.network import NotSent, Reply, Unknown
from simulator.replica import Replica
from simulator.service import Answer, Platform, Service, problem

ROUTE = "POST /assessments"
ALLOWED: Answer = (200, {"verdict": "allow"}, None)


class RiskGate:
    """Lets payments of one gateway pass as risk says; `asks`: whether anybody is asked at all."""

    def __init__(self, platform: Platform, replica: Replica) -> None:
        plan = platform.plan
        self._kernel, self._network, self._replica = platform.kernel, platform.network, replica
        mode = plan.setting("gateway.risk_mode")
        self.asks, self._goes_on = mode != "off", mode == "fail_open"
        self._timeout_s = plan.setting_s("gateway.risk_timeout_ms")
        self._switch = Mode(plan.setting("degrade.risk"))

    def admit(self, about: dict[str, Any]) -> Steps[Answer | None]:
        """None: the payment may begin. Else the refusal, with nothing begun."""
        peer = self._replica.caller.peers["risk"]
        if not is_degraded(self._switch, in_trouble=peer.is_open(self._kernel.now)):
            try:
                reply: Reply = yield self._network.call(self._replica, "risk", ROUTE, about, self._timeout_s)
            except (NotSent, Unknown):
                pass
            else:
                if reply.status == 200 and reply.body["verdict"] == "allow":
                    return None
        return None if self._goes_on else problem(503, RISK_UNAVAILABLE, **{RETRY_AFTER_MS: RETRY_AFTER_S * 1000.0})


class Risk(Service):
    """A replica of risk."""

    def __init__(self, platform: Platform, replica: Replica) -> None:
        super().__init__(platform, replica)
        self.routes = {ROUTE: self._assess}

    def _assess(self, body: dict[str, Any]) -> Steps[Answer]:
        if self.process.database is None:
            # An allowing assessment does not wait for the disk (docs/decisions/0012).
            yield self.process.work(self.platform.commit_s)
        else:
            yield self.process.database.connect()
            yield self.committed
        return ALLOWED
