"""HTTP face of the payment service: a participant to the coordinator, balances to customers, the books to operators."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends
from fastapi.responses import JSONResponse

from settlement.chassis.app import Chassis, ServiceApp
from settlement.chassis.participant_driver import ParticipantDriver
from settlement.chassis.security import current_user, operator
from settlement.services.payment.books import Books
from settlement.services.payment.channel import Channel
from settlement.services.payment.model import barrier
from settlement.services.payment.service import PaymentBusiness

UserId = Annotated[int, Depends(current_user)]


def create(chassis: Chassis) -> ServiceApp:
    """The payment service of one replica."""
    books = Books(chassis.database, chassis.clock, chassis.settings)
    driver = ParticipantDriver(chassis, PaymentBusiness(Channel(chassis), books, chassis.clock), barrier)
    router = APIRouter()
    router.routes.extend(driver.router().routes)

    @router.get("/accounts/me")
    async def read_account(user_id: UserId) -> JSONResponse:
        return JSONResponse(await books.account(user_id, chassis.settings.text("gateway.currency")))

    @router.get("/ledger/trial-balance", dependencies=[Depends(operator)])
    async def trial_balance() -> JSONResponse:
        return JSONResponse(await books.trial_balance())

    return ServiceApp(router=router, start=driver.start)
