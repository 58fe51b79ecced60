"""HTTP face of the gateway: payments for users, outcomes for participants, transactions in doubt for operators."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Query
from prometheus_client import Gauge
from starlette.background import BackgroundTask
from starlette.responses import JSONResponse, Response

from settlement.chassis.app import Chassis, ServiceApp
from settlement.chassis.coordinator_driver import Coordinator
from settlement.chassis.fields import REPLAYED, NeededKey
from settlement.chassis.problems import Problem
from settlement.chassis.refusals import Responses, refusals
from settlement.chassis.security import current_user, operator, signed_service
from settlement.protocol.records import Decision
from settlement.services.gateway.admission import PaymentAdmission
from settlement.services.gateway.answers import FAILURES, describe
from settlement.services.gateway.interventions import Interventions
from settlement.services.gateway.journal import EXHAUSTED, UNFINISHED, GatewayJournal, record_of
from settlement.services.gateway.notifications import POLL_INTERVAL_MS, Notifier
from settlement.services.gateway.risk import RiskGate
from settlement.services.gateway.schemas import (
    CaseList,
    Gid,
    HeuristicOrder,
    Intervened,
    OperatorOrder,
    Outcome,
    PaymentRequest,
    PaymentView,
    RefundRequest,
    RefundView,
    WholeCase,
)
from settlement.services.gateway.service import GatewayService

OPEN = (*UNFINISHED, EXHAUSTED)

PAYING = {
    400: "idempotency_key_required",
    403: "risk_denied | risk_review",
    422: "idempotency_key_reused | currency_not_supported | notify_host_not_allowed",
    503: "risk_unavailable",
}
REFUNDING = {
    400: "idempotency_key_required",
    404: "payment_not_found",
    422: "idempotency_key_reused | amount_mismatch | notify_host_not_allowed",
}
NO_PAYMENT = refusals({404: "payment_not_found"})
NO_REFUND = refusals({404: "refund_not_found"})
NO_TRANSACTION = {404: "transaction_not_found"}
DECIDING = refusals({**NO_TRANSACTION, 409: "cannot_commit | contradicts_decision | already_closed | not_exhausted"})
RESUMING = refusals({**NO_TRANSACTION, 409: "already_closed | not_exhausted"})
FORGETTING = refusals({**NO_TRANSACTION, 409: "already_closed | not_exhausted | not_resolved"})

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

    @router.post("/payments", status_code=201, response_model=PaymentView, responses=_deciding(PAYING))
    async def pay(user_id: UserId, request: PaymentRequest, idempotency_key: NeededKey = None) -> Response:
        key = _required(idempotency_key)
        with admission.begun():
            return await service.pay(user_id, request, key)

    @router.get("/payments", response_model=PaymentView, responses=NO_PAYMENT)
    async def find_payment(user_id: UserId, idempotency_key: KeyAsked) -> Response:
        return JSONResponse(describe(await service.find_by_key(user_id, idempotency_key, "payment")))

    @router.get("/payments/{gid}", response_model=PaymentView, responses=NO_PAYMENT)
    async def read_payment(user_id: UserId, gid: Gid) -> Response:
        return JSONResponse(describe(await service.find(user_id, gid, "payment")))

    @router.post("/payments/{gid}/refunds", status_code=201, response_model=RefundView, responses=_deciding(REFUNDING))
    async def refund(user_id: UserId, gid: Gid, request: RefundRequest, idempotency_key: NeededKey = None) -> Response:
        key = _required(idempotency_key)
        with admission.begun():
            return await service.refund(user_id, gid, request, key)

    @router.get("/refunds", response_model=RefundView, responses=NO_REFUND)
    async def find_refund(user_id: UserId, idempotency_key: KeyAsked) -> Response:
        return JSONResponse(describe(await service.find_by_key(user_id, idempotency_key, "refund")))

    @router.get("/refunds/{gid}", response_model=RefundView, responses=NO_REFUND)
    async def read_refund(user_id: UserId, gid: Gid) -> Response:
        return JSONResponse(describe(await service.find(user_id, gid, "refund")))

    return router


def _outcome_router(journal: GatewayJournal, coordinator: Coordinator) -> APIRouter:
    router = APIRouter(dependencies=[Depends(signed_service)])

    @router.get("/transactions/{gid}/outcome", response_model=Outcome, responses=refusals({503: "outcome_unknown"}))
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

    @router.get("", response_model=CaseList)
    async def list_transactions(state: StateAsked = "exhausted", older_than_ms: AgeAsked = 0) -> Response:
        states = OPEN if state == "open" else (state,)
        return JSONResponse({"transactions": await interventions.cases(states, older_than_ms)})

    @router.get("/{gid}", response_model=WholeCase, responses=refusals(NO_TRANSACTION))
    async def read_transaction(gid: Gid) -> Response:
        return JSONResponse(await interventions.case(gid))

    @router.post("/{gid}/commit", response_model=Intervened, responses=DECIDING)
    async def commit(gid: Gid, order: HeuristicOrder) -> Response:
        return JSONResponse(await interventions.decide(gid, Decision.COMMIT, order))

    @router.post("/{gid}/abort", response_model=Intervened, responses=DECIDING)
    async def abort(gid: Gid, order: HeuristicOrder) -> Response:
        return JSONResponse(await interventions.decide(gid, Decision.ABORT, order))

    @router.post("/{gid}/resume", response_model=Intervened, responses=RESUMING)
    async def resume(gid: Gid, order: OperatorOrder) -> Response:
        return JSONResponse(await interventions.resume(gid, order))

    @router.post("/{gid}/forget", response_model=Intervened, responses=FORGETTING)
    async def forget(gid: Gid, order: OperatorOrder) -> Response:
        return JSONResponse(await interventions.forget(gid, order))

    return router


def _required(key: str | None) -> str:
    if key is None:
        raise Problem(400, "idempotency_key_required", "The header Idempotency-Key is required here")
    return key


def _deciding(codes: dict[int, str]) -> Responses:
    """The answers of a route that begins a transaction: its own refusals, and a failed transaction's reasons."""
    both = {status: " | ".join(filter(None, (codes.get(status), FAILURES.get(status)))) for status in codes | FAILURES}
    return {201: REPLAYED, **refusals(both | {409: ""}, REPLAYED["headers"])}
