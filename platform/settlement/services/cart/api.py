"""HTTP face of the cart."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from fastapi import APIRouter, Depends, Path, Response

from settlement.chassis.app import Chassis, ServiceApp
from settlement.chassis.refusals import refusals
from settlement.chassis.security import current_user, signed_service
from settlement.services.cart.schemas import GOODS_ID_MAX, CartItem, CartView, ItemChange, OrderCreated
from settlement.services.cart.service import CartService

if TYPE_CHECKING:
    from settlement.chassis.database import Transaction
    from settlement.chassis.events import Event

UserId = Annotated[int, Depends(current_user)]
GoodsId = Annotated[int, Path(ge=1, le=GOODS_ID_MAX)]


def create(chassis: Chassis) -> ServiceApp:
    """The cart service of one replica."""
    service = CartService(chassis.database, chassis.clock, chassis.cache, chassis.settings, chassis.degradation)

    async def order_created(tx: Transaction, event: Event) -> None:
        await service.take_out(tx, OrderCreated.model_validate(event.data))

    router = APIRouter()
    router.routes.extend(_user_router(service).routes)
    router.routes.extend(_internal_router(service).routes)
    return ServiceApp(router=router, consumers={"order.created": order_created})


def _user_router(service: CartService) -> APIRouter:
    router = APIRouter(prefix="/cart")

    @router.get("", response_model=CartView)
    async def read_cart(user_id: UserId) -> Response:
        return _json(await service.render(user_id))

    @router.put("/items/{goods_id}", response_model=CartItem, responses=refusals({409: "cart_full"}))
    async def put_item(user_id: UserId, goods_id: GoodsId, change: ItemChange) -> Response:
        item = await service.put(user_id, goods_id, change.count)
        return _json(item.model_dump_json().encode())

    @router.delete("/items/{goods_id}", status_code=204)
    async def remove_item(user_id: UserId, goods_id: GoodsId) -> Response:
        await service.remove(user_id, goods_id)
        return Response(status_code=204)

    @router.delete("", status_code=204)
    async def clear_cart(user_id: UserId) -> Response:
        await service.clear(user_id)
        return Response(status_code=204)

    return router


def _internal_router(service: CartService) -> APIRouter:
    """For other services: whose cart it is stands in the path, and the signature vouches for it."""
    router = APIRouter(prefix="/internal", dependencies=[Depends(signed_service)])

    @router.get("/carts/{user_id}", response_model=CartView)
    async def read_cart_of(user_id: Annotated[int, Path(ge=1, le=2**63 - 1)]) -> Response:
        return _json(await service.render(user_id))

    return router


def _json(body: bytes) -> Response:
    return Response(body, media_type="application/json")
