"""Callbacks to the merchant's notify_url: signed, durable, repeated until the body of the answer is `success`.

A notification is written in the transaction of the decision it tells of. Delivery is at least once: whoever delivers
moves `next_at_ms` ahead first, which keeps other replicas away, and a process that dies meanwhile merely delays the
next attempt.

    POST notify_url
    Paylab-Timestamp: <epoch ms>
    Paylab-Signature: hex HMAC-SHA256(notify secret, timestamp + "." + body)
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import aiohttp
from sqlalchemy import Row, bindparam, insert, select, update

from settlement.protocol.records import Decision
from settlement.services.gateway.model import notifications
from settlement.setting_formats import hosts_of

if TYPE_CHECKING:
    from settlement.chassis.app import Chassis
    from settlement.chassis.database import Transaction

POLL_INTERVAL_MS: Final = 100
DELIVERED_AT_ONCE_MAX: Final = 20
TIMEOUT_S: Final = 5.0
CLAIM_MS: Final = 10_000
ANSWER_BYTES_MAX: Final = 64
DELIVERED: Final = b"success"

_INSERT = insert(notifications)
_BY_GID = select(notifications.c.gid).where(notifications.c.gid == bindparam("wanted_gid"))
_DUE = (
    select(notifications)
    .where(notifications.c.state == "due", notifications.c.next_at_ms <= bindparam("now_ms"))
    .order_by(notifications.c.next_at_ms)
    .limit(DELIVERED_AT_ONCE_MAX)
)
_DUE_LOCKED = _DUE.with_for_update(skip_locked=True)
_CLAIM = (
    update(notifications)
    .where(notifications.c.gid == bindparam("wanted_gid"), notifications.c.state == "due")
    .values(next_at_ms=bindparam("claimed_until_ms"))
)
_RECORD = (
    update(notifications)
    .where(notifications.c.gid == bindparam("wanted_gid"))
    .values({name: bindparam(f"new_{name}") for name in (
        "state", "attempts", "next_at_ms", "delivered_at_ms", "last_error",
    )})
)  # fmt: skip


def allowed(url: str, hosts: str) -> bool:
    """Whether a callback may go to this address; `hosts` are names separated by commas."""
    try:
        parts = urlsplit(url)
        named, port = parts.hostname, parts.port
    except ValueError:
        return False
    plain = parts.scheme in ("http", "https") and parts.username is None and parts.password is None
    return plain and port != 0 and named in hosts_of(hosts)


def signature(secret: str, timestamp_ms: int, body: bytes) -> str:
    """What the receiver has to compute again, in hexadecimal."""
    return hmac.new(secret.encode(), f"{timestamp_ms}.".encode() + body, hashlib.sha256).hexdigest()


async def enqueue(tx: Transaction, transaction: Row[Any], now_ms: int) -> None:
    """Write the notification of a decided transaction, if anybody asked for one; once, however often it is called."""
    if (
        not transaction.notify_url
        or (await tx.execute(_BY_GID, {"wanted_gid": transaction.gid})).one_or_none() is not None
    ):
        return
    body = {
        "gid": transaction.gid,
        "kind": transaction.kind,
        "payment_gid": transaction.payment_gid,
        "order_no": transaction.order_no,
        "amount_minor": transaction.amount_minor,
        "currency": transaction.currency,
        "method": transaction.method,
        "status": "succeeded" if transaction.decision == Decision.COMMIT else "failed",
        "reason": transaction.reason,
        "decided_at_ms": transaction.decided_at_ms,
    }
    row = {"gid": transaction.gid, "url": transaction.notify_url, "body": json.dumps(body), "state": "due"}
    await tx.execute(_INSERT, {**row, "attempts": 0, "next_at_ms": now_ms})


async def _claimed(tx: Transaction, now_ms: int) -> Sequence[Row[Any]]:
    """What is due, and now kept from the other replicas for a while."""
    due = (await tx.execute(_DUE_LOCKED, {"now_ms": now_ms})).all()
    for row in due:
        await tx.execute(_CLAIM, {"wanted_gid": row.gid, "claimed_until_ms": now_ms + CLAIM_MS})
    return due


async def _recorded(tx: Transaction, results: Sequence[dict[str, object]]) -> None:
    for result in results:
        await tx.execute(_RECORD, result)


class Notifier:
    """Delivers what is due."""

    def __init__(self, chassis: Chassis) -> None:
        self._chassis = chassis

    async def deliver_due(self) -> None:
        """Deliver one batch of due notifications."""
        now = {"now_ms": self._chassis.clock.now_ms()}
        if not await self._chassis.database.read(_DUE, now):
            return
        due = await self._chassis.database.run(lambda tx: _claimed(tx, now["now_ms"]))
        timeout = aiohttp.ClientTimeout(total=TIMEOUT_S)
        async with aiohttp.ClientSession(timeout=timeout, cookie_jar=aiohttp.DummyCookieJar()) as session:
            problems = await asyncio.gather(*(self._deliver(session, row) for row in due))
        results = [
            {"wanted_gid": row.gid, **self._result(row, problem)} for row, problem in zip(due, problems, strict=True)
        ]
        await self._chassis.database.run(lambda tx: _recorded(tx, results))

    async def _deliver(self, session: aiohttp.ClientSession, row: Row[Any]) -> str:
        """Deliver one notification; returns what went wrong, empty if nothing."""
        # Asked again at every delivery: the list may have become shorter since the payment was taken.
        if not allowed(row.url, self._chassis.settings.text("gateway.notify_hosts")):
            return "host not allowed"
        body = row.body.encode()
        now_ms = self._chassis.clock.now_ms()
        headers = {
            "Content-Type": "application/json",
            "Paylab-Timestamp": str(now_ms),
            "Paylab-Signature": signature(self._chassis.secrets.notify, now_ms, body),
        }
        try:
            # A redirect would lead past the list of hosts.
            async with session.post(row.url, data=body, headers=headers, allow_redirects=False) as answer:
                text = await answer.content.read(ANSWER_BYTES_MAX)
                done = answer.status == 200 and text == DELIVERED
                return "" if done else f"answered {answer.status} {text[:40]!r}"
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            return f"{type(error).__name__}: {error}"[:200]

    def _result(self, row: Row[Any], problem: str) -> dict[str, object]:
        now_ms = self._chassis.clock.now_ms()
        pauses_ms = self._chassis.settings.integers("gateway.notify_schedule_ms")
        attempts = row.attempts + 1
        state, next_at_ms = "delivered", now_ms
        if problem:
            again = row.attempts < len(pauses_ms)
            state, next_at_ms = ("due", now_ms + pauses_ms[row.attempts]) if again else ("given_up", now_ms)
            log = self._chassis.log.info if again else self._chassis.log.error
            log("notification_failed", gid=row.gid, attempts=attempts, state=state, error=problem)
        return {
            "new_state": state,
            "new_attempts": attempts,
            "new_next_at_ms": next_at_ms,
            "new_delivered_at_ms": None if problem else now_ms,
            "new_last_error": problem or None,
        }
