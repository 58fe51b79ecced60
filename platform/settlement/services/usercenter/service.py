"""Captchas, accounts and sessions."""

from __future__ import annotations

import os
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from settlement.chassis.app import Chassis
from settlement.chassis.database import Transaction
from settlement.chassis.problems import Problem
from settlement.chassis.security import unauthorized
from settlement.services.usercenter.model import captchas, users
from settlement.services.usercenter.passwords import Passwords
from settlement.services.usercenter.schemas import ProfileChange, SessionIn, UserIn
from settlement.services.usercenter.throttle import Attempt, Throttle

CAPTCHA_TTL_MS: Final = 300_000

_CAPTCHA: Final = sa.select(captchas).where(captchas.c.captcha_id == sa.bindparam("id")).with_for_update()
_USE_CAPTCHA: Final = sa.delete(captchas).where(captchas.c.captcha_id == sa.bindparam("id"))
_BY_LOGIN: Final = sa.select(users).where(
    sa.or_(users.c.phone == sa.bindparam("login"), users.c.email == sa.bindparam("login"))
)
_BY_ID: Final = sa.select(users).where(users.c.id == sa.bindparam("id"))


class UserCenter:
    """What the endpoints do."""

    def __init__(self, chassis: Chassis) -> None:
        self._chassis = chassis
        self._passwords = Passwords(chassis.settings)
        self._throttle = Throttle(chassis)

    async def start(self) -> None:
        """Get ready to answer those without an account as slowly as those with one."""
        await self._passwords.prepare()

    async def forget_old(self) -> None:
        """Forget captchas that nobody solved in time, and failures of long ago."""
        await self.drop_old_captchas()
        await self._throttle.forget_old()

    async def new_captcha(self) -> dict[str, Any]:
        """A sum to solve; good for one registration within five minutes."""
        left, right = os.urandom(2)
        left, right, captcha_id = left % 10, right % 10, os.urandom(16).hex()
        expires_at_ms = self._chassis.clock.now_ms() + CAPTCHA_TTL_MS
        row = {"captcha_id": captcha_id, "answer": left + right, "expires_at_ms": expires_at_ms}
        await self._chassis.database.write(sa.insert(captchas), row)
        return {"captcha_id": captcha_id, "question": f"{left} + {right}"}

    async def drop_old_captchas(self) -> None:
        """Forget captchas that nobody solved in time."""
        now_ms = self._chassis.clock.now_ms()
        await self._chassis.database.write(sa.delete(captchas).where(captchas.c.expires_at_ms < now_ms))

    async def register(self, user: UserIn, address: str) -> int:
        """Create an account; returns its id. Raises Problem 429, 422 (captcha) or 409 (phone or email taken)."""
        attempt = Attempt("captcha", "", address)
        await self._throttle.begin(attempt)
        await self._use_captcha(user.captcha_id, user.captcha_answer)
        await self._throttle.forgive(attempt)
        encoded, salt = await self._passwords.hashed(user.password)
        now_ms = self._chassis.clock.now_ms()
        row = {
            **user.model_dump(include={"name", "phone", "email"}),
            "passwd": encoded,
            "salt": salt,
            "created_at_ms": now_ms,
            "updated_at_ms": now_ms,
        }

        async def body(tx: Transaction) -> int:
            user_id: int = (await tx.execute(sa.insert(users).returning(users.c.id), row)).scalar_one()
            told = {"user_id": user_id}
            await self._chassis.outbox.add(tx, type="user.registered", subject=str(user_id), data=told)
            return user_id

        try:
            return await self._chassis.database.run(body)
        except IntegrityError as error:
            raise _taken(error) from error

    async def log_in(self, session: SessionIn, address: str) -> dict[str, Any]:
        """Open a session. Raises Problem 401 and 429, the same whether login or password is wrong."""
        login = session.login.lower()
        attempt = Attempt("login", login, address)
        await self._throttle.begin(attempt)
        rows = await self._chassis.database.read(_BY_LOGIN, {"login": login})
        encoded = rows[0].passwd if rows else None
        if not await self._passwords.matches(encoded, session.password):
            raise unauthorized("login_failed", "Login or password is wrong", challenge="Paylab-Password")
        await self._throttle.forgive(attempt)
        ttl_ms = self._chassis.settings.integer("usercenter.token_ttl_s") * 1_000
        expires_at_ms = (self._chassis.clock.now_ms() + ttl_ms) // 1_000 * 1_000
        user_id: int = rows[0].id
        token = self._chassis.tokens.issue(user_id, expires_at_ms)
        return {"token": token, "user_id": user_id, "expires_at_ms": expires_at_ms}

    async def profile(self, user_id: int) -> dict[str, Any]:
        """What a user sees of themselves. Raises Problem 401 if the account is gone."""
        row = await self._user(user_id)
        return {"user_id": row.id, "name": row.name, "phone": row.phone, "email": row.email}

    async def change(self, user_id: int, change: ProfileChange, address: str) -> dict[str, Any]:
        """Change a profile.

        Raises Problem 401 (account gone), 403 (current password), 409 (phone, email taken) or 429 (guessing).
        """
        row = await self._user(user_id)
        values: dict[str, Any] = change.model_dump(include={"name", "phone", "email"}, exclude_none=True)
        if change.password is not None:
            await self._check_password(row, change.current_password or "", address)
            values["passwd"], values["salt"] = await self._passwords.hashed(change.password)
        values["updated_at_ms"] = self._chassis.clock.now_ms()
        try:
            await self._chassis.database.write(sa.update(users).where(users.c.id == user_id), values)
        except IntegrityError as error:
            raise _taken(error) from error
        return await self.profile(user_id)

    async def _user(self, user_id: int) -> sa.Row[Any]:
        rows = await self._chassis.database.read(_BY_ID, {"id": user_id})
        if not rows:
            raise unauthorized("not_authenticated", "This account does not exist (any more)", challenge="Bearer")
        return rows[0]

    async def _check_password(self, row: sa.Row[Any], password: str, address: str) -> None:
        """Whoever found an open session must not find out the password with it."""
        attempt = Attempt("password", str(row.id), address)
        await self._throttle.begin(attempt)
        if not await self._passwords.matches(row.passwd, password):
            raise Problem(403, "wrong_password", "The current password is wrong")
        await self._throttle.forgive(attempt)

    async def _use_captcha(self, captcha_id: str, answer: int) -> None:
        # A wrong answer uses the captcha up as well: there are only nineteen possible ones.
        right = await self._chassis.database.run(lambda tx: self._right_answer(tx, captcha_id))
        if right is None or right != answer:
            raise Problem(422, "captcha_wrong", "The captcha is wrong or used; ask for a new one")

    async def _right_answer(self, tx: Transaction, captcha_id: str) -> int | None:
        row = (await tx.execute(_CAPTCHA, {"id": captcha_id})).first()
        # Of two that found it at the same time, one removes it.
        if row is None or (await tx.execute(_USE_CAPTCHA, {"id": captcha_id})).rowcount == 0:
            return None
        answer: int = row.answer
        return answer if row.expires_at_ms >= self._chassis.clock.now_ms() else None


def _taken(error: IntegrityError) -> Problem:
    field = "email" if "email" in str(error.orig) else "phone"
    return Problem(409, f"{field}_taken", f"An account with this {field} exists")
