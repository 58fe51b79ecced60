"""The endpoints that every service has: health, metrics, events, dead letters, and faults where they are allowed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

from fastapi import APIRouter, Depends
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import JSONResponse, PlainTextResponse, Response

from settlement.chassis.dead_letter_routes import dead_letter_routes
from settlement.chassis.events import event_from
from settlement.chassis.faults import FaultList
from settlement.chassis.inbox import Inbox
from settlement.chassis.problems import Problem
from settlement.chassis.refusals import WITHOUT_DATABASE, refusals
from settlement.chassis.security import fault_operator, signed_service
from settlement.protocol.crashpoints import KNOWN_POINTS

if TYPE_CHECKING:
    from settlement.chassis.app import Chassis

EXPOSITION_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class EventIn(BaseModel):
    """One delivered event."""

    event_id: Annotated[str, Field(min_length=1, max_length=36)]
    type: Annotated[str, Field(min_length=1, max_length=64)]
    subject: Annotated[str, Field(max_length=128)]
    data: dict[str, Any]
    occurred_at_ms: Annotated[int, Field(ge=0, lt=2**53)]
    traceparent: Annotated[str, Field(max_length=55)] = ""


class EventBatch(BaseModel):
    """The body of `POST /events`."""

    events: Annotated[list[EventIn], Field(max_length=1_000)]


class Accepted(BaseModel):
    """The ids of the events that need not be delivered again."""

    accepted: list[str]


class Live(BaseModel):
    """The process answers."""

    status: Literal["live"]


class Ready(BaseModel):
    """The replica takes requests."""

    status: Literal["ready"]
    service: str
    replica: str


class FaultView(BaseModel):
    """A fault in force and how often it struck; it has the members of its kind."""

    model_config = ConfigDict(extra="allow")

    id: str
    kind: Literal["latency", "error", "drop_reply", "crash_at"]
    hits: int


class FaultReport(BaseModel):
    """The faults in force."""

    faults: list[FaultView]


def standard_routes(chassis: Chassis, inbox: Inbox) -> APIRouter:
    """Health, metrics, events, dead letters, and with a fault token the fault endpoints."""
    router = APIRouter()
    _add_health(router, chassis)

    @router.post(
        "/events",
        dependencies=[Depends(signed_service)],
        response_model=Accepted,
        openapi_extra=WITHOUT_DATABASE,  # what cannot be consumed now is not among the accepted
    )
    async def take_events(batch: EventBatch) -> Response:
        events = [event_from(event.model_dump()) for event in batch.events]
        return JSONResponse({"accepted": await inbox.take(events)})

    router.routes.extend(dead_letter_routes(chassis, inbox).routes)
    if chassis.secrets.fault is not None:
        _add_faults(router, chassis)
    return router


def _add_health(router: APIRouter, chassis: Chassis) -> None:
    @router.get("/health/live", response_model=Live, openapi_extra=WITHOUT_DATABASE)
    async def live() -> Response:
        return JSONResponse({"status": "live"})

    @router.get(
        "/health/ready",
        response_model=Ready,
        responses=refusals({503: "stopping"}),
        openapi_extra=WITHOUT_DATABASE,
    )
    async def ready() -> Response:
        if chassis.stopping.is_set():
            raise Problem(503, "stopping", "This replica is shutting down")
        return JSONResponse({"status": "ready", "service": chassis.service, "replica": chassis.replica})

    @router.get("/metrics", response_class=PlainTextResponse, openapi_extra=WITHOUT_DATABASE)
    async def metrics() -> Response:
        return Response(await chassis.metrics.exposition(chassis.log), media_type=EXPOSITION_TYPE)


def _add_faults(router: APIRouter, chassis: Chassis) -> None:
    injector = APIRouter(prefix="/faults", dependencies=[Depends(fault_operator)])

    @injector.put(
        "",
        response_model=FaultReport,
        responses=refusals({422: "unknown_crash_point"}),
        openapi_extra=WITHOUT_DATABASE,
    )
    async def replace_faults(body: FaultList) -> Response:
        unknown = [fault.point for fault in body.faults if fault.kind == "crash_at" and fault.point not in KNOWN_POINTS]
        if unknown:
            raise Problem(422, "unknown_crash_point", "There is no such crash point", ", ".join(unknown)[:500])
        chassis.faults.replace(body.faults)
        chassis.log.warning("faults_replaced", faults=[fault.id for fault in body.faults])
        return JSONResponse({"faults": chassis.faults.report()})

    @injector.get("", response_model=FaultReport, openapi_extra=WITHOUT_DATABASE)
    async def show_faults() -> Response:
        return JSONResponse({"faults": chassis.faults.report()})

    @injector.delete("", response_model=FaultReport, openapi_extra=WITHOUT_DATABASE)
    async def remove_faults() -> Response:
        chassis.faults.replace([])
        chassis.log.warning("faults_replaced", faults=[])
        return JSONResponse({"faults": []})

    router.routes.extend(injector.routes)
