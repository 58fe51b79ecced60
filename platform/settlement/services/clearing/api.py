"""HTTP face of clearing: operators close days and look at batches; orders come as events."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from fastapi import APIRouter, Depends, Path, Query, Response
from starlette.responses import JSONResponse

from settlement.chassis.app import Chassis, ServiceApp
from settlement.chassis.inbox import Consumer
from settlement.chassis.refusals import refusals
from settlement.chassis.security import operator
from settlement.services.clearing.entries import enter
from settlement.services.clearing.schemas import (
    BatchPage,
    BatchState,
    BatchView,
    Closed,
    CloseRequest,
    Day,
    OrderSettled,
)
from settlement.services.clearing.service import ClearingService

if TYPE_CHECKING:
    from settlement.chassis.database import Transaction
    from settlement.chassis.events import Event

SETTLE_INTERVAL_MS = 500
CLOSE_INTERVAL_MS = 1_000

BatchId = Annotated[str, Path(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9_.-]+$")]


def create(chassis: Chassis) -> ServiceApp:
    """The clearing service of one replica."""
    service = ClearingService(chassis)

    async def order_paid(tx: Transaction, event: Event) -> None:
        await enter(tx, "paid", OrderSettled.model_validate(event.data))

    async def order_refunded(tx: Transaction, event: Event) -> None:
        await enter(tx, "refunded", OrderSettled.model_validate(event.data))

    async def start() -> None:
        chassis.every(CLOSE_INTERVAL_MS, service.close_due, "close_days")
        chassis.every(SETTLE_INTERVAL_MS, service.settle, "settle_batches")

    router = APIRouter()
    router.routes.extend(_operator_router(service).routes)
    consumers: dict[str, Consumer] = {"order.paid": order_paid, "order.refunded": order_refunded}
    return ServiceApp(router=router, start=start, consumers=consumers)


def _operator_router(service: ClearingService) -> APIRouter:
    router = APIRouter(prefix="/batches", dependencies=[Depends(operator)])

    @router.post("/close", response_model=Closed, responses=refusals({422: "day_not_begun"}))
    async def close_day(request: CloseRequest) -> Response:
        made = await service.close(request.day)
        return JSONResponse({"day": request.day, "batches": [batch.model_dump() for batch in made]})

    @router.get("", response_model=BatchPage)
    async def list_batches(
        day: Annotated[Day | None, Query()] = None,
        state: Annotated[BatchState | None, Query()] = None,
        after: Annotated[str, Query(max_length=64)] = "",
        limit: Annotated[int, Query(ge=1, le=500)] = 100,
    ) -> Response:
        found = await service.page(day=day, state=state, after=after, limit=limit)
        next_after = found[-1].batch_id if len(found) == limit else None
        return JSONResponse({"batches": [batch.model_dump() for batch in found], "next_after": next_after})

    @router.get("/{batch_id}", response_model=BatchView, responses=refusals({404: "batch_not_found"}))
    async def read_batch(batch_id: BatchId) -> Response:
        return JSONResponse((await service.find(batch_id)).model_dump())

    return router
