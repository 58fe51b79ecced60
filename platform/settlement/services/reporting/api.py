"""HTTP face of reporting: for operators."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated

from fastapi import APIRouter, Depends, Path, Query, Response
from starlette.responses import JSONResponse

from settlement.chassis.app import Chassis, ServiceApp
from settlement.chassis.refusals import Responses, refusals
from settlement.chassis.security import operator
from settlement.services.reporting import facts
from settlement.services.reporting.schemas import MEDIA_TYPES, Day, Format, Kind, ReportPage, ReportRequest, ReportView
from settlement.services.reporting.service import Reporting

if TYPE_CHECKING:
    from pydantic import BaseModel

MAKE_INTERVAL_MS = 500
DAILY_INTERVAL_MS = 5_000
CONTENT: Responses = {
    200: {
        "description": "The file",
        "content": {media_type: {} for media_type in MEDIA_TYPES.values()},
        "headers": {
            "Content-Disposition": {"required": True, "schema": {"type": "string", "pattern": "^attachment; filename="}}
        },
    },
    **refusals(
        {
            404: "report_not_found",
            409: "report_pending",
            410: "content_gone",
            502: "content_damaged",
            503: "storage_unavailable",
        }
    ),
}

Id = Annotated[int, Path(ge=1, le=2**53)]


def create(chassis: Chassis) -> ServiceApp:
    """The reporting service of one replica."""
    reporting = Reporting(chassis, chassis.data / "reports")

    async def close_at_the_end() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            reporting.close()

    async def start() -> None:
        chassis.spawn(close_at_the_end(), "storage_threads")
        chassis.every(MAKE_INTERVAL_MS, reporting.make_due, "make_reports")
        chassis.every(DAILY_INTERVAL_MS, reporting.ask_daily, "daily_reports")

    consumers = dict.fromkeys(facts.DECISION_EVENTS, facts.decided)
    router = APIRouter()
    router.routes.extend(_operator_router(reporting).routes)
    return ServiceApp(router=router, start=start, consumers={**consumers, "clearing.settled": facts.settled})


def _operator_router(reporting: Reporting) -> APIRouter:
    router = APIRouter(prefix="/reports", dependencies=[Depends(operator)])

    @router.post("", status_code=202, response_model=ReportView)
    async def ask(request: ReportRequest) -> Response:
        return _json(await reporting.ask(request.day, request.kind), status=202)

    @router.get("", response_model=ReportPage)
    async def list_reports(
        day: Annotated[Day | None, Query()] = None,
        kind: Annotated[Kind | None, Query()] = None,
        before: Annotated[int, Query(ge=1, le=2**53)] = 2**53,
        limit: Annotated[int, Query(ge=1, le=200)] = 50,
    ) -> Response:
        found = await reporting.page(day=day, kind=kind, before=before, limit=limit)
        next_before = found[-1].report_id if len(found) == limit else None
        return JSONResponse({"reports": [report.model_dump() for report in found], "next_before": next_before})

    @router.get("/{report_id}", response_model=ReportView, responses=refusals({404: "report_not_found"}))
    async def read_report(report_id: Id) -> Response:
        return _json(await reporting.find(report_id))

    @router.get("/{report_id}/content", response_class=Response, responses=CONTENT)
    async def download(report_id: Id, format: Annotated[Format, Query()] = "csv") -> Response:  # noqa: A002
        report, content = await reporting.content(report_id, format)
        name = f"{report.day}-{report.kind}-{report_id}.{format}"
        headers = {"Content-Disposition": f'attachment; filename="{name}"'}
        return Response(content, media_type=MEDIA_TYPES[format], headers=headers)

    return router


def _json(body: BaseModel, status: int = 200) -> Response:
    return Response(body.model_dump_json(), status, media_type="application/json")
