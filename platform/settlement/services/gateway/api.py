"""HTTP face of the gateway: payments for users, outcomes for participants, transactions in doubt for operators."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Query
from prometheus_client import Gauge
from starlette.background import BackgroundTask
from starlette.responses import JSONResponse, Response

from settlement.chassis.app import Chassis, ServiceApp
from settlement.chassis.coordinator_driver import Coordinator
from settlement.chassis.fields import IdempotencyKey
from settlement.chassis.problems import Problem
from settlement.chassis.security import current_user, operator, signed_service
from settlement.protocol.messages import Decision
from settlement.services.gateway.admission import PaymentAdmission
from settlement.services.gateway.answers import describe
from settlement.services.gateway.interventions import Interventions
from settlement.services.gateway.journal import EXHAUSTED, UNFINISHED, GatewayJournal, record_of
from settlement.services.gateway.notifications import POLL_INTERVAL_MS, Notifier
from settlement.services.gateway.risk import RiskGate
from settlement.services.gateway.schemas import Gid, HeuristicOrder, OperatorOrder, PaymentRequest, RefundRequest
from settlement.services.gateway.service import GatewayService

OPEN = (*UNFINISHED, EXHAUSTED)

UserId = Annotated[int, Depends(current_user)]
KeyAsked = Annotated[str, Query(min_length=1, max_length=255, pattern=r"^[!-~]+$")]
StateAsked = Literal["preparing", "decided", "closed", "exhausted", "open"]
AgeAsked = Annotated[int, Query(ge=0, le=86_400_000)]


def create(chassis: Chassis) -> ServiceApp:
    """The gateway of one replica."""
    journal = GatewayJournal(chassis.database, chassis.clock, chassis.settings, chassis.outbox)
    coordinator = Coordinator(chassis, journal)
    service = GatewayService(chassis, journal, coordinator, RiskGate(chassis))
    driven = Gauge("paylab_2pc_driven", "Transactions on their way in this replica", registry=chassis.metrics.registry)
    driven.set_function(lambda: coordinator.driven)

    async def start() -> None:
        await coordinator.recover_left_behind()
        chassis.every(lambda: chassis.settings.integer("gateway.recovery_interval_ms"), coordinator.recover, "recovery")
        chassis.every(POLL_INTERVAL_MS, Notifier(chassis).deliver_due, "notifier")

    router = APIRouter()
    router.routes.extend(_user_router(service, PaymentAdmission(chassis)).routes)
    router.routes.extend(_outcome_router(journal, coordinator).routes)
    router.routes.extend(_operator_router(Interventions(chassis, journal, coordinator)).routes)
    return ServiceApp(router=router, start=start)


def _user_router(service: GatewayService, admission: PaymentAdmission) -> APIRouter:
    router = APIRouter()

    @router.post("/payments", status_code=201)
    async def pay(user_id: UserId, request: PaymentRequest, idempotency_key: IdempotencyKey = None) -> Response:
        key = _required(idempotency_key)
        with admission.begun():
            return await service.pay(user_id, request, key)

    @router.get("/payments")
    async def find_payment(user_id: UserId, idempotency_key: KeyAsked) -> Response:
        return JSONResponse(describe(await service.find_by_key(user_id, idempotency_key, "payment")))

    @router.get("/payments/{gid}")
    async def read_payment(user_id: UserId, gid: Gid) -> Response:
        return JSONResponse(describe(await service.find(user_id, gid, "payment")))

    @router.post("/payments/{gid}/refunds", status_code=201)
    async def refund(
        user_id: UserId, gid: Gid, request: RefundRequest, idempotency_key: IdempotencyKey = None
    ) -> Response:
        key = _required(idempotency_key)
        with admission.begun():
            return await service.refund(user_id, gid, request, key)

    @router.get("/refunds")
    async def find_refund(user_id: UserId, idempotency_key: KeyAsked) -> Response:
        return JSONResponse(describe(await service.find_by_key(user_id, idempotency_key, "refund")))

    @router.get("/refunds/{gid}")
    async def read_refund(user_id: UserId, gid: Gid) -> Response:
        return JSONResponse(describe(await service.find(user_id, gid, "refund")))

    return router


def _outcome_router(journal: GatewayJournal, coordinator: Coordinator) -> APIRouter:
    router = APIRouter(dependencies=[Depends(signed_service)])

    @router.get("/transactions/{gid}/outcome")
    async def outcome(gid: Gid) -> Response:
        row = await journal.find(gid)
        if row is not None:
            await journal.certain(row)
        told, after = await coordinator.outcome(gid, None if row is None else record_of(row))
        word = "undecided" if told.decision is None else told.decision.value
        return JSONResponse({"outcome": word}, background=BackgroundTask(after))

    return router


def _operator_router(interventions: Interventions) -> APIRouter:
    router = APIRouter(prefix="/operator/transactions", dependencies=[Depends(operator)])

    @router.get("")
    async def list_transactions(state: StateAsked = "exhausted", older_than_ms: AgeAsked = 0) -> Response:
        states = OPEN if state == "open" else (state,)
        return JSONResponse({"transactions": await interventions.cases(states, older_than_ms)})

    @router.get("/{gid}")
    async def read_transaction(gid: Gid) -> Response:
        return JSONResponse(await interventions.case(gid))

    @router.post("/{gid}/commit")
    async def commit(gid: Gid, order: HeuristicOrder) -> Response:
        return JSONResponse(await interventions.decide(gid, Decision.COMMIT, order))

    @router.post("/{gid}/abort")
    async def abort(gid: Gid, order: HeuristicOrder) -> Response:
        return JSONResponse(await interventions.decide(gid, Decision.ABORT, order))

    @router.post("/{gid}/resume")
    async def resume(gid: Gid, order: OperatorOrder) -> Response:
        return JSONResponse(await interventions.resume(gid, order))

    @router.post("/{gid}/forget")
    async def forget(gid: Gid, order: OperatorOrder) -> Response:
        return JSONResponse(await interventions.forget(gid, order))

    return router


def _required(key: str | None) -> str:
    if key is None:
        raise Problem(400, "idempotency_key_required", "The header Idempotency-Key is required here")
    return key
