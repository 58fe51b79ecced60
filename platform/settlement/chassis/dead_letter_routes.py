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


def dead_letter_routes(chassis: Chassis, inbox: Inbox) -> APIRouter:
    """The operator's endpoints under /operator/dead-letters."""
    letters = inbox.dead_letters
    router = APIRouter(prefix="/operator/dead-letters", dependencies=[Depends(operator)])

    @router.get("")
    async def show(
        after: Annotated[int, Query(ge=0, lt=2**63)] = 0, limit: Annotated[int, Query(ge=1, le=PAGE_MAX)] = 100
    ) -> Response:
        page = await letters.page(after, limit)
        following = page[-1].id if len(page) == limit else None
        return JSONResponse({"dead_letters": [_shown(letter) for letter in page], "next_after": following})

    @router.post("/replay")
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

    @router.post("/discard")
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
