"""Bugs of the services: patches of `settlement.chassis` and `settlement.services`, which only real services execute.

What they patch is imported when they are applied: whoever breaks only the protocol does not load the services.
"""

from __future__ import annotations

import asyncio
import json
import secrets
from contextvars import ContextVar
from dataclasses import replace
from functools import partial
from typing import Any

from settlement.protocol import participant
from settlement.protocol.records import CoordinatorPhase

from .patching import Mutant, Undo, attribute, mutant, together

MUTANTS: dict[str, Mutant] = {}
_service = partial(mutant, killed_by=("services",), into=MUTANTS)

FLUSH_S, HAND_OVER_S = 0.05, 0.02  # longer than a commit takes on a busy machine, shorter than rounds are watched


@_service("chassis.drive.Drive._store")
def asynchronous_decision_log() -> Undo:
    """The decision goes to a log that is flushed a moment later; everybody is told at once."""
    from settlement.chassis.drive import Drive

    honest = Drive._store

    async def flush(self: Any, record: Any, before: asyncio.Task[None] | None) -> None:
        if before is not None:
            await asyncio.wait({before})
        await asyncio.sleep(FLUSH_S)
        await honest(self, record)

    async def store(self: Any, record: Any) -> bool:
        if record.phase is CoordinatorPhase.PREPARING:
            return await honest(self, record)
        before = self.__dict__.get("unflushed")
        self.__dict__["unflushed"] = self._chassis.spawn(flush(self, record, before), "decision log")
        return True

    return attribute(Drive, "_store", store)


@_service("services.gateway.journal.GatewayJournal.update")
def unfenced_write() -> Undo:
    """A replica that has lost its lease writes all the same: the update does not compare the epoch."""
    from settlement.services.gateway import journal

    honest = journal.GatewayJournal.update

    async def update(self: Any, tx: Any, record: Any, lease: Any) -> bool:
        row = (await tx.execute(journal._BY_GID, {"wanted_gid": record.gid})).one()
        return await honest(self, tx, record, replace(lease, epoch=row.epoch))

    return attribute(journal.GatewayJournal, "update", update)


@_service("services.gateway.journal.GatewayJournal.insert, services.gateway.service.GatewayService._run")
def key_after_charge() -> Undo:
    """The idempotency key is stored after the charge, not together with the beginning."""
    from settlement.services.gateway import journal, service

    run = service.GatewayService._run

    async def insert(self: Any, tx: Any, record: Any, lease: Any, *, errand: Any, request: Any) -> None:
        asked = {
            name: getattr(request, name) for name in ("idempotency_key", "notify_url", "return_url", "note", "risk")
        }
        row = {**errand.payload.model_dump(), **asked, **journal._columns(record)}
        row |= {"gid": errand.gid, "kind": errand.kind, "begun_at_ms": self._clock.now_ms()}
        row |= {"owner": lease.owner, "epoch": lease.epoch, "lease_until_ms": lease.until_ms}
        await tx.execute(journal._INSERT, row)

    async def run_and_store(self: Any, errand: Any, request: Any) -> Any:
        answer = await run(self, errand, request)
        key = {
            "user_id": errand.payload.user_id, "idempotency_key": request.idempotency_key, "gid": errand.gid,
            "fingerprint": request.fingerprint, "created_at_ms": self._chassis.clock.now_ms(),
        }  # fmt: skip
        await self._chassis.database.run(lambda tx: tx.execute(journal._INSERT_KEY, key))
        return answer

    return together(
        attribute(journal.GatewayJournal, "insert", insert),
        attribute(service.GatewayService, "_run", run_and_store),
    )


@_service("chassis.http_client.ServiceClient._attempt")
def retry_loses_gid() -> Undo:
    """A call to a participant that is tried again goes out under another transaction's number (as in Seata #3387)."""
    from settlement.chassis.http_client import ServiceClient

    call, attempt = ServiceClient.call, ServiceClient._attempt
    attempts: ContextVar[list[int]] = ContextVar("attempts")

    async def counted(self: Any, *arguments: Any, **options: Any) -> Any:
        attempts.set([0])
        return await call(self, *arguments, **options)

    async def tried(self: Any, outgoing: Any) -> Any:
        count = attempts.get()
        count[0] += 1
        if count[0] > 1 and outgoing.path == "/participant/prepare":
            body = {**json.loads(outgoing.body), "gid": f"lost-{secrets.token_hex(8)}"}
            outgoing = replace(outgoing, body=json.dumps(body).encode())
        return await attempt(self, outgoing)

    return together(attribute(ServiceClient, "call", counted), attribute(ServiceClient, "_attempt", tried))


@_service("services.payment.channel.Channel._query")
def lost_answer_is_refusal() -> Undo:
    """A channel whose answer was lost is taken for one that has declined."""
    from settlement.services.payment.channel import UNAVAILABLE, Channel, Charge

    async def query(_self: Any, _payload: Any) -> Charge:
        return Charge(UNAVAILABLE)

    return attribute(Channel, "_query", query)


@_service("services.payment.channel.Channel.refund")
def refund_without_key() -> Undo:
    """Every attempt at a refund has a number of its own, so the channel cannot know that it is the same refund."""
    from settlement.services.payment.channel import Channel

    honest = Channel.refund

    async def refund(self: Any, payload: Any, refund_no: str) -> None:
        await honest(self, payload, f"{refund_no[:40]}-{secrets.token_hex(4)}")

    return attribute(Channel, "refund", refund)


@_service("services.payment.books.Books._append, chassis.participant_driver.ParticipantDriver._finish")
def posting_outside_transaction() -> Undo:
    """The ledger is posted in a transaction of its own, after that of the vote or the outcome."""
    from settlement.chassis.participant_driver import ParticipantDriver
    from settlement.services.payment.books import Books

    append, finish = Books._append, ParticipantDriver._finish

    async def postpone(self: Any, tx: Any, gid: str, batch: Any) -> None:
        self.__dict__.setdefault("unposted", []).append((gid, batch))

    async def post(books: Any, tx: Any, unposted: Any) -> None:
        for gid, batch in unposted:
            await append(books, tx, gid, batch)

    async def finish_and_post(self: Any, state: Any, effects: Any) -> Any:
        replying = await finish(self, state, effects)
        books = getattr(self._business, "_books", None)
        unposted = books.__dict__.pop("unposted", []) if books is not None else []
        if unposted:
            await self._chassis.database.run(lambda tx: post(books, tx, unposted))
        return replying

    return together(attribute(Books, "_append", postpone), attribute(ParticipantDriver, "_finish", finish_and_post))


@_service("chassis.outbox.Outbox.add")
def outbox_outside_transaction() -> Undo:
    """An event is written by a task of its own, not in the transaction that causes it."""
    from settlement.chassis.outbox import Outbox

    honest = Outbox.add
    writing: set[asyncio.Task[None]] = set()

    async def write(self: Any, event: dict[str, Any]) -> None:
        await asyncio.sleep(HAND_OVER_S)
        await self._database.run(lambda tx: honest(self, tx, **event))

    async def add(self: Any, tx: Any, **event: Any) -> None:
        task = asyncio.create_task(write(self, event))
        writing.add(task)
        task.add_done_callback(writing.discard)

    return attribute(Outbox, "add", add)


@_service("chassis.participant_driver.ParticipantDriver._apply")
def acknowledged_before_commit() -> Undo:
    """A decision is acknowledged while the local transaction that applies it has not begun."""
    from settlement.chassis.barrier import Replying
    from settlement.chassis.participant_driver import ParticipantDriver

    honest = ParticipantDriver._apply

    async def apply(self: Any, subject: Any, planned: Any, work: Any, event: Any) -> Any:
        self._chassis.spawn(honest(self, subject, planned, work, event), "apply later")
        return Replying(planned, participant._ack(planned))

    return attribute(ParticipantDriver, "_apply", apply)


@_service("chassis.participant_driver.ParticipantDriver._reserve")
def voted_before_commit() -> Undo:
    """A yes is sent while the local transaction that reserves has not begun."""
    from settlement.chassis.barrier import Replying
    from settlement.chassis.participant_driver import ParticipantDriver
    from settlement.protocol.effects import Reply
    from settlement.protocol.messages import Voted
    from settlement.protocol.records import ParticipantPhase, Vote

    honest = ParticipantDriver._reserve

    async def reserve(self: Any, subject: Any, reserving: Any, work: Any) -> Any:
        self._chassis.spawn(honest(self, subject, reserving, work), "reserve later")
        promised = replace(reserving, phase=ParticipantPhase.PREPARED, vote=Vote.YES)
        return Replying(promised, Reply(Voted(subject.gid, Vote.YES, "")))

    return attribute(ParticipantDriver, "_reserve", reserve)
