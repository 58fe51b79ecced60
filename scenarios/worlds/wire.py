"""The lab's own small HTTP client: JSON over loopback, one connection a call, no proxy and no retry.

The lab speaks to the registry, the health endpoints and the fault endpoints only; a heavier client would cost start-up
time.
"""

from __future__ import annotations

import http.client
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit


class Unreachable(Exception):
    """Nobody answered in time, or the answer was no JSON document."""


@dataclass(frozen=True)
class Reply:
    """Status, decoded JSON body (None if empty) and the replica that says it answered ('' if it does not say)."""

    status: int
    body: Any
    replica: str


def call(
    method: str,
    url: str,
    *,
    body: object = None,
    headers: Mapping[str, str] | None = None,
    timeout_s: float = 1.0,
) -> Reply:
    """One HTTP exchange; raises Unreachable for refused, reset, timed out or unreadable."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=timeout_s)
    path = parts.path + (f"?{parts.query}" if parts.query else "")
    data = None if body is None else json.dumps(body)
    sent = {"Content-Type": "application/json", **(headers or {})} if data is not None else dict(headers or {})
    try:
        connection.request(method, path or "/", data, sent)
        answer = connection.getresponse()
        text = answer.read()
        replica = answer.getheader("Paylab-Replica") or ""
        return Reply(answer.status, json.loads(text) if text else None, replica)
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise Unreachable(f"{method} {url}: {error!r}") from error
    finally:
        connection.close()


def fetched_text(url: str, timeout_s: float = 2.0) -> str | None:
    """The body of a page, whatever its kind; None if nobody answers 200 in time."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=timeout_s)
    try:
        connection.request("GET", parts.path)
        answer = connection.getresponse()
        text = answer.read().decode("utf-8", "replace")
        return text if answer.status == 200 else None
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()
