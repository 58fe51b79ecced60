"""The registry with its leases, and the config that is watched."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.mariadb_server import both_backends

ADDRESS = {"address": "http://127.0.0.1:1234", "version": "1", "lease_ms": 3_000, "metadata": {}}


@pytest.fixture
async def center(cluster: Any) -> Any:
    await cluster.start("configcenter")
    return cluster


async def _registered(center: Any) -> dict[str, list[str]]:
    services = (await center.http("configcenter").get("/registry")).json()["services"]
    return {service: [entry["replica"] for entry in entries] for service, entries in services.items()}


async def _register(center: Any, replica: str = "order-0", **changes: Any) -> int:
    reply = await center.call("configcenter", "PUT", f"/registry/order/{replica}", json={**ADDRESS, **changes})
    return int(reply.status)


async def test_a_replica_registers_and_withdraws(center: Any) -> None:
    assert await _register(center) == 201
    shown = (await center.http("configcenter").get("/registry")).json()
    entry = {"replica": "order-0", "address": "http://127.0.0.1:1234", "version": "1", "weight": 100, "status": "UP"}
    assert shown["services"] == {"order": [entry]}
    assert (await center.call("configcenter", "DELETE", "/registry/order/order-0")).status == 204
    assert await _registered(center) == {}


async def test_a_lease_that_is_not_renewed_runs_out(center: Any) -> None:
    await _register(center, "order-0")
    await _register(center, "order-1")
    center.clock.advance_ms(2_000)
    assert (await center.call("configcenter", "PUT", "/registry/order/order-0/lease", json={})).status == 200
    center.clock.advance_ms(1_500)

    async def only_the_renewed() -> bool:
        return await _registered(center) == {"order": ["order-0"]}

    await center.eventually(only_the_renewed)
    renewed_late = await center.call("configcenter", "PUT", "/registry/order/order-1/lease", json={})
    assert renewed_late.status == 404


async def test_a_replica_that_comes_back_elsewhere_replaces_itself(center: Any) -> None:
    await _register(center)
    before = (await center.http("configcenter").get("/registry")).json()
    assert await _register(center, address="http://127.0.0.1:99") == 200
    after = (await center.http("configcenter").get("/registry")).json()
    assert [entry["address"] for entry in after["services"]["order"]] == ["http://127.0.0.1:99"]
    assert after["version"] > before["version"]


@both_backends
async def test_registrations_survive_a_restart_of_the_registry(center: Any) -> None:
    await _register(center)
    await center.kill("configcenter-0")
    await center.start("configcenter")
    assert await _registered(center) == {"order": ["order-0"]}


async def test_only_signed_calls_register(center: Any) -> None:
    reply = await center.http("configcenter").put("/registry/order/order-0", json=ADDRESS)
    assert (reply.status_code, reply.json()["code"]) == (401, "bad_signature")
    assert await _registered(center) == {}


@pytest.mark.parametrize(
    "changes",
    [
        {"address": "ftp://x"},
        {"address": "http://x/path"},
        {"address": "http://a:b:c"},
        {"address": "http://[:]:1"},
        {"address": "http://x:99999"},
        {"address": "http://x:0"},
        {"address": "http://-"},
        {"lease_ms": 0},
        {"lease_ms": 2**63},
        {"x": 1},
    ],
)
async def test_a_bad_registration_is_refused(center: Any, changes: dict[str, Any]) -> None:
    assert await _register(center, **changes) in (400, 422)


async def _put(center: Any, values: dict[str, Any]) -> Any:
    return await center.http("configcenter").put("/config/dev", json={"values": values}, headers=center.as_operator())


@both_backends
async def test_config_versions_count_up_and_are_kept(center: Any) -> None:
    http = center.http("configcenter")
    assert (await http.get("/config/dev")).json() == {"version": 0, "values": {}}
    await _put(center, {"gateway.lease_ms": 5_000})
    await _put(center, {"gateway.lease_ms": 6_000})
    assert (await http.get("/config/dev")).json() == {"version": 2, "values": {"gateway.lease_ms": 6_000}}
    history = (await http.get("/config/dev/history")).json()["versions"]
    assert [(entry["version"], entry["values"]) for entry in history] == [
        (2, {"gateway.lease_ms": 6_000}),
        (1, {"gateway.lease_ms": 5_000}),
    ]
    assert (await http.get("/config/prod")).json()["version"] == 0


async def test_bad_settings_are_refused_with_all_problems(center: Any) -> None:
    reply = await _put(center, {"no.such": 1, "gateway.lease_ms": "soon", "channel.decline_share": 2.0})
    assert reply.status_code == 422
    assert [problem.split(":")[0] for problem in reply.json()["errors"]] == [
        "channel.decline_share",
        "gateway.lease_ms",
        "no.such",
    ]
    assert (await center.http("configcenter").get("/config/dev")).json()["version"] == 0


async def test_config_is_written_by_operators_only(center: Any) -> None:
    reply = await center.http("configcenter").put("/config/dev", json={"values": {}})
    assert reply.status_code == 401


async def test_a_watcher_hears_of_a_change_at_once(center: Any) -> None:
    http = center.http("configcenter")
    watching = asyncio.create_task(http.get("/config/dev?after=0&wait_ms=10000"))
    await asyncio.sleep(0)
    began_s = asyncio.get_running_loop().time()
    await _put(center, {"gateway.lease_ms": 5_000})
    reply = await watching
    assert reply.json() == {"version": 1, "values": {"gateway.lease_ms": 5_000}}
    assert asyncio.get_running_loop().time() - began_s < 5


async def test_a_watcher_of_nothing_new_is_answered_in_the_end(center: Any) -> None:
    reply = await center.http("configcenter").get("/config/dev?after=0&wait_ms=30")
    assert reply.json() == {"version": 0, "values": {}}


async def test_the_initial_settings_become_version_one_and_stay_history(cluster: Any) -> None:
    await cluster.start("configcenter", initial_settings={"channel.latency_ms": 9})
    http = cluster.http("configcenter")
    assert (await http.get("/config/dev")).json() == {"version": 1, "values": {"channel.latency_ms": 9}}
    await _put(cluster, {"channel.latency_ms": 11})
    await cluster.kill("configcenter-0")
    await cluster.start("configcenter", initial_settings={"channel.latency_ms": 9})
    assert (await cluster.http("configcenter").get("/config/dev")).json()["values"] == {"channel.latency_ms": 11}
