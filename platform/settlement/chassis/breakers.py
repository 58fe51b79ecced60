"""The circuit breakers of one replica, one for each service that it calls.

Per service, not per replica: a single bad replica is the business of outlier ejection, which never takes away more than
half of them. The breaker answers the other question, whether it makes sense to call the service at all; while it is
open callers learn within microseconds what they would otherwise wait a whole timeout for.

What has to arrive sooner or later (a decision, the release of money) passes an open breaker: whoever sends it comes
back with pauses of its own until it was heard, and giving up is no choice it has.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from prometheus_client import Counter, Gauge

from settlement.chassis.clock import Clock
from settlement.chassis.live_settings import LiveSettings
from settlement.chassis.metrics import Metrics
from settlement.chassis.transport import CallFailed, NotSent
from settlement.policies.circuit_breaker import CircuitBreaker, State, Tuning

_GAUGE_OF: Final = {State.CLOSED: 0, State.HALF_OPEN: 1, State.OPEN: 2}


class BreakerOpen(NotSent):
    """The service was not called, because it has failed too often of late."""


class Attempt:
    """One call on its way; whoever makes it says in the end whether the service worked."""

    def __init__(self) -> None:
        self.worked: bool | None = None


class Breakers:
    """Circuit breakers by service."""

    def __init__(self, settings: LiveSettings, metrics: Metrics, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._breakers: dict[str, CircuitBreaker] = {}
        self._states = Gauge(
            "paylab_breaker_state",
            "Circuit breaker: 0 closed, 1 half open, 2 open",
            ["peer"],
            registry=metrics.registry,
        )
        self._refused = Counter(
            "paylab_breaker_refused", "Calls not made because a breaker was open", ["peer"], registry=metrics.registry
        )
        settings.on_change(self._follow)

    def is_open(self, service: str) -> bool:
        """Whether a call to this service would be refused now."""
        breaker = self._breakers.get(service)
        return breaker is not None and breaker.is_open(self._clock.monotonic_ms())

    @contextmanager
    def attempt(self, service: str, *, must_arrive: bool) -> Iterator[Attempt]:
        """Around one call. Raises BreakerOpen, except for what must arrive."""
        attempt = Attempt()
        if must_arrive:
            yield attempt
            return
        breaker = self._breaker(service)
        permit = breaker.ask(self._clock.monotonic_ms())
        if permit is None:
            self._refused.labels(service).inc()
            raise BreakerOpen(f"{service} has failed too often; it is left alone for a moment")
        try:
            yield attempt
        except CallFailed:
            attempt.worked = False
            raise
        finally:
            now_ms = self._clock.monotonic_ms()
            if attempt.worked is None:
                breaker.abandoned(permit)
            elif attempt.worked:
                breaker.succeeded(permit, now_ms)
            else:
                breaker.failed(permit, now_ms)
            self._states.labels(service).set(_GAUGE_OF[breaker.state])

    def _breaker(self, service: str) -> CircuitBreaker:
        breaker = self._breakers.get(service)
        if breaker is None:
            breaker = self._breakers[service] = CircuitBreaker(self._tuning())
        return breaker

    def _follow(self) -> None:
        tuning = self._tuning()
        for breaker in self._breakers.values():
            breaker.follow(tuning)

    def _tuning(self) -> Tuning:
        read = self._settings.integer
        return Tuning(
            failure_share=self._settings.number("http.breaker_failure_share"),
            calls_min=read("http.breaker_calls_min"),
            window_ms=read("http.breaker_window_ms"),
            open_ms=read("http.breaker_open_ms"),
            open_ms_max=read("http.breaker_open_max_ms"),
        )
