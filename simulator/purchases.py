"""Rival clients: one order paid twice at once, one account spent by several, one idempotency key used from two places.

A purchase checks out once and then makes all its attempts, each at its own time and none waiting for another. Attempts
with equal keys are the same operation asked for in parallel (a second click, a phone and a laptop): they must be told
the same. Attempts with different keys are rivals, of which one can win.
"""

import math
from typing import Any

from simulator.clients import Journey, Operation, Order, StepFailed
from simulator.inputs import Arrival, Attempt, Purchase, SimulationInput
from simulator.kernel import Kernel, Steps
from simulator.network import Network
from simulator.recorder import Recorder
from simulator.replica import Replica

CHECK_OUTS_MAX = 5
CHECK_OUT_PAUSE_S = 0.3


class Shoppers:
    """Everybody who makes the purchases of a plan. `unfinished` are those still at it, by key."""

    def __init__(
        self,
        kernel: Kernel,
        network: Network,
        source: Replica,
        plan: SimulationInput,
        recorder: Recorder,
        interrupted: dict[int, Operation],
    ) -> None:
        self._kernel, self._network, self._source = kernel, network, source
        self._plan, self._recorder = plan, recorder
        self._interrupted = interrupted
        self.unfinished = {purchase.key: purchase for purchase in plan.purchases}

    def start(self) -> None:
        """Put every purchase on the agenda."""
        for purchase in self._plan.purchases:
            self._kernel.at(purchase.at_s, self._release(purchase))

    def _release(self, purchase: Purchase) -> Any:
        return lambda: self._source.process.spawn(self._buy(purchase))

    def _buy(self, purchase: Purchase) -> Steps[None]:
        order = yield from self._check_out(purchase)
        if order is not None:
            gid = yield from self._all_of(purchase, "pay", order, "")
            if gid:
                yield from self._all_of(purchase, "refund", order, gid)
        del self.unfinished[purchase.key]

    def _check_out(self, purchase: Purchase) -> Steps[Order | None]:
        """An order is worth several tries: without one there is nothing to fight for."""
        for _ in range(CHECK_OUTS_MAX):
            journey = self._journey(purchase, purchase.attempts[0], purchase.key)
            try:
                return (yield from journey.check_out())
            except StepFailed:
                yield self._source.process.sleep(CHECK_OUT_PAUSE_S)
        return None

    def _all_of(self, purchase: Purchase, kind: str, order: Order, gid: str) -> Steps[str]:
        """All attempts of one kind at once; the gid of one that succeeded, or ''."""
        attempts = [attempt for attempt in purchase.attempts if attempt.kind == kind]
        tries = [self._source.process.spawn(self._try(purchase, attempt, order, gid)) for attempt in attempts]
        won = ""
        for future in tries:
            won = (yield future) or won
        return won

    def _try(self, purchase: Purchase, attempt: Attempt, order: Order, gid: str) -> Steps[str]:
        yield self._source.process.sleep(attempt.after_s)
        journey = self._journey(purchase, attempt, attempt.key)
        return (yield from (journey.refund(order, gid) if attempt.kind == "refund" else journey.pay(order)))

    def _journey(self, purchase: Purchase, attempt: Attempt, key: str) -> Journey:
        journey = Journey(self._kernel, self._network, self._source, self._plan, self._recorder, self._interrupted)
        journey.cautious = True
        journey.patience_s = math.inf if attempt.patience_s is None else attempt.patience_s
        arrival = Arrival(
            0, purchase.at_s, attempt.kind, attempt.method, purchase.goods_id, purchase.count, key
        )  # its number would count open arrivals
        journey.set_out(purchase.user_id, arrival, self._kernel.now)
        return journey
