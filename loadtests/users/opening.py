"""Opens the accounts of a load before it starts, in parallel but bounded: hashing passwords is what it costs."""

import http.client
import json
import time
from typing import Any
from urllib.parse import urlsplit

import gevent
from gevent.pool import Pool

from loadtests.outcomes import Reply
from loadtests.registry import Registry
from loadtests.users.accounts import Account, AccountRefused, Post, log_in, open_account

AT_ONCE = 8
ATTEMPTS = 5
PAUSE_S = 0.5
# Not the simulated client's patience: this is preparation, and on a busy machine a hash takes seconds.
TIMEOUT_S = 60.0
RENEW_BEFORE_MS = 60_000


def poster(registry: Registry, timeout_s: float) -> Post:
    """Posts to the usercenter; a broken or refused connection is a Reply with status 0."""

    def post(path: str, body: dict[str, Any]) -> Reply:
        if (replica := registry.resolve("usercenter")) is None:
            return Reply(0, error="no replica of usercenter is registered", sent=False)
        connection = http.client.HTTPConnection(urlsplit(replica.address).netloc, timeout=timeout_s)
        try:
            connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
            answer = connection.getresponse()
            document = json.loads(answer.read() or b"{}")
            return Reply(answer.status, document if isinstance(document, dict) else {})
        except (OSError, http.client.HTTPException, ValueError) as error:
            return Reply(0, error=repr(error))
        finally:
            connection.close()

    return post


def _patiently(post: Post) -> Account:
    for _ in range(ATTEMPTS - 1):
        try:
            return open_account(post)
        except AccountRefused:
            gevent.sleep(PAUSE_S)
    return open_account(post)


def renewed(account: Account, registry: Registry, timeout_s: float) -> Account:
    """The account, logged in again if its session is about to end. If that fails the platform will say 401."""
    if account.expires_at_ms - 1000 * time.time() > RENEW_BEFORE_MS:
        return account
    try:
        return log_in(poster(registry, timeout_s), account.login)
    except AccountRefused:
        return account


def open_accounts(registry: Registry, count: int) -> list[Account]:
    """`count` fresh accounts. Raises AccountRefused if one cannot be had in a few attempts."""
    post = poster(registry, TIMEOUT_S)
    return list(Pool(AT_ONCE).imap_unordered(lambda _: _patiently(post), range(count)))
