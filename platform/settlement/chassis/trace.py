"""The trace a piece of work belongs to: W3C traceparent and the gid of the transaction, carried by a contextvar."""

from __future__ import annotations

import os
import re
from contextvars import ContextVar, Token
from dataclasses import dataclass, replace
from typing import Final

_TRACEPARENT: Final = re.compile(r"00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})")
_GID: Final = re.compile(r"[A-Za-z0-9_.:-]{1,64}")


@dataclass(frozen=True, slots=True)
class Trace:
    """`trace_id` 32 hex digits, `span_id` 16 hex digits, `gid` of the global transaction or empty."""

    trace_id: str
    span_id: str
    gid: str = ""

    def traceparent(self) -> str:
        """The header that continues this trace at the next service."""
        return f"00-{self.trace_id}-{self.span_id}-01"


_NO_TRACE: Final = Trace("", "")
_current: ContextVar[Trace] = ContextVar("paylab_trace", default=_NO_TRACE)


def new_trace(gid: str = "") -> Trace:
    """A trace that begins here."""
    return Trace(os.urandom(16).hex(), os.urandom(8).hex(), gid)


def continued_trace(traceparent: str, gid: str = "") -> Trace:
    """The trace of an incoming request; a malformed header starts a new one, a malformed gid is dropped."""
    gid = gid if _GID.fullmatch(gid) else ""
    match = _TRACEPARENT.fullmatch(traceparent)
    if match is None or match[1] == "0" * 32:
        return new_trace(gid)
    return Trace(match[1], os.urandom(8).hex(), gid)


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
    """From here on, log lines and calls of the running task carry this gid."""
    _current.set(replace(_current.get(), gid=gid))
