"""Calls to other services: found through the cached registry, balanced, signed, traced, retried within a budget.

    reply = await client.call("order", "POST", "/participant/prepare", json={...}, timeout_ms=500, idempotent=True)

`timeout_ms` bounds the whole call with its retries. A reply of any status is a reply. `NotSent` and `Unknown` are the
two ways to have none. A call that was not sent, or turned away by a replica that has no time for it, may be tried at
another replica, whatever it does; one whose fate is unknown is tried again only if it is idempotent. A replica that
says when to come back (Retry-After) is left alone until then as long as there is another, and never asked earlier by a
retry. Behind a service that keeps failing stands a circuit breaker (see `breakers`).
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Coroutine, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any, Final

import orjson

from settlement.chassis.breakers import BreakerOpen, Breakers
from settlement.chassis.clock import Clock
from settlement.chassis.discovery import Instance, RegistryCache
from settlement.chassis.faults import ActiveFault, DropReply, Error, FaultTable, Latency
from settlement.chassis.live_settings import LiveSettings
from settlement.chassis.metrics import Metrics
from settlement.chassis.signature import Call, signed_headers, target_of
from settlement.chassis.trace import Attributes, SpanKind, annotate, current_trace, span
from settlement.chassis.transport import Answer, CallFailed, NotSent, Transport, Unknown
from settlement.policies.balancer import LeastLoaded
from settlement.policies.canary import Canary, choose, parse
from settlement.policies.outlier import OutlierEjection
from settlement.policies.retry import (
    ATTEMPTS_MAX,
    BACKOFF_BASE_MS,
    BACKOFF_MAX_MS,
    RETRIED_STATUSES,
    TURNED_AWAY,
    TURNED_AWAY_CODES,
    RetryBudget,
    pause_ms,
    retry_after_ms_of,
)

__all__ = ["BreakerOpen", "CallFailed", "NotSent", "ServiceClient", "ServiceReply", "Unknown"]

MISDIRECTED_STATUS: Final = 421
LATE_CALLS_MAX: Final = 10_000


@dataclass(frozen=True, slots=True)
class ServiceReply:
    """The answer of a service: HTTP status, parsed JSON (None if there is none) and the replica that gave it."""

    status: int
    json: Any
    replica: str
    retry_after_ms: float | None = None

    @property
    def ok(self) -> bool:
        """Whether the status is 2xx."""
        return 200 <= self.status < 300

    @property
    def turned_away(self) -> bool:
        """Whether the replica had no time for the call, and certainly did nothing of it."""
        return self.status in TURNED_AWAY and isinstance(self.json, dict) and self.json.get("code") in TURNED_AWAY_CODES


@dataclass(frozen=True, slots=True)
class _Outgoing:
    """One call as its caller wants it; `deadline_ms` on the monotonic clock."""

    service: str
    method: str
    path: str
    body: bytes
    headers: Mapping[str, str]
    deadline_ms: float
    must_arrive: bool


class ServiceClient:
    """The HTTP client of one replica."""

    def __init__(
        self,
        service: str,
        secret: str,
        registry: RegistryCache,
        transport: Transport,
        settings: LiveSettings,
        faults: FaultTable,
        metrics: Metrics,
        clock: Clock,
    ) -> None:
        self._service = service
        self._secret = secret
        self._registry = registry
        self._transport = transport
        self._settings = settings
        self._faults = faults
        self._metrics = metrics
        self._clock = clock
        self._balancer = LeastLoaded()
        self._outliers = OutlierEjection()
        self._canary_text = ""
        self._canaries: dict[str, Canary] = {}
        self._budgets: dict[str, RetryBudget] = {}
        self._resting_until_ms: dict[str, float] = {}
        self.breakers = Breakers(settings, metrics, clock)
        self._random = random.Random(f"backoff:{service}")
        self._late: set[asyncio.Task[Answer]] = set()
        registry.on_change(self._forget_gone)

    async def call(
        self,
        service: str,
        method: str,
        path: str,
        *,
        json: object = None,
        timeout_ms: float | None = None,
        headers: Mapping[str, str] | None = None,
        idempotent: bool = False,
        must_arrive: bool = False,
    ) -> ServiceReply:
        """Call a service. `path` is percent-encoded, with its query. Raises NotSent or Unknown (both CallFailed).

        With `must_arrive` an open breaker does not hold the call back: for what is repeated until it was heard.
        """
        if timeout_ms is None:
            timeout_ms = self._settings.integer("http.timeout_ms")
        body = b"" if json is None else orjson.dumps(json)
        deadline_ms = self._clock.monotonic_ms() + timeout_ms
        budget = self._budget(service)
        budget.call_made()
        outgoing = _Outgoing(service, method, path, body, headers or {}, deadline_ms, must_arrive)
        for attempt in range(1, ATTEMPTS_MAX + 1):
            failure: CallFailed
            try:
                about: Attributes = {"paylab.peer": service, "url.path": path, "paylab.attempt": attempt}
                with span(f"{method} {service}", SpanKind.CLIENT, about):
                    reply = await self._attempt(outgoing)
                if not (reply.turned_away or (idempotent and reply.status in RETRIED_STATUSES)):
                    return reply
                failure = Unknown(f"{service} answered {reply.status}")
                again = True
            except CallFailed as error:
                reply, failure = None, error
                again = not isinstance(error, BreakerOpen) and (isinstance(error, NotSent) or idempotent)
            if not (again and attempt < ATTEMPTS_MAX and await self._pause(service, attempt, deadline_ms, budget)):
                break
        if reply is not None:
            return reply
        raise failure

    def _forget_gone(self, addresses: Set[str]) -> None:
        self._balancer.forget(addresses)
        self._outliers.forget(addresses)
        self._resting_until_ms = {
            address: until_ms for address, until_ms in self._resting_until_ms.items() if address in addresses
        }

    def _budget(self, service: str) -> RetryBudget:
        share = self._settings.number("http.retry_budget_share")
        budget = self._budgets.get(service)
        if budget is None:
            budget = self._budgets[service] = RetryBudget(share)
        budget.follow(share)
        return budget

    async def _pause(self, service: str, attempt: int, deadline_ms: float, budget: RetryBudget) -> bool:
        """Wait before a retry; False if there is no time or no budget for one."""
        now_ms, chance = self._clock.monotonic_ms(), self._random.random()
        wait_ms = pause_ms(attempt, BACKOFF_BASE_MS, BACKOFF_MAX_MS, chance, self._rest_ms(service, now_ms))
        if now_ms + wait_ms >= deadline_ms or not budget.try_withdraw():
            return False
        await asyncio.sleep(wait_ms / 1_000)
        return True

    def _rest_ms(self, service: str, now_ms: float) -> float:
        """How long all replicas of a service have asked to be left alone."""
        addresses = [instance.address for instance in self._registry.replicas(service)]
        rests_ms = [self._resting_until_ms.get(address, now_ms) - now_ms for address in addresses]
        return max(0.0, min(rests_ms, default=0.0))

    async def _attempt(self, call: _Outgoing) -> ServiceReply:
        started_s = time.perf_counter()
        replica, outcome = "", "not_sent"
        try:
            instance = await self._choose(call.service, call.deadline_ms)
            replica = instance.replica
            with self.breakers.attempt(call.service, must_arrive=call.must_arrive) as attempt:
                reply = await self._ask(call, instance)
                attempt.worked = reply.status < 500
            replica, outcome = reply.replica, f"{reply.status // 100}xx"
        except (Unknown, asyncio.CancelledError):
            outcome = "unknown"
            raise
        finally:
            self._ended(call.service, replica, outcome, started_s)
        return reply

    async def _ask(self, call: _Outgoing, instance: Instance) -> ServiceReply:
        self._balancer.started(instance.address)
        try:
            reply = _reply(await self._through_faults(call, instance), instance)
        except CallFailed as error:
            refused = isinstance(error, NotSent)
            self._outliers.failed(instance.address, self._clock.monotonic_ms(), refused=refused)
            if refused:
                self._registry.refresh_soon()
            raise
        finally:
            self._balancer.ended(instance.address)
        now_ms = self._clock.monotonic_ms()
        if reply.turned_away and reply.retry_after_ms is not None:
            self._resting_until_ms[instance.address] = now_ms + reply.retry_after_ms
        if reply.status >= 500 and not reply.turned_away:
            self._outliers.failed(instance.address, now_ms)
        else:
            self._outliers.succeeded(instance.address)
        return reply

    def _ended(self, service: str, replica: str, outcome: str, started_s: float) -> None:
        self._metrics.call_made(service, outcome, time.perf_counter() - started_s)
        annotate({"paylab.peer_replica": replica, "paylab.outcome": outcome})

    async def _choose(self, service: str, deadline_ms: float) -> Instance:
        instances = self._registry.replicas(service)
        if not instances:
            refreshing = self._registry.refresh_soon()
            if refreshing is not None:
                left_s = max(0.0, deadline_ms - self._clock.monotonic_ms()) / 1_000
                await asyncio.wait({refreshing}, timeout=left_s)
            instances = self._registry.replicas(service)
        if not instances:
            raise NotSent(f"no replica of {service} is registered")
        return instances[0] if len(instances) == 1 else self._balanced(service, instances)

    def _balanced(self, service: str, instances: Sequence[Instance]) -> Instance:
        """Without the ejected; of the rest, canary or not; of those, the least loaded for its weight."""
        by_address = {instance.address: instance for instance in instances}
        now_ms = self._clock.monotonic_ms()
        allowed = self._outliers.allowed(self._rested(list(by_address), now_ms), now_ms)
        canary = self._canary(service)
        if canary is not None:
            versions = {address: by_address[address].version for address in allowed}
            allowed = choose(versions, canary, self._random.random())
        return by_address[self._balancer.pick(allowed, {address: by_address[address].weight for address in allowed})]

    def _rested(self, addresses: list[str], now_ms: float) -> list[str]:
        """Without those that asked to be left alone, unless all did."""
        if not self._resting_until_ms:
            return addresses
        return [address for address in addresses if self._resting_until_ms.get(address, 0.0) <= now_ms] or addresses

    def _canary(self, service: str) -> Canary | None:
        text = self._settings.text("route.canary")
        if text != self._canary_text:
            self._canary_text, self._canaries = text, parse(text)
        return self._canaries.get(service)

    async def _through_faults(self, call: _Outgoing, instance: Instance) -> Answer:
        timeout_s = (call.deadline_ms - self._clock.monotonic_ms()) / 1_000
        if timeout_s <= 0:
            raise NotSent(f"no time left to call {call.service}")
        striking = self._faults.of_call(call.service, call.path) if self._faults.links else []
        if not striking:
            return await self._send(call, instance, timeout_s)
        # Drawn even if the call goes no further: an error beside a latency must not shift the luck of the latter.
        delay_s = sum(active.delay_s() for active in striking if isinstance(active.fault, Latency))
        for active in striking:
            if isinstance(active.fault, Error):
                return Answer(active.fault.status, {}, b'{"code":"fault_injected"}')
        late = self._send_late(delay_s, self._send(call, instance, timeout_s))
        return await self._await_late(late, timeout_s, striking)

    async def _send(self, call: _Outgoing, instance: Instance, timeout_s: float) -> Answer:
        trace = current_trace()
        target = target_of(call.service, instance.replica)
        signed = Call(self._service, target, call.method, call.path, call.body)
        sent = {
            "content-type": "application/json",
            **signed_headers(self._secret, signed, self._clock.now_ms()),
            **call.headers,
        }
        if trace.trace_id:
            sent["traceparent"] = trace.traceparent()
        if trace.gid:
            sent["paylab-gid"] = trace.gid
        return await self._transport.send(instance.address, call.method, call.path, call.body, sent, timeout_s)

    def _send_late(self, delay_s: float, send: Coroutine[Any, Any, Answer]) -> asyncio.Task[Answer]:
        """A call on a slow link: it arrives even if the caller has given up by then, as on a real network."""

        async def delayed() -> Answer:
            await asyncio.sleep(delay_s)
            return await send

        if len(self._late) >= LATE_CALLS_MAX:
            send.close()
            raise NotSent("too many calls are on slow links")
        task = asyncio.create_task(delayed())
        self._late.add(task)
        task.add_done_callback(self._forget_late)
        # A call cancelled while it was on its way has a coroutine that never ran.
        task.add_done_callback(lambda _: send.close())
        return task

    def _forget_late(self, task: asyncio.Task[Answer]) -> None:
        self._late.discard(task)
        if not task.cancelled():
            task.exception()  # nobody may be waiting for it any more: mark it as seen

    async def _await_late(self, late: asyncio.Task[Answer], timeout_s: float, striking: list[ActiveFault]) -> Answer:
        dropped = any(isinstance(active.fault, DropReply) for active in striking)
        if dropped:
            await asyncio.sleep(timeout_s)
            raise Unknown("the answer was lost (injected)")
        done, _ = await asyncio.wait({late}, timeout=timeout_s)
        if not done:
            raise Unknown("no answer in time (slow link, injected)")
        return late.result()

    async def close(self) -> None:
        """Drop the calls that are still on their way, and all connections."""
        late = list(self._late)
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)
        await self._transport.close()


def _reply(answer: Answer, instance: Instance) -> ServiceReply:
    if answer.status == MISDIRECTED_STATUS:
        # Its address belongs to somebody else by now, who does nothing in another's name.
        raise NotSent(f"{instance.address} is not {instance.replica} any more")
    try:
        document = orjson.loads(answer.body) if answer.body else None
    except ValueError as error:
        raise Unknown(f"{instance.replica} answered something that is not JSON") from error
    replica = answer.headers.get("paylab-replica", instance.replica)
    return ServiceReply(answer.status, document, replica, retry_after_ms_of(answer.headers.get("retry-after")))
