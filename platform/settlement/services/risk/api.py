"""HTTP face of risk: assessments for the gateway, rules and past verdicts for operators."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from fastapi import APIRouter, Depends, Path, Query, Response
from starlette.responses import JSONResponse

from settlement.chassis.app import Chassis, ServiceApp
from settlement.chassis.refusals import refusals
from settlement.chassis.security import operator, signed_service
from settlement.services.risk.rules import RuleBook
from settlement.services.risk.schemas import (
    Assessment,
    AssessmentPage,
    AssessmentRequest,
    NewRule,
    RuleChange,
    RuleHistory,
    RuleList,
    RuleView,
    Verdict,
)
from settlement.services.risk.service import RiskService

if TYPE_CHECKING:
    from pydantic import BaseModel

# What an allowing assessment, which does not wait for the disk, may be behind it.
SYNC_INTERVAL_MS = 1_000

NO_RULE = refusals({404: "rule_not_found"})
CREATING = refusals({409: "rule_exists | too_many_rules"})
CHANGING = refusals({404: "rule_not_found", 409: "rule_changed"})

Name = Annotated[str, Path(pattern=r"^[a-z0-9][a-z0-9-]{0,63}$")]
Version = Annotated[int, Query(ge=1, le=2**31 - 1)]


def create(chassis: Chassis) -> ServiceApp:
    """The risk service of one replica."""
    book = RuleBook(chassis.database, chassis.clock)
    service = RiskService(chassis, book)

    async def start() -> None:
        await book.refresh()
        chassis.every(lambda: chassis.settings.integer("risk.rules_refresh_ms"), book.refresh, "rules")
        chassis.every(SYNC_INTERVAL_MS, service.sync, "disk")

    router = APIRouter()
    router.routes.extend(_assessment_router(service).routes)
    router.routes.extend(_operator_router(service).routes)
    router.routes.extend(_rule_router(book).routes)
    return ServiceApp(router=router, start=start)


def _assessment_router(service: RiskService) -> APIRouter:
    router = APIRouter(dependencies=[Depends(signed_service)])

    @router.post("/assessments", response_model=Assessment)
    async def assess(request: AssessmentRequest) -> Response:
        return _json(await service.assess(request))

    return router


def _operator_router(service: RiskService) -> APIRouter:
    router = APIRouter(dependencies=[Depends(operator)])

    @router.get("/assessments", response_model=AssessmentPage)
    async def list_assessments(
        user_id: Annotated[int | None, Query(ge=1, le=2**63 - 1)] = None,
        verdict: Annotated[Verdict | None, Query()] = None,
        before: Annotated[int, Query(ge=1, le=2**53)] = 2**53,
        limit: Annotated[int, Query(ge=1, le=200)] = 50,
    ) -> Response:
        found = await service.page(user_id=user_id, verdict=verdict, before=before, limit=limit)
        next_before = found[-1].assessment_id if len(found) == limit else None
        return JSONResponse({"assessments": [item.model_dump() for item in found], "next_before": next_before})

    return router


def _rule_router(book: RuleBook) -> APIRouter:
    router = APIRouter(prefix="/rules", dependencies=[Depends(operator)])

    @router.get("", response_model=RuleList)
    async def list_rules() -> Response:
        return JSONResponse({"rules": [rule.model_dump(mode="json") for rule in await book.all()]})

    @router.post("", status_code=201, response_model=RuleView, responses=CREATING)
    async def create_rule(request: NewRule) -> Response:
        return _json(await book.create(request.name, request.rule), status=201)

    @router.get("/{name}", response_model=RuleView, responses=NO_RULE)
    async def read_rule(name: Name) -> Response:
        return _json(await book.find(name))

    @router.get("/{name}/history", response_model=RuleHistory, responses=NO_RULE)
    async def read_history(name: Name) -> Response:
        return JSONResponse({"versions": [rule.model_dump(mode="json") for rule in await book.history(name)]})

    @router.put("/{name}", response_model=RuleView, responses=CHANGING)
    async def change_rule(name: Name, request: RuleChange) -> Response:
        return _json(await book.change(name, request.version, request.rule))

    @router.delete("/{name}", status_code=204, responses=CHANGING)
    async def delete_rule(name: Name, version: Version) -> Response:
        await book.delete(name, version)
        return Response(status_code=204)

    return router


def _json(body: BaseModel, status: int = 200) -> Response:
    """The body as JSON, written by pydantic at once: the framework's own way would validate it a second time."""
    return Response(body.model_dump_json(), status, media_type="application/json")
