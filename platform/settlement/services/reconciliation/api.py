"""HTTP face of reconciliation: for operators."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from fastapi import APIRouter, Depends, Path, Query, Response
from starlette.responses import JSONResponse

from settlement.chassis.app import Chassis, ServiceApp
from settlement.chassis.problems import Problem
from settlement.chassis.refusals import refusals
from settlement.chassis.security import operator
from settlement.services.reconciliation.comparing import Line
from settlement.services.reconciliation.differences import Differences
from settlement.services.reconciliation.schemas import (
    ChannelName,
    DifferenceKind,
    DifferencePage,
    DifferenceState,
    DifferenceView,
    LineIn,
    Lines,
    PeriodIn,
    Resolution,
    RunIn,
    RunPage,
    RunView,
    StatementIn,
    StatementView,
)
from settlement.services.reconciliation.service import Reconciliation
from settlement.services.reconciliation.statements import Statements

if TYPE_CHECKING:
    from pydantic import BaseModel

SCHEDULE_INTERVAL_MS = 1_000

NO_STATEMENT = refusals({404: "statement_not_found"})
ADDING = refusals({404: "statement_not_found", 409: "statement_was_pulled"})
NO_DIFFERENCE = refusals({404: "difference_not_found"})
RESOLVING = refusals({404: "difference_not_found", 409: "already_resolved"})

Id = Annotated[int, Path(ge=1, le=2**53)]
Limit = Annotated[int, Query(ge=1, le=500)]


def create(chassis: Chassis) -> ServiceApp:
    """The reconciliation service of one replica."""
    statements = Statements(chassis.database, chassis.clock)
    differences = Differences(chassis)
    reconciliation = Reconciliation(chassis, statements, differences)

    async def start() -> None:
        await reconciliation.fail_interrupted()
        chassis.every(SCHEDULE_INTERVAL_MS, reconciliation.run_scheduled, "scheduled_runs")

    router = APIRouter()
    router.routes.extend(_statement_router(statements).routes)
    router.routes.extend(_run_router(reconciliation).routes)
    router.routes.extend(_difference_router(differences).routes)
    return ServiceApp(router=router, start=start)


def _statement_router(statements: Statements) -> APIRouter:
    router = APIRouter(prefix="/statements", dependencies=[Depends(operator)])

    @router.post("", status_code=201, response_model=StatementView)
    async def upload(request: StatementIn) -> Response:
        lines = [_line(entry) for entry in request.entries]
        period = (request.from_ms, request.until_ms)
        made = await statements.import_lines(request.channel, "uploaded", *period, request.until_ms, lines)
        return JSONResponse(await statements.describe(made), 201)

    @router.post("/{statement_id}/entries", response_model=StatementView, responses=ADDING)
    async def add_lines(statement_id: Id, request: Lines) -> Response:
        known = await statements.find(statement_id)
        if known.source != "uploaded":
            raise Problem(409, "statement_was_pulled", "Only an uploaded statement takes lines")
        await statements.add(statement_id, [_line(entry) for entry in request.entries])
        return JSONResponse(await statements.describe(statement_id))

    @router.get("/{statement_id}", response_model=StatementView, responses=NO_STATEMENT)
    async def read_statement(statement_id: Id) -> Response:
        return JSONResponse(await statements.describe(statement_id))

    return router


def _run_router(reconciliation: Reconciliation) -> APIRouter:
    router = APIRouter(prefix="/runs", dependencies=[Depends(operator)])

    @router.post("", status_code=202, response_model=RunView, responses=NO_STATEMENT)
    async def begin_run(request: PeriodIn | RunIn) -> Response:
        if isinstance(request, RunIn):
            return _json(await reconciliation.begin_uploaded(request.statement_id), status=202)
        return _json(await reconciliation.begin(request), status=202)

    @router.get("", response_model=RunPage)
    async def list_runs(before: Annotated[int, Query(ge=1, le=2**53)] = 2**53, limit: Limit = 50) -> Response:
        found = await reconciliation.page(before=before, limit=limit)
        next_before = found[-1].run_id if len(found) == limit else None
        return JSONResponse({"runs": [run.model_dump() for run in found], "next_before": next_before})

    @router.get("/{run_id}", response_model=RunView, responses=refusals({404: "run_not_found"}))
    async def read_run(run_id: Id) -> Response:
        return _json(await reconciliation.find(run_id))

    return router


def _difference_router(differences: Differences) -> APIRouter:
    router = APIRouter(prefix="/differences", dependencies=[Depends(operator)])

    @router.get("", response_model=DifferencePage)
    async def list_differences(
        state: Annotated[DifferenceState | None, Query()] = None,
        kind: Annotated[DifferenceKind | None, Query()] = None,
        channel: Annotated[ChannelName | None, Query()] = None,
        run_id: Annotated[int | None, Query(ge=1, le=2**53)] = None,
        after: Annotated[int, Query(ge=0, le=2**53)] = 0,
        limit: Limit = 100,
    ) -> Response:
        equal = {"state": state, "kind": kind, "channel": channel, "run_id": run_id}
        found = await differences.page(after=after, limit=limit, **equal)
        next_after = found[-1].difference_id if len(found) == limit else None
        return JSONResponse({"differences": [item.model_dump() for item in found], "next_after": next_after})

    @router.get("/{difference_id}", response_model=DifferenceView, responses=NO_DIFFERENCE)
    async def read_difference(difference_id: Id) -> Response:
        return _json(await differences.find(difference_id))

    @router.post("/{difference_id}/resolve", response_model=DifferenceView, responses=RESOLVING)
    async def resolve(difference_id: Id, request: Resolution) -> Response:
        return _json(await differences.resolve(difference_id, request.note))

    return router


def _line(entry: LineIn) -> Line:
    return Line(entry_id=entry.id, **entry.model_dump(exclude={"id"}))


def _json(body: BaseModel, status: int = 200) -> Response:
    return Response(body.model_dump_json(), status, media_type="application/json")
