"""Who is let in at the door of a replica: which requests count for whom, which may find it full, and by which limits.

Completing what was decided comes before beginning anything new. Decisions, outcomes and events are therefore never
turned away, nor are health, metrics, faults, the registry and operators; other calls between services are limited in
their rate only, because they belong to something that was let in at the edge. There is no queue: whoever is turned away
may come again, to anybody.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from enum import StrEnum
from typing import Final

from settlement.policies.concurrency_limit import Aimd, Fixed, Gradient, Limit
from settlement.policies.token_bucket import Taken

# Never turned away. All but the first three ask for a signature or a token of their own.
EXEMPT: Final = (
    "/health/", "/metrics", "/openapi.json", "/faults", "/events", "/participant/decision", "/transactions/",
    "/registry", "/config", "/eureka", "/operator",
)  # fmt: skip
# Open to signed services only, and part of something that was let in at the edge.
BETWEEN_SERVICES: Final = ("/participant/", "/internal/")
OF_THE_CHANNEL: Final = ("/card", "/wallet")
ACCOUNTS: Final = frozenset({"/captcha", "/users", "/sessions"})
RETRY_AFTER_S: Final = 1
# How long a replica counts as overloaded after it turned somebody away.
TROUBLE_MS: Final = 1_000
# A gateway begins no more payments than it decides within this share of their prepare timeout.
TIMEOUT_SHARE_MAX: Final = 0.5


class Caller(StrEnum):
    """Whom a request counts for; also the name of the policy in the RateLimit headers, and of its settings."""

    USER = "user"
    ADDRESS = "address"
    ACCOUNT = "account"
    SERVICE = "service"


class DoorRules:
    """What the door of a service does with a request, by its path."""

    def __init__(self, service: str) -> None:
        self._accounts = ACCOUNTS if service == "usercenter" else frozenset()
        self._between = BETWEEN_SERVICES + (OF_THE_CHANNEL if service == "channel" else ())
        self._never_full = EXEMPT + self._between

    def counts(self, path: str) -> bool:
        """Whether calls of this path are counted, and refused with 429 when there are too many."""
        return not path.startswith(EXEMPT)

    def can_be_full(self, path: str) -> bool:
        """Whether calls of this path are turned away with 503 when there is too much to do."""
        return not path.startswith(self._never_full)

    def caller(self, method: str, path: str, has_session: Callable[[], bool]) -> Caller:
        """Whom a request that counts is counted for; `has_session` is asked only if it matters."""
        if path in self._accounts and method == "POST":
            return Caller.ACCOUNT
        # Only where nothing but a signature opens: elsewhere the header would be a way around the limits of users.
        if path.startswith(self._between):
            return Caller.SERVICE
        return Caller.USER if has_session() else Caller.ADDRESS


def retry_after_s(taken: Taken) -> int:
    """The Retry-After of a request that a bucket refused, in whole seconds."""
    return max(1, math.ceil(taken.retry_after_ms / 1_000))


def concurrency_limit(mode: str, value: int) -> Limit | None:
    """The limit of what a replica does at once, as `limit.concurrency_mode` and `_max` say; None: there is none."""
    if mode == "off":
        return None
    return Fixed(value) if mode == "fixed" else Gradient(value)


def payments_limit(mode: str, value: int, value_min: int, prepare_timeout_ms: Callable[[], float]) -> Limit | None:
    """The limit of undecided payments, as `gateway.admission_mode`, `_max` and `_min` say; None: there is none.

    Adaptive, it is held where a decision takes at most TIMEOUT_SHARE_MAX of the prepare timeout.
    """
    if mode == "off":
        return None
    if mode == "fixed":
        return Fixed(value)
    return Aimd(value, lambda: prepare_timeout_ms() * TIMEOUT_SHARE_MAX, value_min)
