"""The user center's endpoints."""

from __future__ import annotations

from typing import Annotated, Final

from fastapi import APIRouter, Depends, Request
from starlette.responses import JSONResponse, Response

from settlement.chassis.app import Chassis, ServiceApp
from settlement.chassis.refusals import refusals
from settlement.chassis.security import current_user
from settlement.services.usercenter.schemas import (
    CaptchaView,
    ProfileChange,
    ProfileView,
    Registered,
    SessionIn,
    SessionView,
    UserIn,
)
from settlement.services.usercenter.service import UserCenter

CLEANUP_INTERVAL_MS: Final = 60_000

TAKEN: Final = "email_taken | phone_taken"
REGISTERING: Final = refusals({409: TAKEN, 422: "captcha_wrong", 429: "too_many_attempts"})
LOGGING_IN: Final = refusals({401: "login_failed", 429: "too_many_attempts"})
CHANGING: Final = refusals({403: "wrong_password", 409: TAKEN, 429: "too_many_attempts"})

User = Annotated[int, Depends(current_user)]


async def _client_address(request: Request) -> str:
    """The address of the connection; no header can change it."""
    return request.client.host if request.client is not None else ""


Address = Annotated[str, Depends(_client_address)]


def create(chassis: Chassis) -> ServiceApp:
    """Accounts and sessions of the platform."""
    center = UserCenter(chassis)
    router = APIRouter()

    @router.post("/captcha", status_code=201, response_model=CaptchaView)
    async def new_captcha() -> Response:
        return JSONResponse(await center.new_captcha(), 201)

    @router.post("/users", status_code=201, response_model=Registered, responses=REGISTERING)
    async def register(body: UserIn, address: Address) -> Response:
        return JSONResponse({"user_id": await center.register(body, address)}, 201)

    @router.post("/sessions", status_code=201, response_model=SessionView, responses=LOGGING_IN)
    async def log_in(body: SessionIn, address: Address) -> Response:
        return JSONResponse(await center.log_in(body, address), 201)

    @router.get("/users/me", response_model=ProfileView)
    async def show_me(user_id: User) -> Response:
        return JSONResponse(await center.profile(user_id))

    @router.patch("/users/me", response_model=ProfileView, responses=CHANGING)
    async def change_me(user_id: User, body: ProfileChange, address: Address) -> Response:
        return JSONResponse(await center.change(user_id, body, address))

    async def start() -> None:
        await center.start()
        chassis.every(CLEANUP_INTERVAL_MS, center.forget_old, "usercenter_cleanup")

    return ServiceApp(router, start)
