"""Who is calling: FastAPI dependencies for users (JWT), other services (HMAC), operators and fault injection (tokens).

All are coroutines: a plain function would cost FastAPI a hop to a thread.
"""

from __future__ import annotations

import hmac
from typing import TYPE_CHECKING, Final

import jwt
from fastapi import Request

from settlement.chassis.keys import KeyRing
from settlement.chassis.problems import Problem
from settlement.chassis.refusals import api_key, guards
from settlement.chassis.signature import NONCE, SERVICE, SIGNATURE, TARGET, TIMESTAMP

if TYPE_CHECKING:
    from settlement.chassis.app import Chassis

ALGORITHM: Final = "HS256"
AUDIENCE: Final = "paylab"
MISDIRECTED: Final = "misdirected_call"
TOKENS_CACHED_MAX: Final = 4_096
OPERATOR_TOKEN: Final = "paylab-operator-token"  # noqa: S105 - the name of a header
FAULT_TOKEN: Final = "paylab-fault-token"  # noqa: S105 - the name of a header

# The credentials, as the OpenAPI documents describe them.
SESSION: Final = {"session": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}}
OPERATOR: Final = {"operatorToken": api_key(OPERATOR_TOKEN, "The operators' token")}
FAULT_INJECTOR: Final = {"faultToken": api_key(FAULT_TOKEN, "The fault injector's token")}
SIGNED: Final = {
    "caller": api_key(SERVICE, "The service that calls"),
    "target": api_key(TARGET, "The replica that is called: service/replica"),
    "timestamp": api_key(TIMESTAMP, "When it was signed, in epoch milliseconds"),
    "nonce": api_key(NONCE, "Anything, once"),
    "signature": api_key(SIGNATURE, "HMAC-SHA256 in hexadecimal, over the call and the other four"),
}


def chassis_of(request: Request) -> Chassis:
    """The chassis of the replica that serves this request."""
    chassis: Chassis = request.app.state.chassis
    return chassis


class Tokens:
    """Issues and checks session tokens; a token once verified is known until it expires."""

    def __init__(self, keys: KeyRing) -> None:
        self._keys = keys
        self._verified: dict[str, tuple[int, int]] = {}

    def issue(self, user_id: int, expires_at_ms: int) -> str:
        """A signed token for this user, good until `expires_at_ms` (rounded down to a second)."""
        claims = {"sub": str(user_id), "exp": expires_at_ms // 1_000, "aud": AUDIENCE}
        key = self._keys.signing
        return jwt.encode(claims, key.secret, ALGORITHM, headers={"kid": key.kid})

    def user_of(self, token: str, now_ms: int) -> int | None:
        """The user a token was issued to, or None if it is forged, damaged or expired."""
        known = self._verified.get(token)
        if known is None:
            known = self._verify(token)
            if known is None:
                return None
            self._remember(token, known)
        user_id, expires_s = known
        # No leeway: the worst that clocks a little apart can do is a log-in a little too early.
        return user_id if now_ms < expires_s * 1_000 else None

    def _verify(self, token: str) -> tuple[int, int] | None:
        options: jwt.types.Options = {"require": ["sub", "exp", "aud"], "verify_exp": False}
        try:
            secret = self._keys.secret_of(jwt.get_unverified_header(token).get("kid"))
            if secret is None:
                return None
            # The algorithm is ours, whatever the token says.
            claims = jwt.decode(token, secret, [ALGORITHM], audience=AUDIENCE, options=options)
            return int(claims["sub"]), int(claims["exp"])
        except (jwt.InvalidTokenError, ValueError, TypeError, OverflowError, RecursionError):
            return None

    def _remember(self, token: str, known: tuple[int, int]) -> None:
        if len(self._verified) >= TOKENS_CACHED_MAX:
            self._verified.pop(next(iter(self._verified)))
        self._verified[token] = known


@guards(SESSION, refused={401: "not_authenticated"})
async def current_user(request: Request) -> int:
    """The id of the user whose session token came with the request. Raises 401."""
    chassis = chassis_of(request)
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    user_id = chassis.tokens.user_of(token, chassis.clock.now_ms()) if scheme.lower() == "bearer" else None
    if user_id is None:
        raise unauthorized("not_authenticated", "A valid session token is needed", challenge="Bearer")
    return user_id


@guards(SIGNED, refused={401: "bad_signature", 421: MISDIRECTED})
async def signed_service(request: Request) -> str:
    """The name of the service that signed this call. Raises 401, or 421 for a call to another replica."""
    chassis = chassis_of(request)
    # What was signed is the target as it went over the wire, before any decoding.
    target: bytes = request.scope.get("raw_path") or request.url.path.encode()
    query: bytes = request.scope["query_string"]
    path_with_query = (target + b"?" + query if query else target).decode("latin-1")
    refusal = chassis.signatures.verify(
        request.headers, request.method, path_with_query, await request.body(), chassis.clock.now_ms()
    )
    if refusal is not None and refusal.misdirected:
        raise Problem(421, MISDIRECTED, "This replica is not the one that was called", refusal.reason)
    if refusal is not None:
        title = "This endpoint is for the platform's own services"
        raise unauthorized("bad_signature", title, refusal.reason, challenge="Paylab-Signature")
    return request.headers["paylab-service"]


@guards(OPERATOR, refused={401: "token_required"})
async def operator(request: Request) -> None:
    """Lets operators pass. Raises 401."""
    _require_token(request, OPERATOR_TOKEN, chassis_of(request).secrets.operator)


@guards(FAULT_INJECTOR, refused={401: "token_required"})
async def fault_operator(request: Request) -> None:
    """Lets the fault injector pass. Raises 401."""
    _require_token(request, FAULT_TOKEN, chassis_of(request).secrets.fault)


def _require_token(request: Request, header: str, wanted: str | None) -> None:
    given = request.headers.get(header, "")
    if wanted is None or not hmac.compare_digest(given.encode("utf-8", "surrogatepass"), wanted.encode()):
        title = f"The header {header} is missing or wrong"
        raise unauthorized("token_required", title, challenge=f'Paylab-Token header="{header}"')


def unauthorized(code: str, title: str, detail: str = "", *, challenge: str) -> Problem:
    """A 401, which always says what it asks for (RFC 9110, 11.6.1)."""
    return Problem(401, code, title, detail, headers={"WWW-Authenticate": challenge})
