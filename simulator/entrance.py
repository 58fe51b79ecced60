"""What is looked at when a call comes in: the door of the replica that it has come to, and what memory spares it."""

from typing import TYPE_CHECKING, Any

from settlement.policies.codes import RATE_LIMITED
from settlement.policies.doors import Caller, DoorRules, retry_after_s
from simulator.calibration import CLIENT, Calibration
from simulator.doors import RETRY_AFTER_MS
from simulator.remembered import MEASURED_AS_HIT

if TYPE_CHECKING:
    from simulator.network import Call

BEGIN_PAYMENTS = {("gateway", "POST /payments"), ("gateway", "POST /payments/{gid}/refunds")}


class Entrance:
    """The way in for calls of one service to one route of another.

    `_caller`: whom they count for (None: nobody). `remembers`: memory may answer them.
    """

    __slots__ = (
        "_begins_payment",
        "_caller",
        "_can_be_full",
        "_counts_users",
        "_hit_share",
        "_miss_share",
        "_route",
        "remembers",
    )

    def __init__(self, caller: Caller | None, can_be_full: bool, service: str, route: str, spared: float) -> None:
        self._caller, self._can_be_full, self._route = caller, can_be_full, route
        self._counts_users = caller is Caller.USER
        self._begins_payment = (service, route) in BEGIN_PAYMENTS
        as_hit = MEASURED_AS_HIT.get((service, route))
        self.remembers = as_hit is not None
        self._hit_share, self._miss_share = (1.0, 1 / (1 - spared)) if as_hit else (1 - spared, 1.0)

    def refusal(self, call: "Call", now_s: float) -> tuple[int, dict[str, Any]] | None:
        """Past the door; or the refusal, status and body."""
        door, caller = call.target.door, self._caller
        if caller is not None:
            key = call.body["user_id"] if self._counts_users else call.source.process.address
            tallies = door.tallies.get(caller)
            refused = tallies.take(key, now_s * 1000) if tallies is not None else None
            if refused is not None:
                return 429, {"code": RATE_LIMITED, RETRY_AFTER_MS: retry_after_s(refused) * 1000.0}
        if self._can_be_full:
            call.entered_s = now_s
            for gate in door.gates_of_payments if self._begins_payment else door.gates:
                if not gate.try_enter():
                    return 503, door.turn_away(now_s)
                call.gates = (*call.gates, gate)
        return None

    def share(self, call: "Call") -> float:
        """What it costs, as a share of what the calibration says."""
        app = call.target.app
        return self._hit_share if app is not None and app.recalls(self._route, call.body) else self._miss_share


def entrance_of(source: str, service: str, route: str, figures: Calibration) -> Entrance | None:
    """How calls of `source` to `route` ("POST /payments") of `service` come in; None: nothing is looked at."""
    rules = DoorRules(service)
    method, path = route.split(" ", 1)
    caller = rules.caller(method, path, lambda: source == CLIENT) if rules.counts(path) else None
    can_be_full = rules.can_be_full(path)
    if caller is None and not can_be_full and (service, route) not in MEASURED_AS_HIT:
        return None
    return Entrance(caller, can_be_full, service, route, figures.assumed.cached_read_spares)
