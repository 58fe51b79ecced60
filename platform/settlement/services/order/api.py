"""HTTP face of the order service."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from fastapi import APIRouter, Depends, Path, Query, Request, Response

from settlement.chassis.app import Chassis, ServiceApp
from settlement.chassis.fields import REPLAYED, IdempotencyKey
from settlement.chassis.last_answers import AGED, LastAnswers
from settlement.chassis.participant_driver import ParticipantDriver
from settlement.chassis.problems import Problem
from settlement.chassis.refusals import refusals
from settlement.chassis.security import current_user
from settlement.services.order.catalogue import Catalogue
from settlement.services.order.creation import OrderCreation
from settlement.services.order.model import barrier
from settlement.services.order.participant import OrderBusiness
from settlement.services.order.schemas import GoodsPage, GoodsView, OrderPage, OrderRequest, OrderView
from settlement.services.order.service import OrderService

if TYPE_CHECKING:
    from pydantic import BaseModel

EXPIRE_INTERVAL_MS = 1_000

CREATING = refusals(
    {
        409: "cart_empty",
        422: "goods_not_found | total_too_large | idempotency_key_reused",
        503: "cart_unavailable",
    }
)
CANCELLING = refusals({404: "order_not_found", 409: "order_not_cancellable"})

UserId = Annotated[int, Depends(current_user)]
Limit = Annotated[int, Query(ge=1, le=100)]
OrderNo = Annotated[str, Path(max_length=64)]


def create(chassis: Chassis) -> ServiceApp:
    """The order service of one replica."""
    catalogue = Catalogue(chassis.database)
    pages = LastAnswers(chassis, "goods_list")
    service = OrderService(chassis.database, chassis.clock, chassis.outbox)
    driver = ParticipantDriver(chassis, OrderBusiness(chassis.clock, chassis.outbox), barrier)

    async def start() -> None:
        await catalogue.seed(
            goods_count=chassis.settings.integer("order.goods_count"),
            stock_per_goods=chassis.settings.integer("order.stock_per_goods"),
            merchant_count=chassis.settings.integer("order.merchant_count"),
            currency=chassis.settings.text("gateway.currency"),
        )
        await driver.start()
        chassis.every(EXPIRE_INTERVAL_MS, service.expire, "order_expiry")

    router = APIRouter()
    router.routes.extend(_goods_router(catalogue, pages).routes)
    router.routes.extend(_orders_router(OrderCreation(chassis, catalogue), service).routes)
    router.routes.extend(driver.router().routes)
    return ServiceApp(router=router, start=start)


def _goods_router(catalogue: Catalogue, pages: LastAnswers) -> APIRouter:
    router = APIRouter()

    @router.get("/goods", response_model=GoodsPage, responses={200: AGED})
    async def list_goods(
        request: Request, limit: Limit = 20, after: Annotated[int, Query(ge=0, le=2**53 - 1)] = 0
    ) -> Response:
        async def read() -> bytes:
            return (await catalogue.page(after=after, limit=limit)).model_dump_json().encode()

        # Ordering checks the stock anyway, so browsing may go on with what it was.
        return await pages.answer(request, read)

    @router.get("/goods/{goods_id}", response_model=GoodsView, responses=refusals({404: "goods_not_found"}))
    async def read_goods(goods_id: Annotated[int, Path(ge=1, le=2**53 - 1)]) -> Response:
        found = await catalogue.find(goods_id)
        if found is None:
            raise Problem(404, "goods_not_found", "No such goods", f"there is no goods {goods_id}")
        return _json(found)

    return router


def _orders_router(creation: OrderCreation, service: OrderService) -> APIRouter:
    router = APIRouter()

    @router.post("/orders", status_code=201, response_model=OrderView, responses={201: REPLAYED, **CREATING})
    async def create_order(user_id: UserId, request: OrderRequest, idempotency_key: IdempotencyKey = None) -> Response:
        order, replayed = await creation.create(user_id, request, idempotency_key)
        return _json(order, status=201, headers={"Idempotent-Replayed": "true"} if replayed else None)

    @router.get("/orders", response_model=OrderPage)
    async def list_orders(
        user_id: UserId, limit: Limit = 20, after: Annotated[str | None, Query(pattern=r"^[0-9a-f]{1,50}$")] = None
    ) -> Response:
        return _json(await service.page(user_id, after=after, limit=limit))

    @router.get("/orders/{order_no}", response_model=OrderView, responses=refusals({404: "order_not_found"}))
    async def read_order(user_id: UserId, order_no: OrderNo) -> Response:
        return _json(await service.find(user_id, order_no))

    @router.post("/orders/{order_no}/cancel", response_model=OrderView, responses=CANCELLING)
    async def cancel_order(user_id: UserId, order_no: OrderNo) -> Response:
        return _json(await service.cancel(user_id, order_no))

    return router


def _json(body: BaseModel, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """The body as JSON, written by pydantic at once: the framework's own way would validate it a second time."""
    return Response(body.model_dump_json(), status, headers, media_type="application/json")
