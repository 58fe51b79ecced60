"""Who is let in: rate limits for each caller, and a limit of what one replica does at a time.

Both turn away before anything has happened, so a request that was turned away can be sent again, to anybody, whatever
it does: 429 `rate_limited` to whoever asks too often, 503 `overloaded` when this replica has its hands full, both with
Retry-After. There is no queue.

Completing what was decided comes before beginning anything new. Decisions, outcomes and events are therefore never
turned away, nor are health, metrics, faults, the registry and operators; other calls between services are limited in
their rate only, because they belong to something that was let in at the edge.

A request counts for its user if it carries a valid session token, else for its client's address; opening accounts and
sessions costs a hash each and is limited by address much more strictly. What is promised to a user is counted by all
replicas of a service together (`limiter`); what protects one replica is counted by that replica.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from prometheus_client import Counter, Gauge
from starlette.types import Scope

from settlement.chassis.clock import Clock
from settlement.chassis.limiter import Limiter, LocalLimiter
from settlement.chassis.live_settings import LiveSettings
from settlement.chassis.metrics import Metrics
from settlement.chassis.problems import Problem
from settlement.chassis.security import Tokens
from settlement.policies.codes import OVERLOADED, RATE_LIMITED
from settlement.policies.concurrency_limit import Gate
from settlement.policies.doors import (
    RETRY_AFTER_S,
    TROUBLE_MS,
    Caller,
    DoorRules,
    concurrency_limit,
    retry_after_s,
)
from settlement.policies.token_bucket import Taken

Headers = list[tuple[bytes, bytes]]


@dataclass(frozen=True, slots=True)
class _Policy:
    rate_per_s: float
    burst: int
    description: bytes


class Admission:
    """The door of one replica."""

    def __init__(
        self,
        service: str,
        settings: LiveSettings,
        limiter: Limiter,
        tokens: Tokens,
        metrics: Metrics,
        clock: Clock,
    ) -> None:
        self._rules = DoorRules(service)
        self.counts, self.can_be_full = self._rules.counts, self._rules.can_be_full
        self._settings = settings
        self._shared = limiter
        self._own = LocalLimiter(clock)
        self._tokens = tokens
        self._clock = clock
        self._gate: Gate | None = None
        self._applied: tuple[str, int] = ("off", 0)
        self._turned_away_at_ms = float("-inf")
        self._turned_away = Counter(
            "paylab_requests_turned_away", "Requests refused before anything was done", ["reason"],
            registry=metrics.registry,
        )  # fmt: skip
        limit = Gauge("paylab_concurrency_limit", "Requests that may be in progress; 0: any", registry=metrics.registry)
        limit.set_function(lambda: self._gate.limit if self._gate is not None else 0)
        self._follow()
        settings.on_change(self._follow)

    @property
    def overloaded(self) -> bool:
        """Whether somebody was turned away for want of time within the last second."""
        return self._clock.monotonic_ms() - self._turned_away_at_ms < TROUBLE_MS

    async def count(self, scope: Scope, headers: Mapping[bytes, bytes]) -> Headers:
        """Count the request for its caller; returns the headers its answer is to carry. Raises Problem 429."""
        path: str = scope["path"]
        if not self.counts(path):
            return []
        caller, key = self._caller(scope, path, headers)
        policy = self._policies[caller]
        if policy.rate_per_s <= 0:
            return []
        limiter = self._own if caller in (Caller.ADDRESS, Caller.SERVICE) else self._shared
        taken = await limiter.take(key, policy.rate_per_s, policy.burst)
        told = _told(caller, policy, taken)
        if not taken.allowed:
            self._turned_away.labels(caller.value).inc()
            raise _too_many(taken, told)
        return told

    @contextmanager
    def in_progress(self, path: str) -> Iterator[None]:
        """Around the work on one request. Raises Problem 503 if there is too much of it."""
        gate = self._gate
        if gate is None or not self.can_be_full(path):
            yield
            return
        if not gate.try_enter():
            raise self.turn_away("concurrency")
        began_ms = self._clock.monotonic_ms()
        try:
            yield
        finally:
            now_ms = self._clock.monotonic_ms()
            gate.leave(now_ms - began_ms, now_ms)

    def turn_away(self, reason: str) -> Problem:
        """What to raise when there is no time for a request; counts it. Nothing of the request may have been done."""
        self._turned_away.labels(reason).inc()
        self._turned_away_at_ms = self._clock.monotonic_ms()
        detail = "nothing was done; send the same request again"
        return Problem(
            503, OVERLOADED, "There is too much to do here", detail, headers={"Retry-After": str(RETRY_AFTER_S)}
        )

    def _caller(self, scope: Scope, path: str, headers: Mapping[bytes, bytes]) -> tuple[Caller, str]:
        client = scope.get("client")
        address = client[0] if client else ""
        user_id: int | None = None

        def has_session() -> bool:
            nonlocal user_id
            user_id = self._user_of(headers)
            return user_id is not None

        caller = self._rules.caller(scope["method"], path, has_session)
        if caller is Caller.ACCOUNT:
            return caller, f"{caller}:{path}@{address}"
        return caller, f"{caller}:{address if user_id is None else user_id}"

    def _user_of(self, headers: Mapping[bytes, bytes]) -> int | None:
        scheme, _, token = headers.get(b"authorization", b"").decode("latin-1").partition(" ")
        return self._tokens.user_of(token, self._clock.now_ms()) if scheme.lower() == "bearer" else None

    def _follow(self) -> None:
        self._policies = {caller: self._policy(caller) for caller in Caller}
        mode, value = self._settings.text("limit.concurrency_mode"), self._settings.integer("limit.concurrency_max")
        if (mode, value) == self._applied:
            return  # An adaptive limit keeps what it has learned.
        self._applied = (mode, value)
        limit = concurrency_limit(mode, value)
        if limit is None:
            self._gate = None
        elif self._gate is None:
            self._gate = Gate(limit)
        else:
            self._gate.follow(limit)

    def _policy(self, caller: Caller) -> _Policy:
        rate_per_s = self._settings.number(f"limit.{caller}_rate_per_s")
        burst = self._settings.integer(f"limit.{caller}_burst")
        window_s = math.ceil(burst / rate_per_s) if rate_per_s > 0 else 0
        return _Policy(rate_per_s, burst, f'"{caller}";q={burst};w={window_s}'.encode())


def _told(caller: Caller, policy: _Policy, taken: Taken) -> Headers:
    """The fields of draft-ietf-httpapi-ratelimit-headers-11; the reset of a refusal is its Retry-After."""
    reset_s = math.ceil((taken.reset_ms if taken.allowed else taken.retry_after_ms) / 1_000)
    return [
        (b"ratelimit-policy", policy.description),
        (b"ratelimit", f'"{caller}";r={taken.remaining if taken.allowed else 0};t={reset_s}'.encode()),
    ]


def _too_many(taken: Taken, told: Headers) -> Problem:
    wait_s = retry_after_s(taken)
    headers = {name.decode(): value.decode() for name, value in told}
    headers["Retry-After"] = str(wait_s)
    detail = f"the next one is taken in {wait_s} s"
    return Problem(429, RATE_LIMITED, "Too many requests", detail, headers=headers)
