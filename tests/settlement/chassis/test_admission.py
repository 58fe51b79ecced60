"""Nobody gets more than their share, a full replica says so at once, and what is decided is completed all the same."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest

from settlement.chassis.discovery import Instance
from settlement.chassis.transport import NotSent
from tests.mariadb_server import both_backends
from tests.redis_server import RedisServer


def _change(cluster: Any, replica: str = "probe-0", **values: Any) -> None:
    """What the config center sends to a running replica."""
    settings = cluster.replica(replica).chassis.settings
    settings.replace({name.replace("__", "."): value for name, value in values.items()}, settings.version + 1)


async def test_a_user_who_asks_too_often_is_told_when_to_come_back(cluster: Any, probe: Any) -> None:
    await cluster.start("probe", settings={"limit.user_rate_per_s": 0.5, "limit.user_burst": 2})
    http = cluster.http("probe")
    replies = [await http.get("/mine", headers=cluster.as_user(7)) for _ in range(3)]
    assert [reply.status_code for reply in replies] == [200, 200, 429]
    assert [reply.headers["RateLimit"] for reply in replies] == [
        '"user";r=1;t=2',
        '"user";r=0;t=4',
        '"user";r=0;t=2',
    ]
    assert {reply.headers["RateLimit-Policy"] for reply in replies} == {'"user";q=2;w=4'}
    assert replies[2].headers["Retry-After"] == "2"
    assert replies[2].json()["code"] == "rate_limited"
    assert (await http.get("/mine", headers=cluster.as_user(8))).status_code == 200, "another user is not concerned"
    cluster.clock.advance_ms(2_000)
    assert (await http.get("/mine", headers=cluster.as_user(7))).status_code == 200


@pytest.fixture(params=["embedded", "redis"])
def store(request: pytest.FixtureRequest) -> dict[str, Any]:
    """Where requests are counted, in turn: in the replica, or in a real Redis."""
    return {} if request.param == "embedded" else {"redis_url": request.getfixturevalue("redis_server").url}


# A rate that gives nothing back while a test lasts, however slow the machine: Redis counts on its own clock.
FEW = {"limit.user_rate_per_s": 0.001, "limit.user_burst": 4}


async def _asked(cluster: Any, times: int, *replicas: str, user_id: int = 7) -> list[int]:
    """The statuses that a user gets who asks these replicas in turn."""
    clients, headers = [cluster.http(name) for name in replicas or ("probe-0",)], cluster.as_user(user_id)
    replies = [await clients[number % len(clients)].get("/mine", headers=headers) for number in range(times)]
    return [reply.status_code for reply in replies]


@both_backends
async def test_a_user_has_the_same_limit_wherever_requests_are_counted(
    cluster: Any, probe: Any, store: dict[str, Any]
) -> None:
    await cluster.start("probe", settings=FEW, **store)
    assert await _asked(cluster, 5) == [200] * 4 + [429]
    refused = await cluster.http("probe").get("/mine", headers=cluster.as_user(7))
    assert refused.headers["RateLimit-Policy"] == '"user";q=4;w=4000'
    assert 500 < int(refused.headers["Retry-After"]) <= 1_000
    assert await _asked(cluster, 1, user_id=8) == [200], "another user is not concerned"
    _change(cluster, limit__user_rate_per_s=0)
    assert await _asked(cluster, 3) == [200] * 3


async def test_replicas_count_together_until_redis_goes_and_again_when_it_is_back(
    cluster: Any, probe: Any, redis_server: RedisServer
) -> None:
    both = ("probe-0", "probe-1")
    for name in both:
        await cluster.start("probe", name, settings=FEW, redis_url=redis_server.url)
    assert await _asked(cluster, 6, *both) == [200] * 4 + [429] * 2
    redis_server.kill()
    assert await _asked(cluster, 10, *both) == [200] * 8 + [429] * 2, "each for itself: twice as many, but no more"
    assert "paylab_limiter_degraded 1.0" in (await cluster.http("probe-0").get("/metrics")).text
    redis_server.start()
    await cluster.eventually(lambda: all(cluster.replica(name).chassis.redis.up for name in both))
    assert await _asked(cluster, 6, *both, user_id=8) == [200] * 4 + [429] * 2
    assert "paylab_limiter_degraded 0.0" in (await cluster.http("probe-0").get("/metrics")).text


async def test_a_forged_token_or_service_name_counts_for_the_address(cluster: Any, probe: Any) -> None:
    await cluster.start("probe", settings={"limit.address_rate_per_s": 0.1, "limit.address_burst": 3})
    http = cluster.http("probe")
    ways: list[dict[str, str]] = [
        {},
        {"Authorization": "Bearer forged"},
        {"paylab-service": "gateway"},
        {"paylab-service": "order"},
        {"X-Forwarded-For": "192.0.2.1"},
    ]
    statuses = [(await http.get("/notes/1", headers=headers)).status_code for headers in ways]
    assert statuses == [200, 200, 200, 429, 429]


async def test_a_changed_limit_acts_on_the_next_request(cluster: Any, probe: Any) -> None:
    await cluster.start("probe", settings={"limit.user_rate_per_s": 100, "limit.user_burst": 200})
    http = cluster.http("probe")
    assert (await http.get("/mine", headers=cluster.as_user(7))).headers["RateLimit-Policy"] == '"user";q=200;w=2'
    _change(cluster, limit__user_rate_per_s=1, limit__user_burst=1)
    statuses = [(await http.get("/mine", headers=cluster.as_user(7))).status_code for _ in range(2)]
    assert statuses == [200, 429]
    _change(cluster, limit__user_rate_per_s=0)
    reply = await http.get("/mine", headers=cluster.as_user(7))
    assert (reply.status_code, "RateLimit" in reply.headers) == (200, False)


async def test_health_metrics_and_events_are_never_turned_away(cluster: Any, probe: Any) -> None:
    strict = {"limit.address_rate_per_s": 0.001, "limit.address_burst": 1, "limit.concurrency_max": 1}
    await cluster.start("probe", settings=strict)
    http = cluster.http("probe")
    async with _held(cluster, probe, http):
        for path in ("/health/live", "/health/ready", "/metrics"):
            assert [(await http.get(path)).status_code for _ in range(3)] == [200] * 3
        assert (await cluster.call("probe", "POST", "/events", json={"events": []})).status == 200
        faults = await http.put("/faults", json={"faults": []}, headers=cluster.as_fault_operator())
        assert faults.status_code == 200


class _held:  # noqa: N801 - reads as a word
    """While one request is being worked on."""

    def __init__(self, cluster: Any, probe: Any, http: httpx.AsyncClient) -> None:
        self._cluster, self._probe, self._http = cluster, probe, http

    async def __aenter__(self) -> None:
        self._probe.hold = asyncio.Event()
        self._request = asyncio.create_task(self._http.get("/held"))
        await self._cluster.eventually(lambda: self._probe.holding == 1)

    async def __aexit__(self, *_: object) -> None:
        self._probe.hold.set()
        assert (await self._request).status_code == 200


async def test_a_full_replica_turns_away_at_once_and_has_done_nothing(cluster: Any, probe: Any) -> None:
    await cluster.start("probe", settings={"limit.concurrency_max": 1})
    http = cluster.http("probe")
    async with _held(cluster, probe, http):
        reply = await http.get("/notes/1")
        assert (reply.status_code, reply.json()["code"], reply.headers["Retry-After"]) == (503, "overloaded", "1")
        shed = await cluster.call("probe", "POST", "/notes", json={"text": "a"}, timeout_ms=300)
        assert (shed.turned_away, probe.executed) == (True, 0)
        text = (await http.get("/metrics")).text
        assert 'paylab_requests_turned_away_total{reason="concurrency"} 2.0' in text
        assert "paylab_concurrency_limit 1.0" in text
        _change(cluster, limit__concurrency_mode="off")
        assert (await http.get("/notes/1")).status_code == 200
    assert (await http.get("/notes/1")).status_code == 200


async def test_the_mode_changes_while_requests_are_in_progress(cluster: Any, probe: Any) -> None:
    await cluster.start("probe", settings={"limit.concurrency_max": 1})
    http = cluster.http("probe")
    async with _held(cluster, probe, http):
        _change(cluster, limit__concurrency_mode="adaptive", limit__concurrency_max=2)
        assert (await http.get("/notes/1")).status_code == 200
        _change(cluster, limit__concurrency_mode="fixed", limit__concurrency_max=1)
        assert (await http.get("/notes/1")).status_code == 503
    assert (await http.get("/notes/1")).status_code == 200


@pytest.mark.parametrize(("mode", "degraded"), [("automatic", True), ("always", True), ("never", False)])
async def test_a_replica_that_turned_somebody_away_falls_back_where_it_may(
    cluster: Any, probe: Any, mode: str, degraded: bool
) -> None:
    await cluster.start("probe", settings={"limit.concurrency_max": 1, "degrade.goods_list": mode})
    http, switches = cluster.http("probe"), cluster.replica("probe-0").chassis.degradation
    assert switches.active("goods_list") is (mode == "always")
    async with _held(cluster, probe, http):
        assert (await http.get("/notes/1")).status_code == 503
        assert switches.active("goods_list") is degraded
        gauge = f'paylab_degraded{{feature="goods_list"}} {float(degraded)}'
        assert gauge in (await http.get("/metrics")).text
    cluster.clock.advance_ms(1_000)
    assert switches.active("goods_list") is (mode == "always")


async def test_an_open_breaker_puts_the_fallback_in_force(cluster: Any, probe: Any) -> None:
    await cluster.start("probe", settings={"http.breaker_calls_min": 1, "http.breaker_open_ms": 2_000})
    chassis = cluster.replica("probe-0").chassis
    cluster.registry.put({"risk": [Instance("risk-0", "http://nobody")]})
    assert not chassis.degradation.active("risk")
    with pytest.raises(NotSent):
        await chassis.client.call("risk", "POST", "/assessments", json={})
    assert chassis.degradation.active("risk")
    _change(cluster, degrade__risk="never")
    assert not chassis.degradation.active("risk")
