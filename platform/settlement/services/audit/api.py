"""HTTP face of the audit trail: for operators only."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Query
from starlette.responses import JSONResponse, Response

from settlement.chassis.app import Chassis, ServiceApp
from settlement.chassis.problems import Problem
from settlement.chassis.refusals import refusals
from settlement.chassis.security import operator
from settlement.services.audit.chain import Link, Record
from settlement.services.audit.schemas import RecordPage, VerdictView
from settlement.services.audit.service import Trail, Verdict
from settlement.topology import SUBSCRIPTIONS

SEQ_MAX: Final = 2**53 - 1

After = Annotated[int, Query(ge=0, le=SEQ_MAX)]
Limit = Annotated[int, Query(ge=1, le=200)]
WalkLimit = Annotated[int, Query(ge=1, le=100_000)]
TypeAsked = Annotated[str | None, Query(min_length=1, max_length=64)]
SubjectAsked = Annotated[str | None, Query(min_length=1, max_length=128)]
CheckpointSeq = Annotated[int | None, Query(ge=1, le=SEQ_MAX)]
CheckpointHash = Annotated[str | None, Query(pattern=r"^[0-9a-f]{64}$")]


def create(chassis: Chassis) -> ServiceApp:
    """The audit service of one replica."""
    trail = Trail(chassis)
    router = APIRouter()
    router.routes.extend(_operator_router(trail).routes)
    heard = [event_type for event_type, subscribers in SUBSCRIPTIONS.items() if chassis.service in subscribers]
    return ServiceApp(router=router, start=trail.begin, consumers=dict.fromkeys(heard, trail.append))


def _operator_router(trail: Trail) -> APIRouter:
    router = APIRouter(prefix="/audit", dependencies=[Depends(operator)])

    @router.get("/records", response_model=RecordPage)
    async def list_records(
        after: After = 0,
        limit: Limit = 50,
        type: TypeAsked = None,  # noqa: A002 - the name of the field in the answer
        subject: SubjectAsked = None,
    ) -> Response:
        shown, next_after = await trail.page(after=after, limit=limit, type=type, subject=subject)
        return JSONResponse({"records": [_shown(record) for record in shown], "next_after": next_after})

    @router.get("/head", response_model=Link)
    async def show_head() -> Response:
        return JSONResponse(asdict(await trail.head()))

    @router.get("/verify", response_model=VerdictView, responses=refusals({422: "checkpoint_incomplete"}))
    async def verify(
        after: After = 0,
        limit: WalkLimit = 10_000,
        checkpoint_seq: CheckpointSeq = None,
        checkpoint_hash: CheckpointHash = None,
    ) -> Response:
        checkpoint = _checkpoint(checkpoint_seq, checkpoint_hash)
        return JSONResponse(_told(await trail.verify(after=after, limit=limit, checkpoint=checkpoint)))

    return router


def _checkpoint(seq: int | None, digest: str | None) -> Link | None:
    if (seq is None) != (digest is None):
        detail = "checkpoint_seq and checkpoint_hash belong together"
        raise Problem(422, "checkpoint_incomplete", "Half a checkpoint", detail)
    return None if seq is None or digest is None else Link(seq, digest)


def _shown(record: Record) -> dict[str, Any]:
    try:
        data = json.loads(record.data)
    except ValueError:  # somebody tampered with it; `verify` says so
        data = record.data
    return {**asdict(record), "data": data}


def _told(verdict: Verdict) -> dict[str, Any]:
    """`intact` is said of the records walked; `next_after` leads on while there are more."""
    unfinished = verdict.finding is None and verdict.end.seq < verdict.head.seq
    return {
        "intact": verdict.finding is None,
        "proven": verdict.proven,
        "next_after": verdict.end.seq if unfinished else None,
        "head": asdict(verdict.head),
        "broken": None if verdict.finding is None else asdict(verdict.finding),
    }
