"""What a replica counts about itself, for Prometheus: RED (rate, errors, duration) per route and per peer, and gauges.

Every name begins with `paylab_`, counters end in `_total`, units stand last (`_seconds`, `_bytes`); only what
`prometheus_client` itself reads from the operating system keeps its usual `process_` names. docs/metrics.md lists
them all, and a test compares the list with what running services expose.

What has to be looked up (in a database, a pool) is looked up when somebody scrapes, not all the time: `at_exposition`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest
from structlog.typing import FilteringBoundLogger

LATENCY_BUCKETS_S: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
# Anybody may scrape: however often that happens, the databases are asked once in this time.
LOOKED_UP_EVERY_S: Final = 1.0

LAG_MEASURED_EVERY_S: Final = 0.5

LookUp = Callable[[], Awaitable[None]]


class Metrics:
    """The metrics of one replica; children are cached so that counting a request costs a few microseconds."""

    def __init__(self, service: str, replica: str) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        Gauge("paylab_replica_info", "Which replica this is", ["service", "replica"], registry=self.registry).labels(
            service, replica
        ).set(1)
        self._requests = Counter(
            "paylab_http_requests", "Requests answered", ["method", "route", "status"], registry=self.registry
        )
        self._durations = Histogram(
            "paylab_http_request_duration_seconds", "Time to answer a request", ["method", "route"],
            registry=self.registry, buckets=LATENCY_BUCKETS_S,
        )  # fmt: skip
        self.in_flight = Gauge("paylab_http_requests_in_flight", "Requests being answered", registry=self.registry)
        self._calls = Histogram(
            "paylab_http_client_call_duration_seconds",
            "Attempts to call another service, and how long each took; outcome is a status class, not_sent or unknown",
            ["peer", "outcome"], registry=self.registry, buckets=LATENCY_BUCKETS_S,
        )  # fmt: skip
        self._count_children: dict[tuple[str, str, int], Counter] = {}
        self._duration_children: dict[tuple[str, str], Histogram] = {}
        self._call_children: dict[tuple[str, str], Histogram] = {}
        self._look_ups: list[LookUp] = []
        self._looked_up_s = float("-inf")

    def request_answered(self, method: str, route: str, status: int, duration_s: float) -> None:
        """Count one answered request."""
        count = self._count_children.get((method, route, status))
        if count is None:
            count = self._count_children[method, route, status] = self._requests.labels(method, route, status)
        count.inc()
        duration = self._duration_children.get((method, route))
        if duration is None:
            duration = self._duration_children[method, route] = self._durations.labels(method, route)
        duration.observe(duration_s)

    def call_made(self, peer: str, outcome: str, duration_s: float) -> None:
        """Count one attempt to call another service; outcome is a status class, `not_sent` or `unknown`."""
        child = self._call_children.get((peer, outcome))
        if child is None:
            child = self._call_children[peer, outcome] = self._calls.labels(peer, outcome)
        child.observe(duration_s)

    def at_exposition(self, look_up: LookUp) -> None:
        """Have `look_up` set its gauges before the metrics are shown, at most once in LOOKED_UP_EVERY_S."""
        self._look_ups.append(look_up)

    async def exposition(self, log: FilteringBoundLogger) -> bytes:
        """All metrics in Prometheus' text format. A gauge that cannot be looked up keeps its last value."""
        now_s = time.monotonic()
        if now_s - self._looked_up_s >= LOOKED_UP_EVERY_S:
            self._looked_up_s = now_s
            for look_up in self._look_ups:
                await self._looked_up(look_up, log)
        return generate_latest(self.registry)

    async def _looked_up(self, look_up: LookUp, log: FilteringBoundLogger) -> None:
        try:
            await look_up()
        except Exception as error:  # noqa: BLE001 - metrics must be readable while everything else is broken
            log.warning("metric_not_looked_up", error=f"{type(error).__name__}: {error}")


async def watch_event_loop(metrics: Metrics) -> None:
    """Measure for ever how much later than asked for a sleeper wakes: what every request waits for the loop."""
    lag = Gauge(
        "paylab_event_loop_lag_seconds", "How late the event loop woke a sleeper, last measured",
        registry=metrics.registry,
    )  # fmt: skip
    while True:
        asked_s = time.monotonic() + LAG_MEASURED_EVERY_S
        await asyncio.sleep(LAG_MEASURED_EVERY_S)
        lag.set(max(0.0, time.monotonic() - asked_s))
