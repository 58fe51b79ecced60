"""HTTP face of the payment service: a participant to the coordinator, balances to customers, the books to operators."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query
from fastapi.responses import JSONResponse

from settlement.chassis.app import Chassis, ServiceApp
from settlement.chassis.participant_driver import ParticipantDriver
from settlement.chassis.refusals import Responses, refusals
from settlement.chassis.security import current_user, operator, signed_service
from settlement.services.payment.books import Books
from settlement.services.payment.channel import Channel
from settlement.services.payment.model import barrier
from settlement.services.payment.movements import ChannelName, movements
from settlement.services.payment.payouts import PayoutRequest, Payouts
from settlement.services.payment.schemas import AccountView, MovementPage, PayoutView, TrialBalance
from settlement.services.payment.service import PaymentBusiness

BOOKING: Responses = {
    200: {"model": PayoutView, "description": "Booked before"},
    **refusals({409: "payout_conflict"}),
}

UserId = Annotated[int, Depends(current_user)]
Moment = Annotated[int, Query(ge=0, lt=2**47)]
BatchId = Annotated[str, Path(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9_.-]+$")]


def create(chassis: Chassis) -> ServiceApp:
    """The payment service of one replica."""
    books = Books(chassis.database, chassis.clock, chassis.settings)
    driver = ParticipantDriver(chassis, PaymentBusiness(Channel(chassis), books, chassis.clock), barrier)
    router = APIRouter()
    router.routes.extend(driver.router(takes_money=True).routes)
    router.routes.extend(_internal_router(chassis, Payouts(chassis.database, books, chassis.clock)).routes)

    @router.get("/accounts/me", response_model=AccountView, responses=refusals({503: "outcome_unknown"}))
    async def read_account(user_id: UserId) -> JSONResponse:
        return JSONResponse(await books.account(user_id, chassis.settings.text("gateway.currency")))

    @router.get("/ledger/trial-balance", response_model=TrialBalance, dependencies=[Depends(operator)])
    async def trial_balance() -> JSONResponse:
        return JSONResponse(await books.trial_balance())

    return ServiceApp(router=router, start=driver.start)


def _internal_router(chassis: Chassis, payouts: Payouts) -> APIRouter:
    """For other services: what clearing has paid out, and what reconciliation compares."""
    router = APIRouter(prefix="/internal", dependencies=[Depends(signed_service)])

    @router.post("/payouts", status_code=201, response_model=PayoutView, responses=BOOKING)
    async def book_payout(request: PayoutRequest) -> JSONResponse:
        booked, is_new = await payouts.book(request)
        return JSONResponse(booked, 201 if is_new else 200)

    @router.get("/payouts/{batch_id}", response_model=PayoutView, responses=refusals({404: "payout_not_found"}))
    async def read_payout(batch_id: BatchId) -> JSONResponse:
        return JSONResponse(await payouts.find(batch_id))

    @router.get("/movements", response_model=MovementPage)
    async def read_movements(
        channel: Annotated[ChannelName, Query()],
        from_ms: Moment,
        until_ms: Moment,
        after_ms: Moment = 0,
        after: Annotated[str, Query(max_length=64)] = "",
        limit: Annotated[int, Query(ge=1, le=1000)] = 1000,
    ) -> JSONResponse:
        period = (from_ms, until_ms)
        found = await movements(chassis.database, channel, *period, after_ms=after_ms, after=after, limit=limit)
        return JSONResponse(found)

    return router
