"""Signed calls between services: HMAC-SHA256 over caller, target, method, path, time, nonce and body.

The target names one replica of one service, which takes calls in its own name only; the nonce makes a signature good
for one call there, and the timestamp bounds how long the nonce has to be remembered. So a call that was overheard can
be replayed at nobody but the same replica after a restart within WINDOW_MS, which has forgotten its nonces; there it is
a duplicate like any retry, and what it can do is bounded by the endpoint's own idempotence. The registry is called
before anybody can know which replica of it listens at its address: it also takes calls in the name of its service.

The caller's name is signed, so it cannot be changed on the way. It is no proof against the platform's own services:
all of them hold the same secret.
"""

from __future__ import annotations

import hashlib
import hmac
import os
from collections import deque
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Final

SERVICE: Final = "paylab-service"
TARGET: Final = "paylab-target"
TIMESTAMP: Final = "paylab-timestamp"
NONCE: Final = "paylab-nonce"
SIGNATURE: Final = "paylab-signature"
WINDOW_MS: Final = 30_000
NONCES_MAX: Final = 500_000
NONCE_LENGTH_MAX: Final = 64


@dataclass(frozen=True, slots=True)
class Call:
    """What is signed of a call: `caller` is a service, `target` a replica as `target_of` writes it."""

    caller: str
    target: str
    method: str
    path_with_query: str
    body: bytes


def target_of(service: str, replica: str) -> str:
    """How a replica is named in a signature."""
    return f"{service}/{replica}"


def signature(secret: str, call: Call, timestamp: str, nonce: str) -> str:
    """The hex signature of one call."""
    digest = hashlib.sha256(call.body).hexdigest()
    text = "\n".join((call.caller, call.target, call.method, call.path_with_query, timestamp, nonce, digest))
    # The URL may hold any character once decoded; utf-8 with surrogates passed through signs whatever was sent.
    return hmac.digest(secret.encode(), text.encode("utf-8", "surrogatepass"), "sha256").hex()


def signed_headers(secret: str, call: Call, now_ms: int) -> dict[str, str]:
    """The five headers of a signed call; a fresh nonce each time, so sign again before sending again."""
    timestamp, nonce = str(now_ms), os.urandom(12).hex()
    return {
        SERVICE: call.caller,
        TARGET: call.target,
        TIMESTAMP: timestamp,
        NONCE: nonce,
        SIGNATURE: signature(secret, call, timestamp, nonce),
    }


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a call is refused; `misdirected`: it is genuine, but meant for another replica."""

    reason: str
    misdirected: bool = False


class SignatureVerifier:
    """Checks the signatures of calls to one replica.

    `targets` are the names it answers to. Remembers the nonces of the last 60 seconds, at most NONCES_MAX of them; only
    whoever can sign can fill that memory.
    """

    def __init__(self, secret: str, targets: Collection[str]) -> None:
        self._secret = secret
        self._targets = frozenset(targets)
        self._nonces: set[str] = set()
        self._by_age: deque[tuple[int, str]] = deque()

    def verify(
        self, headers: Mapping[str, str], method: str, path_with_query: str, body: bytes, now_ms: int
    ) -> Refusal | None:
        """Why the call is refused, or None if it is genuine. Header names are lower case."""
        timestamp, nonce, given = (headers.get(name, "") for name in (TIMESTAMP, NONCE, SIGNATURE))
        call = Call(headers.get(SERVICE, ""), headers.get(TARGET, ""), method, path_with_query, body)
        if not (call.caller and call.target and timestamp and nonce and given):
            return Refusal("the call is not signed")
        if not (timestamp.isascii() and timestamp.isdecimal() and len(timestamp) <= 16):
            return Refusal("the timestamp is not a number")
        if len(nonce) > NONCE_LENGTH_MAX:
            return Refusal("the nonce is too long")
        if abs(now_ms - int(timestamp)) > WINDOW_MS:
            return Refusal("the timestamp is too far from now")
        wanted = signature(self._secret, call, timestamp, nonce)
        if not hmac.compare_digest(wanted.encode(), given.encode("utf-8", "surrogatepass")):
            return Refusal("the signature is wrong")
        if call.target not in self._targets:
            return Refusal("the call is for another replica", misdirected=True)
        return self._refuse_replay(nonce, now_ms)

    def _refuse_replay(self, nonce: str, now_ms: int) -> Refusal | None:
        # A timestamp may lie in the future by the whole window, so a nonce has to be kept for two windows.
        while self._by_age and (self._by_age[0][0] < now_ms - 2 * WINDOW_MS or len(self._by_age) >= NONCES_MAX):
            self._nonces.discard(self._by_age.popleft()[1])
        if nonce in self._nonces:
            return Refusal("the call was seen before")
        self._nonces.add(nonce)
        self._by_age.append((now_ms, nonce))
        return None
