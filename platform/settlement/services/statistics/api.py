"""HTTP face of the statistics service. For operators only: the figures are of all users and merchants together."""

from __future__ import annotations

from typing import Annotated, Final

from fastapi import APIRouter, Depends, Query, Request
from starlette.responses import Response

from settlement.chassis.app import Chassis, ServiceApp
from settlement.chassis.last_answers import AGED, LastAnswers
from settlement.chassis.refusals import Responses, refusals
from settlement.chassis.security import chassis_of, operator
from settlement.services.statistics.counting import consumers
from settlement.services.statistics.schemas import Figures, Group, Summary
from settlement.services.statistics.service import Interval, Statistics, interval

COUNTING: Final[Responses] = {200: AGED, **refusals({422: "interval_empty | too_many_rows"})}

Moment = Annotated[int | None, Query(ge=0, lt=2**53)]


async def _asked(request: Request, from_ms: Moment = None, to_ms: Moment = None) -> Interval:
    return interval(from_ms, to_ms, chassis_of(request).clock.now_ms())


Over = Annotated[Interval, Depends(_asked)]


def create(chassis: Chassis) -> ServiceApp:
    """The statistics service of one replica."""
    statistics = Statistics(chassis)

    router = APIRouter()
    router.routes.extend(_operator_router(statistics, LastAnswers(chassis, "statistics")).routes)
    return ServiceApp(router=router, consumers=consumers())


def _operator_router(statistics: Statistics, last: LastAnswers) -> APIRouter:
    router = APIRouter(prefix="/statistics", dependencies=[Depends(operator)])

    @router.get("/payments", response_model=Figures, responses=COUNTING)
    async def payments(request: Request, over: Over, group: Group = "status") -> Response:
        async def read() -> bytes:
            return _json(await statistics.payments(over, group))

        return await last.answer(request, read)

    @router.get("/orders", response_model=Figures, responses=COUNTING)
    async def orders(request: Request, over: Over, group: Group = "status") -> Response:
        async def read() -> bytes:
            return _json(await statistics.orders(over, group))

        return await last.answer(request, read)

    @router.get("/summary", response_model=Summary, responses=COUNTING)
    async def summary(request: Request, over: Over) -> Response:
        async def read() -> bytes:
            return (await statistics.summary(over)).model_dump_json().encode()

        return await last.answer(request, read)

    return router


def _json(figures: Figures) -> bytes:
    # Of the groups, every row shows the one that was asked for.
    return figures.model_dump_json(exclude_none=True).encode()
