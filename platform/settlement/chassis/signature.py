"""Signed calls between services: HMAC-SHA256 over method, path, time, nonce and body.

The nonce makes a signature good for one call *at one replica*; the timestamp bounds how long it has to be remembered.
Replicas share no memory and the target is not signed, so a call that was overheard can be replayed, within WINDOW_MS,
at another replica or at one that has restarted since. There it is a duplicate like any retry: what it can do is bounded
by the endpoint's own idempotence. Nor is the caller's name signed: every service holds the same secret.
"""

from __future__ import annotations

import hashlib
import hmac
import os
from collections import deque
from collections.abc import Mapping
from typing import Final

SERVICE: Final = "paylab-service"
TIMESTAMP: Final = "paylab-timestamp"
NONCE: Final = "paylab-nonce"
SIGNATURE: Final = "paylab-signature"
WINDOW_MS: Final = 30_000
NONCES_MAX: Final = 500_000
NONCE_LENGTH_MAX: Final = 64


def signature(secret: str, method: str, path_with_query: str, timestamp: str, nonce: str, body: bytes) -> str:
    """The hex signature of one call."""
    text = "\n".join((method, path_with_query, timestamp, nonce, hashlib.sha256(body).hexdigest()))
    # The URL may hold any character once decoded; utf-8 with surrogates passed through signs whatever was sent.
    return hmac.digest(secret.encode(), text.encode("utf-8", "surrogatepass"), "sha256").hex()


def signed_headers(
    secret: str, service: str, method: str, path_with_query: str, body: bytes, now_ms: int
) -> dict[str, str]:
    """The four headers of a signed call; a fresh nonce each time, so sign again before sending again."""
    timestamp, nonce = str(now_ms), os.urandom(12).hex()
    return {
        SERVICE: service,
        TIMESTAMP: timestamp,
        NONCE: nonce,
        SIGNATURE: signature(secret, method, path_with_query, timestamp, nonce, body),
    }


class SignatureVerifier:
    """Checks signatures and remembers the nonces of the last 30 seconds, at most NONCES_MAX of them."""

    def __init__(self, secret: str) -> None:
        self._secret = secret
        self._nonces: set[str] = set()
        self._by_age: deque[tuple[int, str]] = deque()

    def verify(
        self, headers: Mapping[str, str], method: str, path_with_query: str, body: bytes, now_ms: int
    ) -> str | None:
        """Why the call is refused, or None if it is genuine. Header names are lower case."""
        timestamp, nonce = headers.get(TIMESTAMP, ""), headers.get(NONCE, "")
        given = headers.get(SIGNATURE, "")
        if not (headers.get(SERVICE) and timestamp and nonce and given):
            return "the call is not signed"
        if not (timestamp.isascii() and timestamp.isdecimal() and len(timestamp) <= 16):
            return "the timestamp is not a number"
        if len(nonce) > NONCE_LENGTH_MAX:
            return "the nonce is too long"
        if abs(now_ms - int(timestamp)) > WINDOW_MS:
            return "the timestamp is too far from now"
        wanted = signature(self._secret, method, path_with_query, timestamp, nonce, body)
        if not hmac.compare_digest(wanted.encode(), given.encode("utf-8", "surrogatepass")):
            return "the signature is wrong"
        return self._refuse_replay(nonce, now_ms)

    def _refuse_replay(self, nonce: str, now_ms: int) -> str | None:
        # A timestamp may lie in the future by the whole window, so a nonce has to be kept for two windows.
        while self._by_age and (self._by_age[0][0] < now_ms - 2 * WINDOW_MS or len(self._by_age) >= NONCES_MAX):
            self._nonces.discard(self._by_age.popleft()[1])
        if nonce in self._nonces:
            return "the call was seen before"
        self._nonces.add(nonce)
        self._by_age.append((now_ms, nonce))
        return None
