"""HTTP face of a participant, for signed services: prepare, decision, standings and, of who takes money, charge."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

from fastapi import APIRouter, Depends
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field
from starlette.background import BackgroundTask

from settlement.chassis.barrier import Replying, Standing, Subject
from settlement.chassis.participant import Gid, Payload, Unresolved
from settlement.chassis.problems import Problem
from settlement.chassis.refusals import refusals
from settlement.chassis.security import signed_service
from settlement.chassis.trace import annotate, bind_gid
from settlement.protocol.crashpoints import AFTER
from settlement.protocol.messages import Voted
from settlement.protocol.records import Decision, Vote
from settlement.protocol.transitions import ProtocolError

if TYPE_CHECKING:
    from settlement.chassis.app import Chassis
    from settlement.chassis.participant_driver import ParticipantDriver


STANDINGS_ASKED_MAX: Final = 200
# What is unresolved has the reason of whatever it hangs on for its code.
PREPARING = refusals({409: "payload_mismatch", 503: ""})
CHARGING = refusals({409: "payload_mismatch | protocol_not_spoken", 503: ""})
DECIDING = refusals({409: "payload_mismatch | protocol_violation", 503: ""})


class PrepareBody(BaseModel):
    """The body of POST /participant/prepare."""

    model_config = ConfigDict(extra="forbid")

    gid: Gid
    kind: Literal["payment", "refund"]
    payload: Payload


class DecisionBody(PrepareBody):
    """The body of POST /participant/decision."""

    decision: Decision


class StandingsAsked(BaseModel):
    """The body of POST /participant/standings."""

    model_config = ConfigDict(extra="forbid")

    gids: Annotated[list[Gid], Field(min_length=1, max_length=STANDINGS_ASKED_MAX)]


class VoteView(BaseModel):
    """A participant's vote; the reason is empty if it is yes."""

    vote: Vote
    reason: str


class Acknowledgement(BaseModel):
    """The decision was applied."""

    ack: Literal[True]


class StandingList(BaseModel):
    """Where this participant stands with the transactions asked for, those it knows of."""

    transactions: list[Standing]


def participant_routes(chassis: Chassis, driver: ParticipantDriver[Any], *, takes_money: bool = False) -> APIRouter:
    """What a coordinator calls, the article's third of who takes money, and where an operator's gateway looks."""
    router = APIRouter(dependencies=[Depends(signed_service)])

    @router.post("/participant/prepare", response_model=VoteView, responses=PREPARING)
    async def prepare(body: PrepareBody) -> JSONResponse:
        return await _answer_vote(chassis, driver, Subject(body.gid, body.kind, body.payload), driver.prepare)

    @router.post("/participant/decision", response_model=Acknowledgement, responses=DECIDING)
    async def decision(body: DecisionBody) -> JSONResponse:
        return await _answer_decision(chassis, driver, Subject(body.gid, body.kind, body.payload), body.decision)

    @router.post("/participant/standings", response_model=StandingList)
    async def standings(body: StandingsAsked) -> JSONResponse:
        found = await driver.standings(body.gids)
        return JSONResponse({"transactions": [standing.model_dump(mode="json") for standing in found]})

    if takes_money:

        @router.post("/participant/charge", response_model=VoteView, responses=CHARGING)
        async def charge(body: PrepareBody) -> JSONResponse:
            return await _answer_vote(chassis, driver, Subject(body.gid, body.kind, body.payload), driver.charge)

    return router


async def _answer_vote(
    chassis: Chassis, driver: ParticipantDriver[Any], subject: Subject, ask: Callable[[Subject], Awaitable[Replying]]
) -> JSONResponse:
    bind_gid(subject.gid)
    replying = await ask(subject)
    voted = replying.effect.message
    if not isinstance(voted, Voted):
        raise TypeError(f"it is answered with a vote, not {voted!r}")
    annotate({"paylab.vote": voted.vote.value, "paylab.reason": voted.reason})
    chassis.log.info("voted", gid=subject.gid, vote=voted.vote, reason=voted.reason)
    body = {"vote": voted.vote.value, "reason": voted.reason}
    return JSONResponse(body, background=_after(driver, replying))


async def _answer_decision(
    chassis: Chassis, driver: ParticipantDriver[Any], subject: Subject, decision: Decision
) -> JSONResponse:
    bind_gid(subject.gid)
    try:
        replying = await driver.decide(subject, decision)
    except ProtocolError as error:
        chassis.log.error("protocol_violation", gid=subject.gid, error=str(error))
        raise Problem(409, "protocol_violation", "This decision is impossible here", str(error)) from error
    except Unresolved as error:
        chassis.log.warning("decision_unresolved", gid=subject.gid, reason=error.reason)
        raise Problem(503, error.reason, "The decision could not be applied yet; send it again") from error
    annotate({"paylab.decision": decision.value})
    chassis.log.info("applied", gid=subject.gid, decision=decision.value)
    return JSONResponse({"ack": True}, background=_after(driver, replying))


def _after(driver: ParticipantDriver[Any], replying: Replying) -> BackgroundTask:
    """The crash point that only a process whose answer has left it passes."""
    return BackgroundTask(driver.passed, replying.state, replying.effect, AFTER)
