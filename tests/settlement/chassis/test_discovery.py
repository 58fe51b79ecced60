"""The cached registry: works without the registry, and never makes a caller wait for one that hangs."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Any

import pytest

from settlement.chassis.clock import SystemClock
from settlement.chassis.discovery import Instance, RegistryCache, RegistryClient, first_config, follow_config
from settlement.chassis.faults import CrashPoints, FaultTable
from settlement.chassis.http_client import NotSent, ServiceClient
from settlement.chassis.live_settings import LiveSettings
from settlement.chassis.metrics import Metrics
from settlement.chassis.telemetry import get_logger
from settlement.chassis.transport import Answer
from settlement.policies.lapse import KEPT_MS

LOG = get_logger("test", "test-0")
ORDER = {"services": {"order": [{"replica": "order-0", "address": "http://order-0/", "version": "1"}]}}


class Registry:
    """A registry that answers, refuses or hangs; everything else refuses the connection."""

    def __init__(self) -> None:
        self.document: Any = ORDER
        self.down = False
        self.hangs = False
        self.configs: list[dict[str, Any]] = []

    async def send(
        self, address: str, method: str, path: str, body: bytes, headers: Mapping[str, str], timeout_s: float
    ) -> Answer:
        if address != "http://registry" or self.down:
            raise NotSent("refused")
        if self.hangs or (path.startswith("/config") and not self.configs):
            await asyncio.sleep(60)
        if path.startswith("/config"):
            return Answer(200, {}, json.dumps(self.configs.pop(0)).encode())
        return Answer(200, {}, json.dumps(self.document).encode())

    async def close(self) -> None: ...


class StoppedClock:
    """A clock that the test moves."""

    def __init__(self) -> None:
        self.at_ms = 1_000.0

    def now_ms(self) -> int:
        return int(self.at_ms)

    def monotonic_ms(self) -> float:
        return self.at_ms


@pytest.fixture
def registry() -> Registry:
    return Registry()


def _client(registry: Registry) -> RegistryClient:
    return RegistryClient("http://registry/", "gateway", "gateway-0", "secret", registry, SystemClock())


@pytest.fixture
def cache(registry: Registry) -> RegistryCache:
    return RegistryCache(_client(registry), SystemClock(), LOG)


async def test_what_was_known_stays_known_when_the_registry_is_down(registry: Registry, cache: RegistryCache) -> None:
    await cache.refresh()
    registry.down = True
    await cache.refresh()
    assert cache.replicas("order") == (Instance("order-0", "http://order-0", "1"),)
    assert cache.replicas("nobody") == ()


async def test_a_service_whose_leases_all_lapsed_is_still_called_for_a_while(registry: Registry) -> None:
    clock = StoppedClock()
    cache = RegistryCache(_client(registry), clock, LOG)
    await cache.refresh()
    registry.document = {"services": {}}
    await cache.refresh()
    assert [instance.replica for instance in cache.replicas("order")] == ["order-0"]
    clock.at_ms += KEPT_MS
    await cache.refresh()
    assert cache.replicas("order") == ()
    registry.document = ORDER
    await cache.refresh()
    assert [instance.replica for instance in cache.replicas("order")] == ["order-0"]


def _entry(replica: str, **members: Any) -> dict[str, Any]:
    return {"replica": replica, "address": f"http://{replica}", "version": "1", **members}


def _names(cache: RegistryCache, service: str = "order") -> list[str]:
    return [instance.replica for instance in cache.replicas(service)]


@pytest.mark.parametrize("status", ["DOWN", "STARTING", "OUT_OF_SERVICE", "UNKNOWN"])
async def test_who_is_not_up_gets_no_calls_and_at_once(registry: Registry, cache: RegistryCache, status: str) -> None:
    registry.document = {"services": {"order": [_entry("order-0"), _entry("order-1", status=status)]}}
    await cache.refresh()
    assert _names(cache) == ["order-0"]
    registry.document = {"services": {"order": [_entry("order-0", status=status)]}}
    await cache.refresh()
    assert _names(cache) == [], "nobody is up: that is an intention, not an accident to be patient with"
    registry.document = {"services": {"order": [_entry("order-0", status="UP")]}}
    await cache.refresh()
    assert _names(cache) == ["order-0"]


async def test_a_registry_that_is_warming_up_makes_nobody_forget_anybody(
    registry: Registry, cache: RegistryCache
) -> None:
    registry.document = {"services": {"order": [_entry("order-0"), _entry("order-1")], "cart": [_entry("cart-0")]}}
    await cache.refresh()
    moved = _entry("order-1", address="http://elsewhere", weight=5)
    registry.document = {"warming": True, "services": {"order": [moved], "payment": [_entry("payment-0")]}}
    await cache.refresh()
    assert cache.replicas("order") == (
        Instance("order-1", "http://elsewhere", "1", 5),
        Instance("order-0", "http://order-0", "1"),
    )
    assert (_names(cache, "cart"), _names(cache, "payment")) == (["cart-0"], ["payment-0"])
    registry.document = {"warming": False, "services": {"order": [moved]}}
    await cache.refresh()
    assert _names(cache) == ["order-1"], "warm: a shorter list is believed again"


@pytest.mark.parametrize("document", [None, [], {}, {"services": 1}, {"services": {"order": [{}]}}, "text"])
async def test_a_registry_that_answers_nonsense_changes_nothing(
    registry: Registry, cache: RegistryCache, document: Any
) -> None:
    await cache.refresh()
    registry.document = document
    await cache.refresh()
    assert len(cache.replicas("order")) == 1


async def test_a_call_does_not_wait_for_a_registry_that_hangs(registry: Registry, cache: RegistryCache) -> None:
    registry.hangs = True
    metrics, faults = Metrics("gateway", "gateway-0"), FaultTable(CrashPoints())
    client = ServiceClient("gateway", "secret", cache, registry, LiveSettings(), faults, metrics, SystemClock())
    began_s = asyncio.get_running_loop().time()
    with pytest.raises(NotSent):
        await client.call("order", "GET", "/", timeout_ms=50)
    assert asyncio.get_running_loop().time() - began_s < 1.5


async def test_a_service_waits_for_its_first_settings(registry: Registry) -> None:
    registry.down = True
    waiting = asyncio.create_task(first_config(_client(registry), "dev", LOG))
    await asyncio.sleep(0.02)
    assert not waiting.done()
    registry.configs.append({"version": 3, "values": {"channel.latency_ms": 9}})
    registry.down = False
    settings = await asyncio.wait_for(waiting, 5)
    assert (settings.version, settings.integer("channel.latency_ms")) == (3, 9)


async def test_settings_this_service_does_not_know_are_refused_and_the_old_ones_stay(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("settlement.chassis.discovery.RETRY_PAUSE_S_MAX", 0.0)
    registry.configs += [
        {"version": 2, "values": {"channel.latency_ms": 9}},
        {"version": 3, "values": {"from.the.future": 1}},
        {"version": 4, "values": {"channel.latency_ms": 11}},
    ]
    settings, seen, latest = LiveSettings(version=1), [], asyncio.Event()

    def changed() -> None:
        seen.append(settings.integer("channel.latency_ms"))
        if settings.version == 4:
            latest.set()

    settings.on_change(changed)
    following = asyncio.create_task(follow_config(_client(registry), "dev", settings, LOG))
    await asyncio.wait_for(latest.wait(), 5)
    following.cancel()
    assert seen == [9, 11]
