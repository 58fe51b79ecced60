"""Who gets the calls: weights and versions as registered, the canary as set, without the ejected and those not up."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import pytest

from settlement.chassis.clock import SystemClock
from settlement.chassis.discovery import Instance, RegistryCache
from settlement.chassis.faults import CrashPoints, FaultTable
from settlement.chassis.http_client import ServiceClient
from settlement.chassis.live_settings import LiveSettings
from settlement.chassis.metrics import Metrics
from settlement.chassis.telemetry import get_logger
from settlement.chassis.transport import Answer

CANARY = {"route.canary": "order:0.2.0=20%"}


class Transport:
    """Answers every call and counts who got it; the replicas in `failing` answer 500."""

    def __init__(self) -> None:
        self.calls: Counter[str] = Counter()
        self.failing: set[str] = set()

    async def send(
        self, address: str, method: str, path: str, body: bytes, headers: Mapping[str, str], timeout_s: float
    ) -> Answer:
        self.calls[address.removeprefix("http://")] += 1
        return Answer(500 if address in self.failing else 200, {}, b"{}")

    async def close(self) -> None: ...


class Caller:
    """A client of `order`, whose replicas a test writes down."""

    def __init__(self, *instances: Instance, settings: Mapping[str, object] | None = None) -> None:
        self.transport = Transport()
        self.settings = LiveSettings(settings)
        clock = SystemClock()
        self.cache = RegistryCache(None, clock, get_logger("test", "test-0"))
        self.cache.put({"order": instances})
        self._client = ServiceClient(
            "gateway", "secret", self.cache, self.transport, self.settings, FaultTable(CrashPoints()),
            Metrics("gateway", "gateway-0"), clock,
        )  # fmt: skip

    async def calls(self, count: int) -> dict[str, int]:
        self.transport.calls.clear()
        for _ in range(count):
            await self._client.call("order", "GET", "/")
        return dict(self.transport.calls)


def _order(name: str, **members: Any) -> Instance:
    return Instance(name, f"http://{name}", **{"version": "0.1.0", **members})


async def test_calls_follow_the_registered_weights() -> None:
    caller = Caller(_order("a", weight=300), _order("b"), _order("drained", weight=0))
    assert await caller.calls(400) == {"a": 300, "b": 100}


async def test_a_new_weight_counts_from_the_next_call() -> None:
    caller = Caller(_order("a"), _order("b"))
    assert await caller.calls(10) == {"a": 5, "b": 5}
    caller.cache.put({"order": [_order("a", weight=900), _order("b")]})
    assert await caller.calls(10) == {"a": 9, "b": 1}


async def test_the_canary_gets_its_share_and_the_setting_can_change() -> None:
    caller = Caller(_order("a"), _order("b"), _order("new", version="0.2.0"), settings=CANARY)
    served = await caller.calls(1_000)
    assert served["new"] == pytest.approx(200, abs=50)
    assert served["a"] == pytest.approx(served["b"], abs=2)
    caller.settings.replace({"route.canary": "order:0.2.0=100%"}, 2)
    assert await caller.calls(20) == {"new": 20}
    caller.settings.replace({}, 3)
    assert await caller.calls(30) == pytest.approx({"a": 10, "b": 10, "new": 10}, abs=6)


async def test_a_canary_that_keeps_failing_loses_its_share_for_a_while() -> None:
    caller = Caller(_order("a"), _order("b"), _order("new", version="0.2.0"), settings=CANARY)
    caller.transport.failing.add("http://new")
    assert (await caller.calls(200))["new"] == 3, "ejected after three failures"


@pytest.mark.parametrize("status", ["DOWN", "STARTING", "OUT_OF_SERVICE"])
async def test_who_is_not_up_is_not_called(status: str) -> None:
    caller = Caller(_order("a"), _order("b", status=status), _order("c"))
    assert await caller.calls(10) == {"a": 5, "c": 5}
