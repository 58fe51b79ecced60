"""Settings change under running services, by whom and why is on record, and nothing is ever lost or half done."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest

from settlement.chassis.discovery import RegistryClient, follow_config
from settlement.chassis.live_settings import LiveSettings
from tests.mariadb_server import both_backends


@pytest.fixture
async def center(cluster: Any) -> Any:
    await cluster.start("configcenter")
    return cluster


@pytest.fixture
def http(center: Any) -> httpx.AsyncClient:
    client: httpx.AsyncClient = center.http("configcenter")
    client.headers.update(center.as_operator())
    return client


async def _put(http: httpx.AsyncClient, latency_ms: int, if_match: str | None = None, **members: str) -> httpx.Response:
    headers = {} if if_match is None else {"If-Match": if_match}
    body = {"values": {"channel.latency_ms": latency_ms}, **members}
    return await http.put("/config/dev", json=body, headers=headers)


# ---- history --------------------------------------------------------------------------------------------------------


async def test_who_changed_what_and_why_is_on_record(center: Any, http: httpx.AsyncClient) -> None:
    await _put(http, 9, author="ann", comment="the bank is slow")
    await _put(http, 5)
    first = (await http.get("/config/dev/versions/1")).json()
    now_ms = center.clock.now_ms()
    assert now_ms - 60_000 < first.pop("created_at_ms") <= now_ms
    assert first == {
        "version": 1,
        "values": {"channel.latency_ms": 9},
        "author": "ann",
        "comment": "the bank is slow",
        "restored_from": None,
    }
    assert (await http.get("/config/dev/versions/2")).json()["author"] == "operator"
    assert (await http.get("/config/dev/versions/3")).status_code == 404


async def test_every_change_leaves_an_audit_line(
    http: httpx.AsyncClient, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from settlement.chassis.telemetry import configure_logging

    configure_logging("INFO")
    try:
        await _put(http, 9, author="ann", comment="slow bank")
        await http.put("/config/dev", json={"values": {"channel.seed": 3}, "author": "bob"})
    finally:
        configure_logging("WARNING")
    lines = [line for line in capsys.readouterr().out.splitlines() if '"config_changed"' in line]
    assert len(lines) == 2
    for part in ('"author":"bob"', '"version":2', '"channel.latency_ms":{"before":9,"after":null}', '"after":3'):
        assert part in lines[1]


@both_backends
async def test_history_comes_in_pages_newest_first(http: httpx.AsyncClient) -> None:
    for latency_ms in range(1, 8):
        await _put(http, latency_ms)
    pages, before = [], ""
    while True:
        page = (await http.get(f"/config/dev/history?limit=3{before}")).json()
        pages.append([entry["version"] for entry in page["versions"]])
        if page["next_before"] is None:
            break
        before = f"&before={page['next_before']}"
    assert pages == [[7, 6, 5], [4, 3, 2], [1]]
    assert (await http.get("/config/dev/history?limit=101")).status_code == 422


async def test_profiles_are_separate_and_known(http: httpx.AsyncClient) -> None:
    await _put(http, 9)
    assert (await http.get("/config")).json() == {"profiles": {"dev": 1, "test": 0, "prod": 0}}
    assert (await http.get("/config/prod")).json() == {"version": 0, "values": {}}
    assert (await http.get("/config/production")).status_code == 422


async def test_differences_between_any_two_versions(http: httpx.AsyncClient) -> None:
    await http.put("/config/dev", json={"values": {"channel.latency_ms": 9, "channel.seed": 1}})
    await http.put("/config/dev", json={"values": {"channel.latency_ms": 5, "log.level": "DEBUG"}})
    changes = {
        "channel.latency_ms": {"before": 9, "after": 5},
        "channel.seed": {"before": 1, "after": None},
        "log.level": {"before": None, "after": "DEBUG"},
    }
    assert (await http.get("/config/dev/diff?from=1&to=2")).json() == {"from": 1, "to": 2, "changes": changes}
    assert (await http.get("/config/dev/diff?from=1")).json()["changes"] == changes
    assert (await http.get("/config/dev/diff?from=0&to=1")).json()["changes"]["channel.seed"]["before"] is None
    assert (await http.get("/config/dev/diff?from=2&to=2")).json()["changes"] == {}
    assert (await http.get("/config/dev/diff?from=1&to=9")).status_code == 404


# ---- roll back, conditions, refusals --------------------------------------------------------------------------------


@both_backends
async def test_a_roll_back_is_a_new_version_with_the_old_values(http: httpx.AsyncClient) -> None:
    await _put(http, 9)
    await _put(http, 5)
    reply = await http.post("/config/dev/rollback", json={"version": 1, "author": "ann"})
    assert (reply.status_code, reply.json()) == (200, {"version": 3, "values": {"channel.latency_ms": 9}})
    assert (await http.get("/config/dev")).json() == reply.json()
    entry = (await http.get("/config/dev/versions/3")).json()
    assert (entry["restored_from"], entry["author"], entry["comment"]) == (1, "ann", "rolled back to version 1")
    assert (await http.post("/config/dev/rollback", json={"version": 9})).status_code == 404
    to_defaults = await http.post("/config/dev/rollback", json={"version": 0})
    assert to_defaults.json() == {"version": 4, "values": {}}


async def test_a_change_based_on_an_older_version_is_refused(http: httpx.AsyncClient) -> None:
    assert (await _put(http, 9, if_match='"0"')).headers["etag"] == '"1"'
    assert (await _put(http, 5, if_match='"1"')).status_code == 200
    late = await _put(http, 7, if_match='"1"')
    assert (late.status_code, late.json()["code"], late.json()["version"]) == (412, "version_conflict", 2)
    late = await http.post("/config/dev/rollback", json={"version": 1}, headers={"If-Match": '"1"'})
    assert late.status_code == 412
    assert (await http.get("/config/dev")).json() == {"version": 2, "values": {"channel.latency_ms": 5}}
    assert (await _put(http, 7, if_match="*")).status_code == 200
    assert (await _put(http, 7, if_match="soon")).status_code == 400


@both_backends
async def test_of_two_changes_at_once_one_wins(http: httpx.AsyncClient) -> None:
    replies = await asyncio.gather(*(_put(http, latency_ms, if_match='"0"') for latency_ms in (1, 2, 3)))
    assert sorted(reply.status_code for reply in replies) == [200, 412, 412]
    replies = await asyncio.gather(*(_put(http, latency_ms) for latency_ms in (1, 2, 3)))
    assert sorted(reply.json()["version"] for reply in replies) == [2, 3, 4]


async def test_bad_values_change_nothing_and_wake_nobody(http: httpx.AsyncClient) -> None:
    await _put(http, 9)
    watching = asyncio.create_task(http.get("/config/dev?after=1&wait_ms=200"))
    bad = {"channel.latency_ms": -1, "route.canary": "nonsense", "no.such": 1}
    reply = await http.put("/config/dev", json={"values": bad})
    assert reply.status_code == 422
    assert len(reply.json()["errors"]) == 3
    assert (await watching).json() == {"version": 1, "values": {"channel.latency_ms": 9}}


@pytest.mark.parametrize(("method", "path"), [("PUT", "/config/dev"), ("POST", "/config/dev/rollback")])
async def test_only_operators_change_settings(center: Any, method: str, path: str) -> None:
    reply = await center.http("configcenter").request(method, path, json={"values": {}, "version": 0})
    assert reply.status_code == 401


# ---- running services -----------------------------------------------------------------------------------------------


@asynccontextmanager
async def _following(center: Any, settings: LiveSettings) -> AsyncIterator[None]:
    """What a process does: put every new version in force, through the real client and the long poll."""
    client = RegistryClient(
        "http://configcenter-0", "order", "order-0", center.secrets.service, center.network, center.clock
    )
    settings.version, _ = await client.config("dev")  # as a process has it that started just now
    following = asyncio.create_task(follow_config(client, "dev", settings, center.log))
    yield
    following.cancel()
    await asyncio.gather(following, return_exceptions=True)


async def test_a_changed_limit_is_in_force_in_a_running_service_within_two_seconds(
    center: Any, http: httpx.AsyncClient
) -> None:
    order = await center.start("order")
    body = {"items": [{"goods_id": 1, "count": 1}], "pay_method": "card", "return_url": "http://x/" + "y" * 190}

    async def refused() -> bool:
        reply = await center.http("order").post("/orders", json=body, headers=center.as_user(7))
        return bool(reply.status_code == 413)

    async with _following(center, order.chassis.settings):
        assert not await refused()
        began_s = asyncio.get_running_loop().time()
        assert (await http.put("/config/dev", json={"values": {"http.body_bytes_max": 256}})).status_code == 200
        await center.eventually(refused)
        assert asyncio.get_running_loop().time() - began_s < 2
        await http.post("/config/dev/rollback", json={"version": 0})

        async def taken() -> bool:
            return not await refused()

        await center.eventually(taken)
        assert asyncio.get_running_loop().time() - began_s < 4


async def test_a_changed_timeout_ends_the_next_call_sooner_and_a_dead_registry_keeps_the_last(
    center: Any, http: httpx.AsyncClient
) -> None:
    settings = LiveSettings({"http.timeout_ms": 30_000})
    async with _following(center, settings):
        await http.put("/config/dev", json={"values": {"http.timeout_ms": 50}})
        await center.eventually(lambda: settings.integer("http.timeout_ms") == 50, 2.0)
        await center.stop("configcenter-0")
        await asyncio.sleep(0)
        assert settings.integer("http.timeout_ms") == 50
        await center.start("configcenter")
        restarted = center.http("configcenter")
        restarted.headers.update(center.as_operator())
        await restarted.put("/config/dev", json={"values": {"http.timeout_ms": 70}})
        await center.eventually(lambda: settings.integer("http.timeout_ms") == 70, 5.0)


async def test_a_changed_rate_limit_is_in_force_in_a_running_service_within_two_seconds(
    center: Any, http: httpx.AsyncClient
) -> None:
    order = await center.start("order")

    async def turned_away() -> bool:
        reply = await center.http("order").get("/orders", headers=center.as_user(7))
        return bool(reply.status_code == 429)

    async with _following(center, order.chassis.settings):
        assert not await turned_away()
        began_s = asyncio.get_running_loop().time()
        limits = {"limit.user_rate_per_s": 0.01, "limit.user_burst": 1}
        reply = await http.put("/config/dev", json={"values": limits})
        assert reply.status_code == 200, reply.text
        await center.eventually(turned_away)
        assert asyncio.get_running_loop().time() - began_s < 2
