"""Which payments are begun: no more than can be decided in time.

Past its capacity a coordinator that begins everything finishes nothing: each transaction waits for all the others, the
prepare timeout strikes when most of the work is done, and the aborts are work as well. What is thrown away grows with
the load, and the platform stays down for as long as the clients come back. So a payment is turned away before its
record exists, while its client can simply ask again with the same key.

Adaptive, as by default, the number of undecided payments follows their latency: it is held where a decision takes at
most half of the prepare timeout, but never below `gateway.admission_min`: a channel that answers late is as slow for
few as for many, and turning payments away would not make it faster. Fixed, it is a number.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from prometheus_client import Gauge

from settlement.policies.concurrency_limit import Gate
from settlement.policies.doors import payments_limit

if TYPE_CHECKING:
    from settlement.chassis.app import Chassis


class PaymentAdmission:
    """Around every payment and refund from its beginning to its decision."""

    def __init__(self, chassis: Chassis) -> None:
        self._chassis = chassis
        self._gate: Gate | None = None
        self._applied: tuple[str, int, int] = ("off", 0, 0)
        self._follow()
        chassis.settings.on_change(self._follow)
        limit = Gauge(
            "paylab_payments_undecided_limit", "Payments that may be undecided here; 0: any",
            registry=chassis.metrics.registry,
        )  # fmt: skip
        limit.set_function(lambda: self._gate.limit if self._gate is not None else 0)

    @contextmanager
    def begun(self) -> Iterator[None]:
        """Around the work. Raises Problem 503 `overloaded`: nothing was begun."""
        gate, clock = self._gate, self._chassis.clock
        if gate is None:
            yield
            return
        if not gate.try_enter():
            raise self._chassis.admission.turn_away("payments")
        began_ms = clock.monotonic_ms()
        try:
            yield
        finally:
            now_ms = clock.monotonic_ms()
            gate.leave(now_ms - began_ms, now_ms)

    def _follow(self) -> None:
        settings = self._chassis.settings
        mode, value = settings.text("gateway.admission_mode"), settings.integer("gateway.admission_max")
        least = settings.integer("gateway.admission_min")
        if (mode, value, least) == self._applied:
            return  # What was learned is kept.
        self._applied = (mode, value, least)
        limit = payments_limit(mode, value, least, self._prepare_timeout_ms)
        if limit is None:
            self._gate = None
        elif self._gate is None:
            self._gate = Gate(limit)
        else:
            self._gate.follow(limit)

    def _prepare_timeout_ms(self) -> float:
        return self._chassis.settings.integer("gateway.prepare_timeout_ms")
