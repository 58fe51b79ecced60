"""Logs as JSON lines on stdout, and RED metrics (rate, errors, duration) per route for Prometheus.

A line costs about 20 microseconds, so there is one per state-changing request and none per read.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping, MutableMapping
from datetime import UTC, datetime
from typing import Any, Final

import orjson
import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from structlog.typing import FilteringBoundLogger

from settlement.chassis.trace import current_trace

LATENCY_BUCKETS_S: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


def _add_context(_logger: object, level: str, line: MutableMapping[str, Any]) -> Mapping[str, Any]:
    trace = current_trace()
    head: dict[str, Any] = {"ts": datetime.now(UTC).isoformat(timespec="milliseconds"), "level": level}
    head["service"] = line.pop("service", "")
    head["replica"] = line.pop("replica", "")
    head["event"] = line.pop("event", "")
    head["trace_id"] = line.pop("trace_id", trace.trace_id)
    head["gid"] = line.pop("gid", trace.gid)
    return {**head, **line}


def _render_json(_logger: object, _level: str, line: MutableMapping[str, Any]) -> str:
    return orjson.dumps(line, default=str).decode()


class _LineWriter:
    """One write per line, flushed: what was logged before a SIGKILL is on record."""

    def msg(self, line: str) -> None:
        """Write one line; a reader that is gone must not take the service with it."""
        try:
            sys.stdout.write(line + "\n")
            sys.stdout.flush()
        except (BrokenPipeError, ValueError):
            return

    debug = info = warning = error = critical = exception = msg


def configure_logging(level: str) -> None:
    """Route structlog, and the standard library's warnings, to JSON lines on stdout."""
    structlog.configure(
        processors=[_add_context, structlog.processors.format_exc_info, _render_json],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level]),
        logger_factory=lambda *_args: _LineWriter(),
        cache_logger_on_first_use=False,
    )
    logging.basicConfig(handlers=[_ToStructlog()], level=logging.WARNING, force=True)


class _ToStructlog(logging.Handler):
    """Hands the libraries' log records to structlog."""

    def emit(self, record: logging.LogRecord) -> None:
        """Log one record of a library."""
        structlog.get_logger().log(
            record.levelno, "library_log", logger=record.name, message=record.getMessage(), exc_info=record.exc_info
        )


def get_logger(service: str, replica: str) -> FilteringBoundLogger:
    """A logger whose lines carry service and replica; trace id and gid come from the running task.

    It is assembled anew for each line, so that a new `log.level` is followed at once.
    """
    logger: FilteringBoundLogger = structlog.get_logger(service=service, replica=replica)
    return logger


class Metrics:
    """The metrics of one replica; children are cached so that counting a request costs a few microseconds."""

    def __init__(self, service: str, replica: str) -> None:
        self.registry = CollectorRegistry()
        Gauge("paylab_replica_info", "Which replica this is", ["service", "replica"], registry=self.registry).labels(
            service, replica
        ).set(1)
        self._requests = Counter(
            "http_requests", "Requests answered", ["method", "route", "status"], registry=self.registry
        )
        self._durations = Histogram(
            "http_request_duration_seconds", "Time to answer", ["method", "route"],
            registry=self.registry, buckets=LATENCY_BUCKETS_S,
        )  # fmt: skip
        self.in_flight = Gauge("http_requests_in_flight", "Requests being answered", registry=self.registry)
        self._calls = Counter(
            "http_client_calls", "Calls to other services", ["service", "outcome"], registry=self.registry
        )
        self._count_children: dict[tuple[str, str, int], Counter] = {}
        self._duration_children: dict[tuple[str, str], Histogram] = {}
        self._call_children: dict[tuple[str, str], Counter] = {}

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

    def call_made(self, service: str, outcome: str) -> None:
        """Count one call to another service; outcome is a status class, `not_sent` or `unknown`."""
        child = self._call_children.get((service, outcome))
        if child is None:
            child = self._call_children[service, outcome] = self._calls.labels(service, outcome)
        child.inc()

    def exposition(self) -> bytes:
        """All metrics in Prometheus' text format."""
        return generate_latest(self.registry)
