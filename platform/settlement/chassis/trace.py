"""The trace a piece of work belongs to: W3C traceparent and the gid of the transaction, carried by a contextvar.

Every request has a trace (its id stands in every log line and every problem document), but few are *recorded*: only
then does an OpenTelemetry span hang on it. `span` and its like make no object while nothing is recorded, so they may
stand on the hottest path. What is recorded is decided in `tracing`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from contextvars import ContextVar, Token
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Final

from opentelemetry.context import Context
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    Span,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    Tracer,
    set_span_in_context,
)

__all__ = [
    "Attributes",
    "Span",
    "SpanKind",
    "Trace",
    "bind_gid",
    "current_trace",
    "enter_trace",
    "leave_trace",
    "new_trace",
    "span",
]

_TRACEPARENT: Final = re.compile(r"00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})")
GID_FORM: Final = re.compile(r"[A-Za-z0-9_.:-]{1,64}")
GID: Final = "paylab.gid"

Attributes = dict[str, str | int | float | bool]


@dataclass(frozen=True, slots=True)
class Trace:
    """`trace_id` 32 hex digits, `span_id` 16 hex digits, `gid` of the global transaction or empty.

    `sampled` is what the next service is told; `span` and `tracer` are there while something is recorded here.
    """

    trace_id: str
    span_id: str
    gid: str = ""
    sampled: bool = False
    span: Span | None = None
    tracer: Tracer | None = None

    def traceparent(self) -> str:
        """The header that continues this trace at the next service."""
        return f"00-{self.trace_id}-{self.span_id}-{'01' if self.sampled else '00'}"


_NO_TRACE: Final = Trace("", "")
_current: ContextVar[Trace] = ContextVar("paylab_trace", default=_NO_TRACE)


def new_trace(gid: str = "") -> Trace:
    """A trace that begins here and is not recorded."""
    return Trace(os.urandom(16).hex(), os.urandom(8).hex(), gid)


def continued_trace(traceparent: str, gid: str = "") -> Trace:
    """The trace of an incoming request; a malformed header starts a new one, a malformed gid is dropped."""
    gid = gid if GID_FORM.fullmatch(gid) else ""
    parent = parsed(traceparent)
    return new_trace(gid) if parent is None else Trace(parent.trace_id, os.urandom(8).hex(), gid, parent.sampled)


def parsed(traceparent: str) -> Trace | None:
    """The trace that a header names, as its sender had it; None if it is malformed."""
    match = _TRACEPARENT.fullmatch(traceparent)
    if match is None or match[1] == "0" * 32 or match[2] == "0" * 16:
        return None
    return Trace(match[1], match[2], sampled=bool(int(match[3], 16) & 1))


def current_trace() -> Trace:
    """The trace of the running task; one without ids outside any request."""
    return _current.get()


def enter_trace(trace: Trace) -> Token[Trace]:
    """Make this the trace of the running task; give the token to `leave_trace`."""
    return _current.set(trace)


def leave_trace(token: Token[Trace]) -> None:
    """Restore the trace from before `enter_trace`."""
    _current.reset(token)


def bind_gid(gid: str) -> None:
    """From here on, log lines, spans and calls of the running task carry this gid."""
    trace = _current.get()
    if trace.span is not None:
        trace.span.set_attribute(GID, gid)
    _current.set(replace(trace, gid=gid))


# ---- recording ------------------------------------------------------------------------------------------------------


def started(
    parent: Trace | None,
    tracer: Tracer,
    name: str,
    kind: SpanKind,
    attributes: Attributes | None = None,
    gid: str = "",
    links: Sequence[Link] = (),
) -> Trace:
    """A span that begins now, as the trace of what happens under it; without a parent it begins a new trace.

    Whoever starts a span ends it: `trace.span.end()`.
    """
    context = Context() if parent is None else set_span_in_context(_as_span(parent), Context())
    made = tracer.start_span(name, context, kind, {GID: gid, **(attributes or {})}, links, record_exception=False)
    ids = made.get_span_context()
    return Trace(f"{ids.trace_id:032x}", f"{ids.span_id:016x}", gid, True, made, tracer)


def link_to(trace: Trace) -> Link:
    """A reference to a span of another trace."""
    return Link(_span_context(trace))


def span(
    name: str, kind: SpanKind = SpanKind.INTERNAL, attributes: Attributes | None = None
) -> AbstractContextManager[object]:
    """Record a block as a child of what is being recorded; nothing happens if nothing is. An exception marks it."""
    parent = _current.get()
    if parent.span is None or parent.tracer is None:
        return _NOTHING
    return Recording(started(parent, parent.tracer, name, kind, attributes, parent.gid))


def annotate(attributes: Attributes) -> None:
    """Add attributes to the span that is being recorded, if one is."""
    recorded = _current.get().span
    if recorded is not None:
        recorded.set_attributes(attributes)


def failed(recorded: Span, error: BaseException) -> None:
    """Mark a span as failed; the message of an exception may hold anything, so only its type is kept."""
    recorded.set_attribute("error.type", type(error).__name__)
    recorded.set_status(Status(StatusCode.ERROR))


class Recording:
    """A context manager: its block runs under a span that was started, and ends it."""

    __slots__ = ("_token", "_trace")

    def __init__(self, trace: Trace) -> None:
        self._trace = trace

    def __enter__(self) -> Trace:
        """Make the span the current one."""
        self._token = enter_trace(self._trace)
        return self._trace

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the span, marked if the block raised."""
        leave_trace(self._token)
        assert self._trace.span is not None  # noqa: S101 - `started` made it
        if error is not None:
            failed(self._trace.span, error)
        self._trace.span.end()


_NOTHING: Final = nullcontext()


def _as_span(trace: Trace) -> Span:
    return trace.span if trace.span is not None else NonRecordingSpan(_span_context(trace))


def _span_context(trace: Trace) -> SpanContext:
    flags = TraceFlags(TraceFlags.SAMPLED if trace.sampled else TraceFlags.DEFAULT)
    return SpanContext(int(trace.trace_id, 16), int(trace.span_id, 16), is_remote=True, trace_flags=flags)
