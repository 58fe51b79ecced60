"""HTTP face of the channel. Only signed services may call it, and every call takes `channel.latency_ms`."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import date
from typing import TYPE_CHECKING, Annotated

from fastapi import APIRouter, Depends, Path, Query, Response
from starlette.responses import JSONResponse

from settlement.chassis.app import Chassis, ServiceApp
from settlement.chassis.problems import Problem
from settlement.chassis.refusals import refusals
from settlement.chassis.security import fault_operator, signed_service
from settlement.services.channel.planting import Plant, Planted, Planting
from settlement.services.channel.schemas import (
    ChannelName,
    ChargeRequest,
    ChargeView,
    PeriodStatement,
    RefundRequest,
    RefundView,
    Statement,
)
from settlement.services.channel.service import ChannelService, Decliner
from settlement.services.channel.statement import period_statement, statement

if TYPE_CHECKING:
    from pydantic import BaseModel

Moment = Annotated[int, Query(ge=0, lt=2**47)]
After = Annotated[int, Query(ge=0, le=2**53 - 1)]
Limit = Annotated[int, Query(ge=1, le=1000)]
CHARGING = refusals({402: "declined", 409: "amount_conflict | cancelled"})
READING = refusals({404: "charge_not_found"})
CAPTURING = refusals({404: "charge_not_found", 409: "cancelled | declined"})
VOIDING = refusals({409: "already_captured"})
REFUNDING = refusals({404: "charge_not_found", 409: "not_captured | refund_conflict | refund_exceeds_captured"})
PLANTING = refusals({404: "charge_not_found | line_not_found", 422: "out_trade_no_required"})

OutTradeNo = Annotated[str, Path(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9_:.-]+$")]


def create(chassis: Chassis) -> ServiceApp:
    """The channel of one replica."""
    card = ChannelService("card", chassis.database, chassis.clock)
    wallet = ChannelService("wallet", chassis.database, chassis.clock)

    async def distance() -> None:
        # A bank is far away: the caller waits, this process does not.
        await asyncio.sleep(chassis.settings.integer("channel.latency_ms") / 1000)

    def decliner() -> Decliner:
        settings = chassis.settings
        return Decliner(seed=settings.integer("channel.seed"), share=settings.number("channel.decline_share"))

    router = APIRouter()
    router.routes.extend(_card_router(card, decliner, distance).routes)
    router.routes.extend(_wallet_router(wallet, decliner, distance).routes)
    router.routes.extend(_statement_router(chassis).routes)
    if chassis.secrets.fault is not None:
        router.routes.extend(_planting_router(chassis).routes)
    return ServiceApp(router=router)


def _card_router(
    card: ChannelService, decliner: Callable[[], Decliner], distance: Callable[[], Awaitable[None]]
) -> APIRouter:
    router = APIRouter(prefix="/card/authorizations", dependencies=[Depends(signed_service), Depends(distance)])

    @router.post("", status_code=201, response_model=ChargeView, responses=CHARGING)
    async def authorize(request: ChargeRequest) -> Response:
        return _json(await card.charge(request, decliner()), status=201)

    @router.get("/{out_trade_no}", response_model=ChargeView, responses=READING)
    async def read_authorization(out_trade_no: OutTradeNo) -> Response:
        return _json(await card.find(out_trade_no))

    @router.post("/{out_trade_no}/capture", response_model=ChargeView, responses=CAPTURING)
    async def capture(out_trade_no: OutTradeNo) -> Response:
        return _json(await card.capture(out_trade_no))

    @router.post("/{out_trade_no}/void", response_model=ChargeView, responses=VOIDING)
    async def void(out_trade_no: OutTradeNo) -> Response:
        return _json(await card.void(out_trade_no))

    @router.post("/{out_trade_no}/refunds", status_code=201, response_model=RefundView, responses=REFUNDING)
    async def refund(out_trade_no: OutTradeNo, request: RefundRequest) -> Response:
        return _json(await card.refund(out_trade_no, request), status=201)

    return router


def _wallet_router(
    wallet: ChannelService, decliner: Callable[[], Decliner], distance: Callable[[], Awaitable[None]]
) -> APIRouter:
    router = APIRouter(prefix="/wallet/payments", dependencies=[Depends(signed_service), Depends(distance)])

    @router.post("", status_code=201, response_model=ChargeView, responses=CHARGING)
    async def pay(request: ChargeRequest) -> Response:
        return _json(await wallet.charge(request, decliner()), status=201)

    @router.get("/{out_trade_no}", response_model=ChargeView, responses=READING)
    async def read_payment(out_trade_no: OutTradeNo) -> Response:
        return _json(await wallet.find(out_trade_no))

    @router.post("/{out_trade_no}/cancel", response_model=ChargeView, responses=VOIDING)
    async def cancel(out_trade_no: OutTradeNo) -> Response:
        return _json(await wallet.void(out_trade_no))

    @router.post("/{out_trade_no}/refunds", status_code=201, response_model=RefundView, responses=REFUNDING)
    async def refund(out_trade_no: OutTradeNo, request: RefundRequest) -> Response:
        return _json(await wallet.refund(out_trade_no, request), status=201)

    return router


def _statement_router(chassis: Chassis) -> APIRouter:
    router = APIRouter(dependencies=[Depends(signed_service)])

    @router.get("/statements/{day}", response_model=Statement, responses=refusals({422: "no_such_day"}))
    async def read_statement(
        day: Annotated[str, Path(pattern=r"^\d{4}-\d{2}-\d{2}$")],
        after: After = 0,
        limit: Limit = 1000,
    ) -> Response:
        try:
            asked = date.fromisoformat(day)
        except ValueError as error:
            raise Problem(422, "no_such_day", "No such day", str(error)) from error
        return _json(await statement(chassis.database, asked, after=after, limit=limit))

    @router.get("/statements", response_model=PeriodStatement)
    async def read_period(
        channel: Annotated[ChannelName, Query()],
        from_ms: Moment,
        until_ms: Moment,
        after: After = 0,
        limit: Limit = 1000,
    ) -> Response:
        found = await period_statement(chassis.database, channel, from_ms, until_ms, after=after, limit=limit)
        return _json(found)

    return router


def _planting_router(chassis: Chassis) -> APIRouter:
    """Only where faults may be injected: statements that are wrong on purpose."""
    router = APIRouter(prefix="/operator/statements/plant", dependencies=[Depends(fault_operator)])
    planting = Planting(chassis.database, chassis.clock)

    @router.post("", status_code=201, response_model=Planted, responses=PLANTING)
    async def plant(request: Plant) -> Response:
        chassis.log.warning("statement_corrupted", kind=request.kind, out_trade_no=request.out_trade_no)
        return JSONResponse(await planting.plant(request), 201)

    @router.delete("", status_code=204)
    async def remove_planted() -> Response:
        await planting.remove_all()
        return Response(status_code=204)

    return router


def _json(body: BaseModel, status: int = 200) -> Response:
    """The body as JSON, written by pydantic at once: the framework's own way would validate it a second time."""
    return Response(body.model_dump_json(), status, media_type="application/json")
