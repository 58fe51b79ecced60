"""Spans as JSON lines: what a run keeps, one file a process. Times are epoch nanoseconds, ids hex digits."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import orjson
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult


class SpanFile(SpanExporter):
    """Appends to the file; a batch is one write, so that a SIGKILL never leaves half a line in front of the next life.

    Raises OSError if the file cannot be opened.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("ab", buffering=0)

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Write a batch."""
        lines = b"".join(orjson.dumps(row_of(span), option=orjson.OPT_APPEND_NEWLINE) for span in spans)
        try:
            self._file.write(lines)
        except (OSError, ValueError):  # a full disk, or a closed file: the service goes on without its spans
            return SpanExportResult.FAILURE
        return SpanExportResult.SUCCESS

    def shutdown(self) -> None:
        """Close the file."""
        self._file.close()


def row_of(span: ReadableSpan) -> dict[str, Any]:
    """A span as it stands in the file."""
    ids, resource = span.get_span_context(), span.resource.attributes
    assert ids is not None  # noqa: S101 - a span that ended has them
    return {
        "trace_id": f"{ids.trace_id:032x}",
        "span_id": f"{ids.span_id:016x}",
        "parent_id": "" if span.parent is None else f"{span.parent.span_id:016x}",
        "name": span.name,
        "kind": span.kind.name.lower(),
        "service": resource.get("service.name", ""),
        "replica": resource.get("service.instance.id", ""),
        "start_ns": span.start_time,
        "end_ns": span.end_time,
        "failed": not span.status.is_ok,
        "attributes": dict(span.attributes or {}),
        "events": [
            {"name": event.name, "at_ns": event.timestamp, "attributes": dict(event.attributes or {})}
            for event in span.events
        ],
        "links": [
            {"trace_id": f"{link.context.trace_id:032x}", "span_id": f"{link.context.span_id:016x}"}
            for link in span.links
        ],
    }
