"""`settlement.serve` with parts of its two-phase commit left out: what they cost is what the variant is faster by.

The environment variable PAYLAB_VARIANT names what runs:

    no_coordinator   `forgetful_gateway` and `bare_participants`: the same client requests, the same calls between
                     services in the same order, the same changes of orders, money and stock, and nothing that would
                     survive a crash in between. Left out beside the records: idempotency keys, timers, retries of a
                     decision, leases, recovery.
    two_phase        `bare_participants`: the gateway as shipped, its begin, decision and end durable. Left out: what
                     makes a participant take duplicates, late prepares and empty rollbacks.

Without the variable nothing is left out. For figures only: money gets lost with these.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any, Final

from starlette.responses import Response

from settlement.chassis.coordination import Errand
from settlement.chassis.participant import Action, Unresolved
from settlement.chassis.participant_driver import ParticipantDriver, Replying, Subject
from settlement.protocol.effects import Reply
from settlement.protocol.messages import Acknowledge, Voted
from settlement.protocol.participant import ParticipantState
from settlement.protocol.records import Decision, Vote
from settlement.serve import main
from settlement.services.gateway.answers import first_answer
from settlement.services.gateway.events import publish
from settlement.services.gateway.journal import GatewayJournal, Request, participants_of
from settlement.services.gateway.service import GatewayService

VARIANT: Final = "PAYLAB_VARIANT"
Told = dict[str, Any]


def bare_participants() -> None:
    """The business change and the answer; no barrier row, no look whether the message came before."""

    async def prepare(self: ParticipantDriver[Any], subject: Subject) -> Replying:
        work = (subject.gid, subject.kind, subject.payload)
        try:
            outside = await self._business.reach_out(Action.RESERVE, *work)
        except Unresolved as error:
            return _replying(Voted(subject.gid, Vote.NO, error.reason))
        async with self._chassis.database.transaction() as tx:
            granted = await self._business.reserve(tx, *work, outside)
        return _replying(Voted(subject.gid, granted.vote, granted.reason))

    async def decide(self: ParticipantDriver[Any], subject: Subject, decision: Decision) -> Replying:
        work, committed = (subject.gid, subject.kind, subject.payload), decision is Decision.COMMIT
        outside = await self._business.reach_out(Action.CONFIRM if committed else Action.RELEASE, *work)
        async with self._chassis.database.transaction() as tx:
            await (self._business.confirm if committed else self._business.release)(tx, *work, outside)
        return _replying(Acknowledge(subject.gid))

    _replace(ParticipantDriver, prepare, decide)


def forgetful_gateway() -> None:
    """The calls to the participants and the answer to the client, from memory.

    The back office is told of the payment as ever, but nobody waits until the disk has that event.
    """

    async def find_key(self: GatewayJournal, user_id: int, key: str) -> None:
        return None

    async def _run(self: GatewayService, errand: Errand, request: Request) -> Response:
        decision, reason = await _ask_all(self, errand)
        row: Any = SimpleNamespace(
            **errand.payload.model_dump(), gid=errand.gid, kind=errand.kind, decision=decision, reason=reason,
            return_url=request.return_url, decided_at_ms=self._chassis.clock.now_ms(),
        )  # fmt: skip
        self._chassis.spawn(_tell_all(self, errand, decision), "tell")
        async with self._chassis.database.transaction(durable=False) as tx:
            await publish(self._chassis.outbox, tx, row)
        return first_answer(row, replayed=False)

    _replace(GatewayJournal, find_key)
    _replace(GatewayService, _run)


async def _ask_all(service: GatewayService, errand: Errand) -> tuple[Decision, str]:
    """Prepare everybody, in the order of the coordinator: a wallet is charged after the others' yes."""
    participants = participants_of(errand.payload.method, errand.kind)
    for last in (False, True):
        names = [each.name for each in participants if each.asked_last == last]
        for vote in await _call_all(service, errand, names, "prepare", {}):
            if vote["vote"] != Vote.YES:
                return Decision.ABORT, vote["reason"]
    return Decision.COMMIT, ""


async def _tell_all(service: GatewayService, errand: Errand, decision: Decision) -> None:
    names = [each.name for each in participants_of(errand.payload.method, errand.kind)]
    await _call_all(service, errand, names, "decision", {"decision": decision.value})


async def _call_all(
    service: GatewayService, errand: Errand, names: Sequence[str], message: str, more: Told
) -> list[Told]:
    payload = errand.payload.model_dump(exclude_none=True)
    body = {"gid": errand.gid, "kind": errand.kind, "payload": payload, **more}
    call = service._chassis.client.call
    replies = await asyncio.gather(*(call(name, "POST", f"/participant/{message}", json=body) for name in names))
    return [reply.json for reply in replies]


def _replying(message: Voted | Acknowledge) -> Replying:
    return Replying(ParticipantState(message.gid), Reply(message))


def _replace(owner: type, *functions: Callable[..., Any]) -> None:
    for function in functions:
        getattr(owner, function.__name__)  # AttributeError: the shipped code has changed, and so must this
        setattr(owner, function.__name__, function)


VARIANTS: Final[dict[str, tuple[Callable[[], None], ...]]] = {
    "": (),
    "no_coordinator": (forgetful_gateway, bare_participants),
    "two_phase": (bare_participants,),
}


if __name__ == "__main__":
    for patch in VARIANTS[os.environ.get(VARIANT, "")]:
        patch()
    main()
