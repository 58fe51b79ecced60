"""Accounts for the load: solve the captcha, register, log in. One account a user at work: a cart is per user."""

import operator
import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from loadtests.outcomes import Reply

# The simulated clients' common password; it protects nothing outside a laboratory's own database.
PASSWORD = "correct horse 7 battery"  # noqa: S105 - of accounts that exist for one run
_OPERATIONS: dict[str, Callable[[int, int], int]] = {"+": operator.add, "-": operator.sub, "*": operator.mul}
_QUESTION = re.compile(r"(\d+)\s*([-+*])\s*(\d+)")

Post = Callable[[str, dict[str, Any]], Reply]
"""Posts a JSON body to a path of the usercenter."""


class AccountRefused(Exception):
    """The usercenter did not let a simulated client in; the message says at which step and why."""


@dataclass(frozen=True)
class Account:
    """A registered, logged-in client."""

    login: str
    user_id: int
    token: str
    expires_at_ms: int


def solve(question: str) -> int:
    """The answer to a captcha like "3 + 9". Raises AccountRefused for one it cannot read."""
    if (found := _QUESTION.search(question)) is None:
        raise AccountRefused(f"captcha: cannot read the question {question!r}")
    return _OPERATIONS[found[2]](int(found[1]), int(found[3]))


def open_account(post: Post) -> Account:
    """A new account, registered and logged in. Raises AccountRefused."""
    captcha = _need(post, "/captcha", {})
    name = f"load-{secrets.token_hex(6)}"
    details: dict[str, Any] = {
        "name": name,
        "phone": f"139{secrets.randbelow(10**8):08d}",
        "email": f"{name}@example.com",
        "password": PASSWORD,
        "captcha_id": captcha["captcha_id"],
        "captcha_answer": solve(captcha["question"]),
    }
    _need(post, "/users", details)
    return log_in(post, details["email"])


def log_in(post: Post, login: str) -> Account:
    """A fresh session of an account that exists. Raises AccountRefused."""
    session = _need(post, "/sessions", {"login": login, "password": PASSWORD})
    return Account(login, int(session["user_id"]), str(session["token"]), int(session["expires_at_ms"]))


def _need(post: Post, path: str, body: dict[str, Any]) -> dict[str, Any]:
    reply = post(path, body)
    if not reply.ok:
        raise AccountRefused(f"POST {path}: {reply.status} {reply.describe()} {reply.body or ''}".rstrip())
    return reply.body
