"""What a replica counts: by route, by peer, and what it looks up when it is scraped."""

from __future__ import annotations

from typing import Any

import pytest
from prometheus_client import Gauge

from settlement.chassis import metrics as metrics_module
from settlement.chassis.metrics import Metrics
from settlement.chassis.telemetry import get_logger
from settlement.chassis.transport import CallFailed

LOG = get_logger("probe", "probe-0")


def _calls(replica: Any, peer: str, outcome: str) -> float:
    name = "paylab_http_client_call_duration_seconds_count"
    found = replica.chassis.metrics.registry.get_sample_value(name, {"peer": peer, "outcome": outcome})
    return found or 0.0


async def test_calls_are_counted_by_peer_and_outcome(cluster: Any, probe: Any) -> None:
    replica = await cluster.start("probe", settings={"http.retry_budget_share": 0.0})
    call = replica.chassis.client.call
    await call("probe", "POST", "/notes", json={"text": "a"})
    await call("probe", "GET", "/nowhere")
    cluster.network.lose_reply("probe", "/notes")
    with pytest.raises(CallFailed):
        await call("probe", "POST", "/notes", json={"text": "b"})
    with pytest.raises(CallFailed):
        await call("nobody", "GET", "/", timeout_ms=20)
    assert (_calls(replica, "probe", "2xx"), _calls(replica, "probe", "4xx")) == (1, 1)
    assert _calls(replica, "probe", "unknown") == 1
    assert _calls(replica, "nobody", "not_sent") == 1


async def test_scraping_often_looks_up_once(monkeypatch: pytest.MonkeyPatch) -> None:
    metrics, looked_up = Metrics("probe", "probe-0"), []

    async def look_up() -> None:
        looked_up.append(1)

    metrics.at_exposition(look_up)
    await metrics.exposition(LOG)
    await metrics.exposition(LOG)
    assert len(looked_up) == 1
    monkeypatch.setattr(metrics_module, "LOOKED_UP_EVERY_S", 0.0)
    await metrics.exposition(LOG)
    assert len(looked_up) == 2


async def test_a_failing_look_up_hides_no_other_metric() -> None:
    metrics = Metrics("probe", "probe-0")
    found = Gauge("paylab_found", "Found", registry=metrics.registry)

    async def fail() -> None:
        raise OSError("no database")

    async def succeed() -> None:
        found.set(7)

    metrics.at_exposition(fail)
    metrics.at_exposition(succeed)
    assert b"paylab_found 7.0" in await metrics.exposition(LOG)
