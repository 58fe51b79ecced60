"""How one replica calls the others: what `settlement.chassis.http_client` does, in virtual time.

The registry's view, the balancer, the ejection of outliers, retry budgets, backoff and circuit breakers are the shipped
classes of `settlement.policies`, put together as the services put them together. A caller lives as long as its
process: whoever starts anew has a clean record of everybody. While nothing fails, a call costs a few comparisons.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from settlement.policies.balancer import LeastLoaded
from settlement.policies.circuit_breaker import Tuning
from settlement.policies.outlier import OutlierEjection
from settlement.policies.retry import (
    ATTEMPTS_MAX,
    BACKOFF_BASE_MS,
    BACKOFF_MAX_MS,
    RETRIED_STATUSES,
    TURNED_AWAY,
    TURNED_AWAY_CODES,
    pause_ms,
)
from settlement.protocol.shipped import PROTOCOLS
from simulator.directory import Directory
from simulator.inputs import SimulationInput
from simulator.kernel import Kernel
from simulator.peers import Peer
from simulator.replica import Replica
from simulator.views import View

if TYPE_CHECKING:
    from simulator.network import Call, Reply

REFRESH_PAUSE_S = 0.05
"""A service looks at the registry after a refused connection, but not more often than so."""
CLIENT_REFRESH_PAUSE_S = 0.2
SUSPICION_S = 1.0
"""A client passes over a replica that gave no answer for this long, if there is another."""


@dataclass(frozen=True)
class Manner:
    """How calls to a route are made. `repeats`: idempotent, so they are tried again also if nobody knows their fate.

    `must_arrive`: an open breaker does not hold them back, for they are repeated until they are heard.
    """

    repeats: bool = True
    must_arrive: bool = False


_MUST_ARRIVE = (
    "GET /transactions/", "GET /card/", "GET /wallet/", "POST /card/authorizations/", "POST /wallet/payments/",
)  # fmt: skip
_ONCE = ("POST /card/", "POST /wallet/", "POST /participant/charge")


def manner_of(route: str, protocol: str) -> Manner:
    """As the services call each other: reading, prepares and events are idempotent, new charges are not."""
    if route == "POST /participant/decision":
        return Manner(PROTOCOLS[protocol].repeats, must_arrive=True)
    return Manner(not route.startswith(_ONCE), route.startswith(_MUST_ARRIVE))


class Peers(dict[str, Peer]):
    """The services that a caller knows, made when they are first called."""

    def __init__(self, plan: SimulationInput) -> None:
        super().__init__()
        self._share = float(plan.setting("http.retry_budget_share"))
        self._tuning = Tuning(
            failure_share=plan.setting("http.breaker_failure_share"),
            calls_min=plan.setting("http.breaker_calls_min"),
            window_ms=plan.setting("http.breaker_window_ms"),
            open_ms=plan.setting("http.breaker_open_ms"),
            open_ms_max=plan.setting("http.breaker_open_max_ms"),
        )

    def __missing__(self, service: str) -> Peer:
        peer = self[service] = Peer(self._share, self._tuning)
        return peer


class ServiceCaller:
    """The calls of one replica of a service, for one life of its process."""

    def __init__(
        self, kernel: Kernel, directory: Directory, plan: SimulationInput, name: str, chance: Callable[[], float]
    ) -> None:
        self._kernel, self._chance = kernel, chance
        self.peers: Peers = Peers(plan)
        self._balancer, self._outliers = LeastLoaded(), OutlierEjection()
        self._counts = False
        self._wary_of: set[str] = set()
        self._resting_until_ms: dict[str, float] = {}
        self._view = View(kernel, directory, name, plan.setting_s("registry.refresh_interval_ms"), self._forget_gone)

    # -- whom -------------------------------------------------------------------------------------------------------

    def choose(self, service: str) -> Replica | None:
        """The replica to call: without the ejected the least loaded. None: nobody is known."""
        replicas = self._view.known.get(service)
        if replicas is None:
            self._view.refresh(REFRESH_PAUSE_S)
            replicas = self._view.known.get(service, ())
        if len(replicas) <= 1:
            return replicas[0] if replicas else None
        by_name = self._view.named(service)
        names = list(by_name)
        if self._wary_of or self._resting_until_ms:
            now_ms = self._kernel.now * 1000
            rested = [name for name in names if self._resting_until_ms.get(name, 0.0) <= now_ms] or names
            names = self._outliers.allowed(rested, now_ms)
        return by_name[self._balancer.pick(names)]

    def send(self, call: "Call") -> Replica | None:
        """Choose for an attempt that is made now."""
        replicas = self._view.known.get(call.path.service, ())
        if len(replicas) == 1:
            # Whoever is alone needs no counting; ending what was not counted changes nothing.
            call.target, call.sent = replicas[0], True
            return replicas[0]
        target = self.choose(call.path.service)
        if target is not None:
            call.target, call.sent = target, True
            self._balancer.started(target.name)
            self._counts = True
        return target

    def _forget_gone(self, names: set[str]) -> None:
        self._balancer.forget(names)
        self._outliers.forget(names)
        self._wary_of &= names
        self._resting_until_ms = {name: at_ms for name, at_ms in self._resting_until_ms.items() if name in names}

    # -- how it ended -----------------------------------------------------------------------------------------------

    def answered(self, call: "Call", reply: "Reply") -> bool:
        """There is an answer; False: the call is made again, because this is none that it could end with."""
        name = call.target.name
        call.sent = False
        if self._counts:
            self._balancer.ended(name)
        if reply.status >= 500 or reply.status == 429:
            return self._turned_down(call, reply, name)
        if name in self._wary_of:
            self._wary_of.discard(name)
            self._outliers.succeeded(name)
        if call.permit is not None and call.peer is not None:
            call.peer.worked(call.permit, self._kernel.now)
        return True

    def _turned_down(self, call: "Call", reply: "Reply", name: str) -> bool:
        turned_away = reply.status in TURNED_AWAY and reply.body.get("code") in TURNED_AWAY_CODES
        if turned_away:
            self._resting_until_ms[name] = self._kernel.now * 1000 + reply.body.get("retry_after_ms", 0.0)
        if reply.status >= 500 and not turned_away:
            self._wary_of.add(name)
            self._outliers.failed(name, self._kernel.now * 1000)
        self._said(call, worked=reply.status < 500)
        again = turned_away or (call.path.manner.repeats and reply.status in RETRIED_STATUSES)
        return not (again and self._again(call))

    def refused(self, call: "Call") -> bool:
        """Nobody listened; whether the call is made again: what was not executed may always be."""
        self._missed(call, refused=True)
        self._view.refresh(REFRESH_PAUSE_S)
        return self._again(call)

    def broken(self, call: "Call") -> bool:
        """The connection broke, nobody knows what became of it; whether the call is made again."""
        self._missed(call, refused=False)
        return call.path.manner.repeats and self._again(call)

    def gave_up(self, call: "Call") -> None:
        """The caller's patience is over."""
        if call.sent:
            self._missed(call, refused=False)
        else:
            self._said(call, worked=False)

    def _missed(self, call: "Call", *, refused: bool) -> None:
        name = call.target.name
        call.sent = False
        self._balancer.ended(name)
        self._wary_of.add(name)
        self._outliers.failed(name, self._kernel.now * 1000, refused=refused)
        self._said(call, worked=False)

    def _said(self, call: "Call", *, worked: bool) -> None:
        permit, call.permit = call.permit, None
        if permit is not None and call.peer is not None:
            (call.peer.worked if worked else call.peer.failed)(permit, self._kernel.now)

    def unlisted(self, call: "Call") -> bool:
        """Nobody is known of the service; whether the call is made again."""
        permit, call.permit = call.permit, None
        if permit is not None and call.peer is not None:
            call.peer.abandoned(permit)
        return self._again(call)

    def _again(self, call: "Call") -> bool:
        """Within budget and time: put the next attempt on the agenda."""
        if call.attempt >= ATTEMPTS_MAX or call.peer is None:
            return False
        now_ms = self._kernel.now * 1000
        rest_ms = self._rest_ms(call.path.service, now_ms)
        wait_ms = pause_ms(call.attempt, BACKOFF_BASE_MS, BACKOFF_MAX_MS, self._chance(), rest_ms)
        if now_ms + wait_ms >= call.until_s * 1000 or not call.peer.try_withdraw():
            return False
        call.attempt += 1
        call.source.process.later(wait_ms / 1000, call.network.again, call)
        return True

    def _rest_ms(self, service: str, now_ms: float) -> float:
        """How long all replicas of a service have asked to be left alone."""
        if not self._resting_until_ms:
            return 0.0
        replicas = self._view.known.get(service, ())
        rests_ms = [self._resting_until_ms.get(replica.name, now_ms) - now_ms for replica in replicas]
        return max(0.0, min(rests_ms, default=0.0))


class NoPeers(dict[str, None]):
    """A client knows of services only where they are."""

    def __missing__(self, service: str) -> None:
        self[service] = None


class ClientCaller:
    """The calls of the load generator: in turns, passing over who gave no answer; an attempt is the client's own."""

    def __init__(self, kernel: Kernel, directory: Directory, plan: SimulationInput, name: str) -> None:
        self._kernel = kernel
        self.peers: NoPeers = NoPeers()
        self._turns = LeastLoaded()
        self._suspect_until_s: dict[str, float] = {}
        # It looks when somebody did not answer, and only then.
        self._view = View(kernel, directory, name, plan.setting_s("registry.refresh_interval_ms"), self._turns.forget)

    def choose(self, service: str) -> Replica | None:
        """The next in turn; None: nobody is known."""
        replicas = self._view.known.get(service, ())
        if len(replicas) <= 1:
            return replicas[0] if replicas else None
        if self._suspect_until_s:
            now_s, until_s = self._kernel.now, self._suspect_until_s
            replicas = tuple(each for each in replicas if until_s.get(each.name, now_s) <= now_s) or replicas
            by_name = {replica.name: replica for replica in replicas}
        else:
            by_name = self._view.named(service)
        return by_name[self._turns.pick(list(by_name))]

    def send(self, call: "Call") -> Replica | None:
        """Choose for an attempt that is made now."""
        target = self.choose(call.path.service)
        if target is not None:
            call.target, call.sent = target, True
        return target

    def answered(self, call: "Call", reply: "Reply") -> bool:
        """There is an answer: the client's to judge."""
        return True

    def refused(self, call: "Call") -> bool:
        """Nobody listened."""
        self.gave_up(call)
        return False

    def broken(self, call: "Call") -> bool:
        """The connection broke."""
        return self.refused(call)

    def unlisted(self, call: "Call") -> bool:
        """Nobody is known of the service."""
        self._view.refresh(CLIENT_REFRESH_PAUSE_S)
        return False

    def gave_up(self, call: "Call") -> None:
        """The client's patience is over."""
        if call.sent:
            self._suspect_until_s[call.target.name] = self._kernel.now + SUSPICION_S
        self._view.refresh(CLIENT_REFRESH_PAUSE_S)
