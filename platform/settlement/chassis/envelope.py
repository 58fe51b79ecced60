"""The one ASGI middleware around every service.

Trace, admission, body limits, injected faults, metrics, log line, last resort. One pure ASGI layer, because each layer
is paid for by every request of every hop of every payment.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from settlement.chassis.faults import HOLD_S_MAX, ActiveFault, DropReply, Error, Latency
from settlement.chassis.json_guard import RefusedJson, guard
from settlement.chassis.problems import Problem, unexpected_problem
from settlement.chassis.signature import SERVICE
from settlement.chassis.trace import Trace, enter_trace, leave_trace

if TYPE_CHECKING:
    from settlement.chassis.app import Chassis

READING: Final = frozenset({"GET", "HEAD", "OPTIONS"})
KNOWN_METHODS: Final = READING | {"POST", "PUT", "PATCH", "DELETE"}
# For the whole body: a client that stops in the middle of it must not hold its connection for ever.
BODY_S_MAX: Final = 10.0
# Renewed every second by every replica: a line each would drown the log.
QUIET_ROUTES: Final = frozenset({"/registry/{service}/{replica}/lease", "/eureka/apps/{app}/{instance_id}"})
# Faults must stay removable and death must stay visible, whatever has been injected.
UNTOUCHABLE: Final = ("/faults", "/health/", "/metrics")

_SERVICE: Final = SERVICE.encode()


class ClientGone(Exception):
    """The client went away before its request was complete."""


class _Exchange:
    """One request and what became of its response."""

    def __init__(self, scope: Scope, receive: Receive, send: Send, replica: bytes) -> None:
        self.scope = scope
        self._receive = receive
        self._send = send
        self._replica = replica
        self._body: bytes | None = None
        self.status = 0
        self.withheld = False
        self.told: list[tuple[bytes, bytes]] = []

    async def receive(self) -> Message:
        """The request body read before, once; then whatever the server says."""
        if self._body is None:
            return await self._receive()
        message: Message = {"type": "http.request", "body": self._body, "more_body": False}
        self._body = None
        return message

    async def send(self, message: Message) -> None:
        """Pass a response message on, unless the answer is withheld."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            message["headers"].append((b"paylab-replica", self._replica))
            message["headers"].extend(self.told)
        if not self.withheld:
            await self._send(message)

    async def read_body(self, declared: bytes, bytes_max: int) -> None:
        """Read the whole body, within BODY_S_MAX.

        Raises Problem 413 as soon as it is certain to be too long, 408 if it does not end, 400 for refused JSON.
        """
        if declared and (len(declared) > 18 or not declared.isdigit() or int(declared) > bytes_max):
            raise _too_large(bytes_max)
        try:
            # Around the first message too: after the headers alone, the server waits for it just as long.
            async with asyncio.timeout(BODY_S_MAX):
                self._body = await self._whole_body(bytes_max)
        except TimeoutError:
            raise _too_slow() from None
        if self._body:
            _refuse_bad_json(self._body)

    async def _whole_body(self, bytes_max: int) -> bytes:
        chunks: list[bytes] = []
        length, more = 0, True
        while more:
            message = await self._receive()
            if message["type"] != "http.request":
                raise ClientGone
            chunks.append(message.get("body", b""))
            length += len(chunks[-1])
            if length > bytes_max:
                raise _too_large(bytes_max)
            more = message.get("more_body", False)
        return chunks[0] if len(chunks) == 1 else b"".join(chunks)

    async def hold_until_gone(self) -> None:
        """Keep the client waiting until it gives up."""
        try:
            async with asyncio.timeout(HOLD_S_MAX):
                while (await self._receive())["type"] != "http.disconnect":
                    pass
        except TimeoutError:
            return


def _too_large(bytes_max: int) -> Problem:
    detail = f"at most {bytes_max} bytes are taken"
    return Problem(413, "body_too_large", "The body is too large", detail, headers={"connection": "close"})


def _too_slow() -> Problem:
    detail = f"the body did not end within {BODY_S_MAX:g} s"
    return Problem(408, "request_timeout", "The body is incomplete", detail, headers={"connection": "close"})


def _refuse_bad_json(body: bytes) -> None:
    try:
        guard(body)
    except RefusedJson as error:
        raise Problem(400, error.code, "The body is not JSON that is taken here", str(error)) from error


class Envelope:
    """Wraps the application of one replica."""

    def __init__(self, app: ASGIApp, chassis: Chassis) -> None:
        self._app = app
        self._chassis = chassis
        self._replica = chassis.replica.encode("latin-1", "replace")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            return  # no lifespan, no websockets: serve.py starts and stops the services itself
        started_s = time.perf_counter()
        headers = dict(scope["headers"])
        gid = headers.get(b"paylab-gid", b"").decode("latin-1")
        trace = self._chassis.tracing.of_request(
            headers.get(b"traceparent", b"").decode("latin-1"), gid, scope["method"], scope["path"],
            from_service=_SERVICE in headers,
        )  # fmt: skip
        token = enter_trace(trace)
        exchange = _Exchange(scope, receive, send, self._replica)
        self._chassis.metrics.in_flight.inc()
        try:
            await self._answer(exchange, headers)
        except ClientGone:
            exchange.status = 499
        finally:
            self._chassis.metrics.in_flight.dec()
            self._record(exchange, trace, time.perf_counter() - started_s)
            leave_trace(token)

    async def _answer(self, exchange: _Exchange, headers: dict[bytes, bytes]) -> None:
        try:
            await self._prepare_and_run(exchange, headers)
        except Problem as problem:
            await problem.response()(exchange.scope, exchange.receive, exchange.send)
        except ClientGone:
            raise
        except Exception:  # the boundary of a request: logged, answered with a 500, and the replica goes on
            self._chassis.log.exception("request_failed", method=exchange.scope["method"], path=exchange.scope["path"])
            if exchange.status:
                raise  # the response has begun: only a broken connection can tell the client
            await unexpected_problem().response()(exchange.scope, exchange.receive, exchange.send)

    async def _prepare_and_run(self, exchange: _Exchange, headers: dict[bytes, bytes]) -> None:
        scope = exchange.scope
        if b"%00" in scope.get("raw_path", b"") or b"%00" in scope["query_string"]:
            raise Problem(400, "text_not_allowed", "The address contains a NUL character")
        # Before the body: whoever asks too often is not listened to.
        exchange.told = await self._chassis.admission.count(scope, headers)
        if b"content-length" in headers or b"transfer-encoding" in headers:
            declared = headers.get(b"content-length", b"")
            await exchange.read_body(declared, self._chassis.settings.integer("http.body_bytes_max"))
        # After the body: a client that sends slowly keeps nobody else out.
        with self._chassis.admission.in_progress(scope["path"]):
            await self._run(exchange)

    async def _run(self, exchange: _Exchange) -> None:
        scope, faults = exchange.scope, self._chassis.faults
        if faults.routes and not scope["path"].startswith(UNTOUCHABLE):
            await self._suffer(exchange, faults.of_request(scope["method"], scope["path"]))
        else:
            await self._app(scope, exchange.receive, exchange.send)

    async def _suffer(self, exchange: _Exchange, striking: list[ActiveFault]) -> None:
        delay_s = sum(active.delay_s() for active in striking if isinstance(active.fault, Latency))
        if delay_s:
            await asyncio.sleep(delay_s)
        for active in striking:
            if isinstance(active.fault, Error):
                raise Problem(active.fault.status, "fault_injected", "An injected fault")
        exchange.withheld = any(isinstance(active.fault, DropReply) for active in striking)
        await self._app(exchange.scope, exchange.receive, exchange.send)
        if exchange.withheld:
            await exchange.hold_until_gone()
            exchange.withheld = False
            # Whoever waited this long still does not learn what happened: a gateway timeout promises nothing.
            raise Problem(504, "reply_withheld", "An injected fault")

    def _record(self, exchange: _Exchange, trace: Trace, duration_s: float) -> None:
        method: str = exchange.scope["method"]
        route: str = getattr(exchange.scope.get("route"), "path", "unmatched")
        if route == "unmatched" and method not in KNOWN_METHODS:
            method = "other"
        self._chassis.metrics.request_answered(method, route, exchange.status, duration_s)
        self._chassis.tracing.finish(trace, method, route, exchange.status)
        if method in READING or route in QUIET_ROUTES:
            return
        self._chassis.log.info(
            "request", method=method, route=route, status=exchange.status, duration_ms=round(duration_s * 1_000, 2)
        )
