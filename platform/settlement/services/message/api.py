"""HTTP face of the message service."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final

from fastapi import APIRouter, Depends, Path, Query
from starlette.responses import JSONResponse, Response

from settlement.chassis.app import Chassis, ServiceApp
from settlement.chassis.refusals import refusals
from settlement.chassis.security import current_user, operator
from settlement.services.message.deliveries import POLL_INTERVAL_MS, Deliveries
from settlement.services.message.notices import TITLES
from settlement.services.message.schemas import Channel, DeliveryPage, DeliveryState, MessagePage, MessageView, Unread
from settlement.services.message.service import MessageService

if TYPE_CHECKING:
    from pydantic import BaseModel

ID_MAX: Final = 2**63 - 1

UserId = Annotated[int, Depends(current_user)]
MessageId = Annotated[int, Path(ge=1, le=ID_MAX)]
Limit = Annotated[int, Query(ge=1, le=100)]
Before = Annotated[int | None, Query(ge=1, le=ID_MAX)]
After = Annotated[int, Query(ge=0, le=ID_MAX)]


def create(chassis: Chassis) -> ServiceApp:
    """The message service of one replica."""
    service, deliveries = MessageService(chassis), Deliveries(chassis)

    async def start() -> None:
        chassis.every(POLL_INTERVAL_MS, deliveries.deliver_due, "deliveries")

    router = APIRouter()
    router.routes.extend(_user_router(service).routes)
    router.routes.extend(_operator_router(deliveries).routes)
    return ServiceApp(router=router, start=start, consumers=dict.fromkeys(TITLES, service.take))


def _user_router(service: MessageService) -> APIRouter:
    router = APIRouter(prefix="/messages")

    @router.get("", response_model=MessagePage)
    async def list_messages(
        user_id: UserId, limit: Limit = 20, before: Before = None, unread: bool = False
    ) -> Response:
        return _json(await service.page(user_id, before=before, limit=limit, unread=unread))

    @router.get("/unread", response_model=Unread)
    async def count_unread(user_id: UserId) -> Response:
        return JSONResponse({"unread": await service.unread(user_id)})

    @router.post("/{message_id}/read", response_model=MessageView, responses=refusals({404: "message_not_found"}))
    async def mark_read(user_id: UserId, message_id: MessageId) -> Response:
        return _json(await service.mark_read(user_id, message_id))

    return router


def _operator_router(deliveries: Deliveries) -> APIRouter:
    router = APIRouter(prefix="/operator", dependencies=[Depends(operator)])

    @router.get("/deliveries", response_model=DeliveryPage)
    async def list_deliveries(
        state: DeliveryState | None = None, channel: Channel | None = None, limit: Limit = 20, after: After = 0
    ) -> Response:
        return _json(await deliveries.page(state=state, channel=channel, after=after, limit=limit))

    return router


def _json(body: BaseModel) -> Response:
    return Response(body.model_dump_json(), media_type="application/json")
