"""Failed log-ins, captchas and password checks slow down whoever makes them, and whomever they are made against.

An attempt counts as failed before it is judged, and is forgiven if it was right: a hundred guesses sent at once are a
hundred failures, not one. It counts for the account it names, known or not, so that the answer does not tell which
accounts exist; and for the address it comes from, which may share its address with others and so has more for free.
The counts are in the database: all replicas see them, and a restart forgives nobody.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import sqlalchemy as sa

from settlement.chassis.problems import Problem
from settlement.chassis.sql import insert_ignore
from settlement.policies.login_delay import delay_ms
from settlement.services.usercenter.model import failures

if TYPE_CHECKING:
    from settlement.chassis.app import Chassis
    from settlement.chassis.database import Transaction

FREE_FOR_ACCOUNT: Final = 5
FREE_FOR_ADDRESS: Final = 50
BASE_MS: Final = 1_000
# Failures that long ago are forgotten.
FORGET_MS: Final = 3_600_000

_FIND: Final = sa.select(failures).where(failures.c.subject == sa.bindparam("wanted")).with_for_update()
_BEGIN: Final = insert_ignore(failures).values(
    subject=sa.bindparam("new_subject"), failures=0, not_before_ms=0, last_at_ms=sa.bindparam("now_ms")
)
_COUNT: Final = (
    sa.update(failures)
    .where(failures.c.subject == sa.bindparam("wanted"))
    .values(
        failures=sa.bindparam("new_failures"),
        not_before_ms=sa.bindparam("new_not_before_ms"),
        last_at_ms=sa.bindparam("now_ms"),
    )
)
_FORGIVE_ALL: Final = sa.delete(failures).where(failures.c.subject == sa.bindparam("wanted"))
_FORGIVE_ONE: Final = (
    sa.update(failures)
    .where(failures.c.subject == sa.bindparam("wanted"), failures.c.failures > 0)
    .values(failures=failures.c.failures - 1, not_before_ms=0)
)
_FORGET: Final = sa.delete(failures).where(failures.c.last_at_ms < sa.bindparam("before_ms"))


@dataclass(frozen=True, slots=True)
class Attempt:
    """What is tried (`login`, `captcha`, `password`), against which account (or none), from which address."""

    kind: str
    account: str
    address: str

    def subjects(self) -> list[tuple[str, int]]:
        """What the attempt counts for, each with the failures it has for free; in an order that cannot deadlock."""
        found = [(_subject(self.kind, "address", self.address), FREE_FOR_ADDRESS)]
        if self.account:
            found.append((_subject(self.kind, "account", self.account), FREE_FOR_ACCOUNT))
        return sorted(found)


class Throttle:
    """Counts failures and makes their authors wait."""

    def __init__(self, chassis: Chassis) -> None:
        self._chassis = chassis

    async def begin(self, attempt: Attempt) -> None:
        """Count an attempt as failed. Raises Problem 429 `too_many_attempts` if it comes too early to count at all."""

        async def body(tx: Transaction) -> None:
            now_ms = self._chassis.clock.now_ms()
            rows = [(await self._row(tx, subject, now_ms), free) for subject, free in attempt.subjects()]
            wait_ms = max(row.not_before_ms - now_ms for row, _ in rows)
            if wait_ms > 0:
                raise _too_early(wait_ms)
            for row, free in rows:
                await self._count(tx, row, free, now_ms)

        await self._chassis.database.run(body)

    async def forgive(self, attempt: Attempt) -> None:
        """The attempt was right: its account starts anew, its address gets back the one failure."""

        async def body(tx: Transaction) -> None:
            for subject, free in attempt.subjects():
                statement = _FORGIVE_ALL if free == FREE_FOR_ACCOUNT else _FORGIVE_ONE
                await tx.execute(statement, {"wanted": subject})

        await self._chassis.database.run(body)

    async def forget_old(self) -> None:
        """Drop what is too long ago to matter."""
        await self._chassis.database.write(_FORGET, {"before_ms": self._chassis.clock.now_ms() - FORGET_MS})

    async def _row(self, tx: Transaction, subject: str, now_ms: int) -> sa.Row[Any]:
        # Locked first: an insert that finds the row shares its lock, with others who then all want it for themselves.
        found = (await tx.execute(_FIND, {"wanted": subject})).one_or_none()
        if found is None:
            await tx.execute(_BEGIN, {"new_subject": subject, "now_ms": now_ms})
            found = (await tx.execute(_FIND, {"wanted": subject})).one()
        return found

    async def _count(self, tx: Transaction, row: sa.Row[Any], free: int, now_ms: int) -> None:
        failed = 1 if now_ms - row.last_at_ms > FORGET_MS else row.failures + 1
        max_ms = self._chassis.settings.integer("usercenter.login_delay_max_ms")
        counted = {
            "wanted": row.subject,
            "new_failures": failed,
            "new_not_before_ms": now_ms + delay_ms(failed, free, BASE_MS, max_ms),
            "now_ms": now_ms,
        }
        await tx.execute(_COUNT, counted)


def _subject(*parts: str) -> str:
    """A hash: of one length whatever was sent, and the table lists nobody's phone number."""
    return hashlib.sha256("\n".join(parts).encode("utf-8", "surrogatepass")).hexdigest()


def _too_early(wait_ms: int) -> Problem:
    wait_s = math.ceil(wait_ms / 1_000)
    detail = f"the next one is looked at in {wait_s} s"
    return Problem(429, "too_many_attempts", "Too many failed attempts", detail, headers={"Retry-After": str(wait_s)})
