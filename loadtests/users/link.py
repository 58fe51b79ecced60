"""A journey's way to the platform through Locust's fast HTTP client: look up, send, record, and tell Locust.

Locust's own statistics get every attempt too, with the latency from the intended start, so that its page is honest.
"""

import random
from collections.abc import Callable
from typing import Any

import gevent
import orjson
from geventhttpclient.client import HTTPClientPool
from locust.contrib.fasthttp import FastHttpSession, LocustBadStatusCode, ResponseContextManager

from loadtests.outcomes import Reply, classify
from loadtests.recorder import Records, RequestRow
from loadtests.registry import Registry, Replica
from loadtests.users.journeys import Call

# Named, so that Locust's client does not ask for compression, which costs more than it saves on loopback.
PLAIN = {"Accept-Encoding": "identity"}
JSON = PLAIN | {"Content-Type": "application/json"}
NO_REPLICA = Reply(0, error="no_replica", sent=False)


def connection_pool(users: int, timeout_s: float) -> HTTPClientPool:
    """Keep-alive connections shared by all users. Before reuse it looks whether the other side has closed them."""
    return HTTPClientPool(concurrency=users, network_timeout=timeout_s, connection_timeout=timeout_s)


class LocustLink:
    """The `Link` of one user."""

    def __init__(
        self, session: FastHttpSession, registry: Registry, records: Records, now_s: Callable[[], float]
    ) -> None:
        self._session = session
        session.client.cookiejar = None  # nobody here sets cookies, and the jar costs as much as the request
        self._registry = registry
        self._records = records
        self._now_s = now_s

    def now_s(self) -> float:
        """Seconds since the run's start."""
        return self._now_s()

    def pause(self, duration_s: float) -> None:
        """Wait, letting the other users work."""
        gevent.sleep(duration_s)

    def call(self, call: Call) -> Reply:
        """One HTTP attempt. No answer is an answer too: status 0."""
        trace_id = f"{random.getrandbits(128):032x}"
        started_s = self._now_s()
        replica = self._registry.resolve(call.service)
        reply = self._refused(call) if replica is None else self._send(call, replica, trace_id)
        self._records.request(
            RequestRow(
                intended_s=call.intended_s,
                started_s=started_s,
                ended_s=self._now_s(),
                operation=call.operation,
                journey=call.journey,
                step=call.step,
                status=reply.status,
                outcome=classify(reply).value,
                error=reply.describe(),
                replica=reply.replica,
                trace_id=trace_id,
            )
        )
        if reply.status == 0:
            # The record above is timed without this: looking for a living replica is not the platform's latency.
            self._registry.refresh()
        return reply

    def _send(self, call: Call, replica: Replica, trace_id: str) -> Reply:
        headers = (PLAIN if call.body is None else JSON) | call.headers
        headers["traceparent"] = f"00-{trace_id}-{trace_id[:16]}-01"
        # Empty, not None: a POST without a body must still carry its Content-Length.
        data = "" if call.body is None else orjson.dumps(call.body).decode()
        with self._session.request(
            call.method, replica.address + call.path, name=call.step, data=data, headers=headers, catch_response=True
        ) as response:
            reply = _read(response, replica)
            response.request_meta["response_time"] = (self._now_s() - call.intended_s) * 1000
            if reply.ok:
                response.success()
            else:
                response.failure(reply.describe())
        if reply.status == 0:
            self._registry.suspect(replica)
        return reply

    def _refused(self, call: Call) -> Reply:
        self._session.request_event.fire(
            request_type=call.method,
            name=call.step,
            response_time=(self._now_s() - call.intended_s) * 1000,
            response_length=0,
            exception=ConnectionRefusedError(f"no replica of {call.service} is registered"),
            context={},
        )
        return NO_REPLICA


def _read(response: ResponseContextManager, replica: Replica) -> Reply:
    failure = response.request_meta["exception"]
    status = response.status_code or 0
    if status == 0:
        refused = isinstance(failure, ConnectionRefusedError)
        return Reply(0, error=_name(failure), sent=not refused, replica=replica.name)
    answered_by = str(response.headers.get("Paylab-Replica") or replica.name) if response.headers else replica.name
    # Locust reads the body before we do. If the connection broke within it, nobody knows what it would have said, and
    # reading again gives an empty one without complaint.
    broken = failure is not None and not isinstance(failure, LocustBadStatusCode)
    body, error = ({}, _name(failure)) if broken else _decode(response)
    return Reply(status, body, error, replica=answered_by)


def _decode(response: ResponseContextManager) -> tuple[dict[str, Any], str]:
    try:
        body = orjson.loads(response.content or b"{}")
    except ValueError:
        return {}, "unreadable_body"
    return (body, "") if isinstance(body, dict) else ({"items": body}, "")


def _name(failure: BaseException | None) -> str:
    """A short name for what happened on the wire: refused, reset, timeout, or the exception's class."""
    cause = getattr(failure, "original", None) or failure
    if isinstance(cause, ConnectionRefusedError):
        return "refused"
    if isinstance(cause, (TimeoutError, gevent.Timeout)):
        return "timeout"
    if isinstance(cause, ConnectionError) or type(cause).__name__ == "HTTPConnectionClosed":
        return "reset"
    return type(cause).__name__
