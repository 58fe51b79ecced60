"""Answers as bytes, served as they were some seconds ago while there is no time to make them anew.

Normally every request reads the database, because its answer shows the state of now. While the feature is degraded (see
`degradation`) an answer made within the last STALE_MS is served again, with its age: whoever asks sees that it is old.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Final

from starlette.requests import Request
from starlette.responses import Response

from settlement.policies.request_cache import RequestCache

if TYPE_CHECKING:
    from settlement.chassis.app import Chassis

STALE_MS: Final = 30_000
ANSWERS_MAX: Final = 256
# For `responses=`: an answer that may be an old one.
AGED: Final[dict[str, Any]] = {
    "headers": {"Age": {"description": "Its age in seconds, if it is an old one", "schema": {"type": "integer"}}}
}


class LastAnswers:
    """The last answers of one feature in one replica, by what was asked for."""

    def __init__(self, chassis: Chassis, feature: str) -> None:
        """`feature` is one of the degradation switches."""
        self._clock = chassis.clock
        self._degradation = chassis.degradation
        self._feature = feature
        self._known: RequestCache[bytes] = RequestCache(ANSWERS_MAX, STALE_MS)

    async def answer(self, request: Request, make: Callable[[], Awaitable[bytes]]) -> Response:
        """The answer as JSON; one served again carries `Age` in seconds. It must be the same for every caller."""
        # As it was asked: "up to now" is the same question a minute later, and its old answer a good one.
        key, now_ms = f"{request.url.path}?{request.url.query}", self._clock.monotonic_ms()
        if self._degradation.active(self._feature):
            known = self._known.find(key, now_ms)
            if known is not None:
                age = {"Age": str(round(known.age_ms / 1_000))}
                return Response(known.value, headers=age, media_type="application/json")
        body = await make()
        self._known.put(key, body, now_ms)
        return Response(body, media_type="application/json")
