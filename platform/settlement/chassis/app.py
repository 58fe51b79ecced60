"""The chassis handed to every service factory, and the ASGI application around what the factory returns."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fastapi import APIRouter, FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.middleware.asyncexitstack import AsyncExitStackMiddleware
from starlette.exceptions import HTTPException
from starlette.middleware.exceptions import ExceptionMiddleware
from starlette.types import ASGIApp
from structlog.typing import FilteringBoundLogger

from settlement.chassis.admission import Admission
from settlement.chassis.cache import Cache
from settlement.chassis.clock import Clock
from settlement.chassis.database import CommitUnknown, Database, DatabaseBusy, DatabaseUnavailable
from settlement.chassis.degradation import Degradation
from settlement.chassis.envelope import Envelope
from settlement.chassis.faults import CrashPoints, FaultTable
from settlement.chassis.http_client import ServiceClient
from settlement.chassis.inbox import Consumer, Inbox
from settlement.chassis.limiter import Limiter
from settlement.chassis.live_settings import LiveSettings
from settlement.chassis.metrics import Metrics
from settlement.chassis.openapi import document
from settlement.chassis.outbox import Outbox
from settlement.chassis.problems import (
    Problem,
    render_busy,
    render_commit_unknown,
    render_http_exception,
    render_overflow,
    render_problem,
    render_unavailable,
    render_validation_error,
)
from settlement.chassis.redis import SharedRedis
from settlement.chassis.secrets import Secrets
from settlement.chassis.security import Tokens
from settlement.chassis.signature import SignatureVerifier
from settlement.chassis.standard_routes import standard_routes
from settlement.chassis.tracing import Tracing
from settlement.chassis.workers import Workers


@dataclass
class Chassis:
    """Everything a service gets from outside; one per replica.

    `cache` and `limiter` are shared by the replicas of the service if there is a Redis server; `redis` is None if not.
    `stopping` is set when the replica begins to shut down: whoever waits for long should wait for it too.
    `data` is a folder of this process' own.
    `profile` and `initial_settings` matter to the config center only.
    """

    service: str
    replica: str
    settings: LiveSettings
    database: Database
    client: ServiceClient
    outbox: Outbox
    crash_points: CrashPoints
    clock: Clock
    secrets: Secrets
    log: FilteringBoundLogger
    metrics: Metrics
    tracing: Tracing
    faults: FaultTable
    tokens: Tokens
    signatures: SignatureVerifier
    workers: Workers
    cache: Cache
    limiter: Limiter
    admission: Admission
    degradation: Degradation
    data: Path
    redis: SharedRedis | None = None
    profile: str = "dev"
    initial_settings: dict[str, object] = field(default_factory=dict)
    stopping: asyncio.Event = field(default_factory=asyncio.Event)

    def every(
        self, interval_ms: int | Callable[[], int], job: Callable[[], Awaitable[object]], name: str
    ) -> asyncio.Task[None]:
        """Run a job in the background again and again; errors are logged; stops at shutdown."""
        return self.workers.every(interval_ms, job, name)

    def spawn(self, coroutine: Coroutine[Any, Any, object], name: str) -> asyncio.Task[None]:
        """Run a coroutine in the background; an error is logged; cancelled at shutdown."""
        return self.workers.spawn(coroutine, name)


@dataclass
class ServiceApp:
    """What a service factory returns.

    `start` runs once before the service is ready (and before it is registered); `consumers` map event types to
    handlers `async (tx, event)`, run in one transaction with the mark that the event was consumed.
    """

    router: APIRouter
    start: Callable[[], Awaitable[None]] | None = None
    consumers: dict[str, Consumer] = field(default_factory=dict)
    subscriptions: tuple[str, ...] = ()


class _LeanFastAPI(FastAPI):
    """FastAPI without the layers that the envelope replaces: server errors, telemetry, body limit."""

    def openapi(self) -> dict[str, Any]:
        """The document that tells of our own refusals."""
        return document(self)

    def build_middleware_stack(self) -> ASGIApp:
        """Exception handlers around the router, nothing else."""
        inner = AsyncExitStackMiddleware(self.router)
        return ExceptionMiddleware(inner, handlers=dict(self.exception_handlers))


def asgi_app(chassis: Chassis, service_app: ServiceApp, inbox: Inbox) -> ASGIApp:
    """The complete application of one replica."""
    app = _LeanFastAPI(
        title=chassis.service,
        openapi_url="/openapi.json",
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        telemetry={"tracing": False, "metrics": False, "logs": False, "auto_configure": False},
        strict_content_type=False,
        exception_handlers={
            Problem: render_problem,
            HTTPException: render_http_exception,
            RequestValidationError: render_validation_error,
            OverflowError: render_overflow,
            DatabaseBusy: render_busy,
            DatabaseUnavailable: render_unavailable,
            CommitUnknown: render_commit_unknown,
        },
    )
    app.state.chassis = chassis
    # Not include_router: it keeps routers nested, and then matches every route of each level twice per request.
    for router in (service_app.router, standard_routes(chassis, inbox)):
        app.router.routes.extend(router.routes)
    return Envelope(app, chassis)
