"""The user center's endpoints."""

from __future__ import annotations

from typing import Annotated, Final

from fastapi import APIRouter, Depends, Request
from starlette.responses import JSONResponse, Response

from settlement.chassis.app import Chassis, ServiceApp
from settlement.chassis.security import current_user
from settlement.services.usercenter.schemas import ProfileChange, SessionIn, UserIn
from settlement.services.usercenter.service import UserCenter

CLEANUP_INTERVAL_MS: Final = 60_000

User = Annotated[int, Depends(current_user)]


async def _client_address(request: Request) -> str:
    """The address of the connection; no header can change it."""
    return request.client.host if request.client is not None else ""


Address = Annotated[str, Depends(_client_address)]


def create(chassis: Chassis) -> ServiceApp:
    """Accounts and sessions of the platform."""
    center = UserCenter(chassis)
    router = APIRouter()

    @router.post("/captcha", status_code=201)
    async def new_captcha() -> Response:
        return JSONResponse(await center.new_captcha(), 201)

    @router.post("/users")
    async def register(body: UserIn, address: Address) -> Response:
        return JSONResponse({"user_id": await center.register(body, address)}, 201)

    @router.post("/sessions")
    async def log_in(body: SessionIn, address: Address) -> Response:
        return JSONResponse(await center.log_in(body, address), 201)

    @router.get("/users/me")
    async def show_me(user_id: User) -> Response:
        return JSONResponse(await center.profile(user_id))

    @router.patch("/users/me")
    async def change_me(user_id: User, body: ProfileChange, address: Address) -> Response:
        return JSONResponse(await center.change(user_id, body, address))

    async def start() -> None:
        await center.start()
        chassis.every(CLEANUP_INTERVAL_MS, center.forget_old, "usercenter_cleanup")

    return ServiceApp(router, start)
