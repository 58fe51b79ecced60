"""What operators do with dead letters: look at them, replay them when the cause is mended, discard them."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import JSONResponse, Response

from settlement.chassis.dead_letters import PAGE_MAX, DeadLetter
from settlement.chassis.inbox import Inbox
from settlement.chassis.security import operator

if TYPE_CHECKING:
    from settlement.chassis.app import Chassis

EventId = Annotated[str, Field(min_length=1, max_length=36)]


class DeadLetterChoice(BaseModel):
    """Which dead letters: those of some events, or all of them."""

    model_config = ConfigDict(extra="forbid")

    event_ids: Literal["all"] | Annotated[list[EventId], Field(min_length=1, max_length=PAGE_MAX)]


class DeadLetterView(BaseModel):
    """An event that could not be consumed, and why."""

    id: int
    event_id: str
    type: str
    subject: str
    data: dict[str, Any]
    occurred_at_ms: int
    traceparent: str
    attempts: int
    error: str
    failed_at_ms: int


class DeadLetterPage(BaseModel):
    """A page of dead letters, oldest first; `next_after` is the cursor of the next page, null on the last."""

    dead_letters: list[DeadLetterView]
    next_after: int | None


class FailedAgain(BaseModel):
    """A dead letter that could not be consumed this time either."""

    event_id: str
    error: str


class Replayed(BaseModel):
    """What became of those that were consumed anew, and how many dead letters there are now."""

    replayed: list[str]
    failed: list[FailedAgain]
    left: int


class Discarded(BaseModel):
    """How many were forgotten, and how many dead letters there are now."""

    discarded: int
    left: int


def dead_letter_routes(chassis: Chassis, inbox: Inbox) -> APIRouter:
    """The operator's endpoints under /operator/dead-letters."""
    letters = inbox.dead_letters
    router = APIRouter(prefix="/operator/dead-letters", dependencies=[Depends(operator)])

    @router.get("", response_model=DeadLetterPage)
    async def show(
        after: Annotated[int, Query(ge=0, lt=2**63)] = 0, limit: Annotated[int, Query(ge=1, le=PAGE_MAX)] = 100
    ) -> Response:
        page = await letters.page(after, limit)
        following = page[-1].id if len(page) == limit else None
        return JSONResponse({"dead_letters": [_shown(letter) for letter in page], "next_after": following})

    @router.post("/replay", response_model=Replayed)
    async def replay(choice: DeadLetterChoice) -> Response:
        """Consume them now, at most PAGE_MAX at a time; one that fails again stays what it is."""
        chosen = await letters.page() if choice.event_ids == "all" else await letters.of(choice.event_ids)
        replayed, failed = [], []
        for letter in chosen:
            error = await inbox.replay(letter)
            if error is None:
                replayed.append(letter.event.event_id)
            else:
                failed.append({"event_id": letter.event.event_id, "error": error[:500]})
        chassis.log.warning("dead_letters_replayed", replayed=len(replayed), failed=len(failed))
        return JSONResponse({"replayed": replayed, "failed": failed, "left": await letters.count()})

    @router.post("/discard", response_model=Discarded)
    async def discard(choice: DeadLetterChoice) -> Response:
        """Forget them: their effects will never happen."""
        if choice.event_ids == "all":
            discarded = await letters.discard_all()
        else:
            discarded = await chassis.database.run(partial(letters.remove, event_ids=choice.event_ids))
        chassis.log.warning("dead_letters_discarded", discarded=discarded, event_ids=choice.event_ids)
        return JSONResponse({"discarded": discarded, "left": await letters.count()})

    return router


def _shown(letter: DeadLetter) -> dict[str, Any]:
    told = {"attempts": letter.attempts, "error": letter.error, "failed_at_ms": letter.failed_at_ms}
    return {"id": letter.id, **letter.event.wire_form(), **told}
