"""Which requests are recorded as OpenTelemetry spans, and where the spans go.

The head decides: a request from outside is recorded for `trace.sample_share` of all trace ids, whatever its
`traceparent` asks for (anybody could ask for everything); a call between services follows its caller. A recovery is
rare and always of interest, so it is recorded whenever spans go anywhere at all. See decisions/0009.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_ON
from opentelemetry.trace import SpanKind, Status, StatusCode, Tracer

from settlement.chassis.live_settings import LiveSettings
from settlement.chassis.span_file import SpanFile
from settlement.chassis.trace import Attributes, Trace, continued_trace, parsed, started

# What a SIGKILL can take with it.
EXPORT_EVERY_MS: Final = 200
# Asked for all the time, and of no payment.
NOT_RECORDED: Final = ("/health/", "/metrics", "/faults")
_LOW_BITS: Final = 64


@dataclass(frozen=True)
class TraceTargets:
    """Where the spans of a process go: an OTLP/HTTP collector, a file of JSON lines, both or neither."""

    endpoint: str | None = None
    file: Path | None = None

    def problems(self) -> list[str]:
        """What is wrong with them, one sentence each."""
        if self.endpoint and urlsplit(self.endpoint).scheme not in {"http", "https"}:
            return [f"PAYLAB_TRACE_ENDPOINT is no http address: {self.endpoint}"]
        return []

    def processors(self) -> tuple[SpanProcessor, ...]:
        """What the spans of all replicas of this process go through. Raises OSError for a file that cannot be made."""
        exporters: list[SpanExporter] = []
        if self.file is not None:
            exporters.append(SpanFile(self.file))
        if self.endpoint:
            exporters.append(_otlp(self.endpoint))
        return tuple(BatchSpanProcessor(exporter, schedule_delay_millis=EXPORT_EVERY_MS) for exporter in exporters)


def _otlp(endpoint: str) -> SpanExporter:
    # Imported when wanted: it brings protobuf and requests, 6 MiB that most processes have no use for.
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

    address = endpoint.rstrip("/")
    return OTLPSpanExporter(address if address.endswith("/v1/traces") else f"{address}/v1/traces")


class Tracing:
    """The tracing of one replica. Without processors nothing is recorded, and what others record goes on unharmed."""

    def __init__(
        self, service: str, replica: str, settings: LiveSettings, processors: Sequence[SpanProcessor] = ()
    ) -> None:
        self._settings = settings
        self._tracer = _tracer(service, replica, processors) if processors else None
        self._bound = 0
        self._follow_settings()
        settings.on_change(self._follow_settings)

    def of_request(self, traceparent: str, gid: str, method: str, path: str, *, from_service: bool) -> Trace:
        """The trace of an incoming request, with a server span if it is recorded; `finish` ends that."""
        trace = continued_trace(traceparent, gid)
        sampled = trace.sampled if from_service else int(trace.trace_id, 16) % (1 << _LOW_BITS) < self._bound
        if self._tracer is None or not sampled or path.startswith(NOT_RECORDED):
            return Trace(trace.trace_id, trace.span_id, trace.gid, sampled)
        attributes: Attributes = {"http.request.method": method, "url.path": path}
        return started(parsed(traceparent), self._tracer, method, SpanKind.SERVER, attributes, trace.gid)

    def finish(self, trace: Trace, method: str, route: str, status: int) -> None:
        """End the server span of `of_request`, under the name of the route it turned out to be."""
        if trace.span is None:
            return
        trace.span.update_name(f"{method} {route}")
        trace.span.set_attributes({"http.route": route, "http.response.status_code": status})
        if status >= 500:
            trace.span.set_status(Status(StatusCode.ERROR))
        trace.span.end()

    def of_recovery(self, name: str, gid: str, about: Attributes | None = None) -> Trace | None:
        """A trace of its own for work that no request waits for; None if spans go nowhere."""
        return None if self._tracer is None else started(None, self._tracer, name, SpanKind.INTERNAL, about, gid)

    def continued(self, traceparent: str) -> tuple[Trace, Tracer] | None:
        """The recorded span that a message came from, and what records here; None if it is not recorded."""
        parent = parsed(traceparent)
        if self._tracer is None or parent is None or not parent.sampled:
            return None
        return parent, self._tracer

    def _follow_settings(self) -> None:
        share = self._settings.number("trace.sample_share") if self._tracer is not None else 0.0
        self._bound = round(share * (1 << _LOW_BITS))


def _tracer(service: str, replica: str, processors: Sequence[SpanProcessor]) -> Tracer:
    resource = Resource({"service.name": service, "service.instance.id": replica, "service.namespace": "paylab"})
    # The processors are the process': they outlive this replica and are shut down by whoever made them.
    provider = TracerProvider(sampler=ALWAYS_ON, resource=resource, shutdown_on_exit=False)
    for processor in processors:
        provider.add_span_processor(processor)
    return provider.get_tracer("paylab")
