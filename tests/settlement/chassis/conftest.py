"""A service of a few lines, so that the chassis is tested without knowing any real service."""

from __future__ import annotations

import asyncio
import sys
from types import ModuleType
from typing import Any

import pytest
import sqlalchemy as sa
from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel
from starlette.responses import JSONResponse, Response

from settlement.chassis.app import Chassis, ServiceApp
from settlement.chassis.database import Transaction
from settlement.chassis.events import Event
from settlement.chassis.security import current_user, operator, signed_service
from settlement.topology import SUBSCRIPTIONS

metadata = sa.MetaData()
notes = sa.Table("notes", metadata, sa.Column("id", sa.Integer, primary_key=True), sa.Column("text", sa.String(200)))


class NoteIn(BaseModel):
    """What the probe takes."""

    text: str
    number: int = 0


class Probe:
    """What the probe does, for tests to look at and to break."""

    def __init__(self) -> None:
        self.executed = 0
        self.headers: dict[str, str] = {}
        self.poison: set[str] = set()
        self.hold = asyncio.Event()
        self.holding = 0

    def create(self, chassis: Chassis) -> ServiceApp:
        router = APIRouter()

        @router.post("/notes", dependencies=[Depends(signed_service)])
        async def write(body: NoteIn, request: Request) -> Response:
            self.executed += 1
            self.headers = dict(request.headers)
            await chassis.crash_points.passed("coordinator.decided.persist.after")
            async with chassis.database.transaction() as tx:
                await tx.execute(sa.insert(notes), {"text": body.text})
            return JSONResponse({"executed": self.executed}, 201)

        @router.get("/notes/{number}")
        async def read(number: int) -> Response:
            rows = await chassis.database.read(sa.select(notes).where(notes.c.id == number))
            return JSONResponse({"found": len(rows)})

        @router.get("/mine")
        async def mine(user_id: int = Depends(current_user)) -> Response:
            return JSONResponse({"user_id": user_id})

        @router.get("/operator", dependencies=[Depends(operator)])
        async def operate() -> Response:
            return JSONResponse({})

        @router.get("/held")
        async def held() -> Response:
            self.holding += 1
            await self.hold.wait()
            self.holding -= 1
            return JSONResponse({})

        @router.get("/bug")
        async def bug() -> Response:
            raise RuntimeError("secret detail")

        inner = APIRouter(prefix="/inner")

        @inner.get("/{number}")
        async def guarded(number: int) -> Response:
            return JSONResponse({"number": number})

        outer = APIRouter(prefix="/outer", dependencies=[Depends(operator)])
        outer.include_router(inner)
        router.include_router(outer)
        return ServiceApp(router, consumers={"probe.happened": self.consume})

    async def consume(self, tx: Transaction, event: Event) -> None:
        """Note the event's subject; fail for poisoned ones."""
        await tx.execute(sa.insert(notes), {"text": event.subject})
        if event.subject in self.poison:
            raise RuntimeError("poisoned")


@pytest.fixture
def probe(monkeypatch: pytest.MonkeyPatch) -> Probe:
    """Makes the service `probe` exist; start it with `cluster.start("probe")`."""
    made = Probe()
    package = "settlement.services.probe"
    api: Any = ModuleType(f"{package}.api")
    api.create = made.create
    model: Any = ModuleType(f"{package}.model")
    model.metadata, model.VIEWS = metadata, {}
    for module in (ModuleType(package), api, model):
        monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setitem(SUBSCRIPTIONS, "probe.happened", ("probe",))
    return made
