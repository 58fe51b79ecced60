"""Faults are put in force, counted and removed at run time, by those who hold the token."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from dataclasses import replace
from typing import Any

import pytest

from settlement.chassis.faults import ActiveFault, CrashAt, CrashPoints, Error, FaultTable, Latency
from settlement.chassis.http_client import Unknown

POINT = "coordinator.decided.persist.after"
NOTE = {"text": "a"}


async def _put(cluster: Any, *faults: dict[str, Any]) -> Any:
    body = {"faults": list(faults)}
    return await cluster.http("probe").put("/faults", json=body, headers=cluster.as_fault_operator())


async def _report(cluster: Any) -> list[dict[str, Any]]:
    reply = await cluster.http("probe").get("/faults", headers=cluster.as_fault_operator())
    found: list[dict[str, Any]] = reply.json()["faults"]
    return found


async def test_an_error_on_a_route_is_counted_and_goes_away(cluster: Any, probe: Any) -> None:
    await cluster.start("probe")
    await _put(cluster, {"id": "f1", "kind": "error", "route": "POST /notes", "status": 418})
    assert [(await cluster.call("probe", "POST", "/notes", json=NOTE)).status for _ in range(2)] == [418, 418]
    assert (await cluster.http("probe").get("/notes/1")).status_code == 200
    assert await _report(cluster) == [
        {"id": "f1", "kind": "error", "route": "POST /notes", "share": 1.0, "seed": 0, "status": 418, "hits": 2}
    ]
    await cluster.http("probe").delete("/faults", headers=cluster.as_fault_operator())
    assert (await cluster.call("probe", "POST", "/notes", json=NOTE)).status == 201
    assert await _report(cluster) == []


async def test_a_route_with_parameters_is_found(cluster: Any, probe: Any) -> None:
    await cluster.start("probe")
    await _put(cluster, {"id": "f1", "kind": "error", "route": "GET /notes/{number}"})
    assert (await cluster.http("probe").get("/notes/1")).status_code == 503
    assert (await cluster.http("probe").get("/notes/1/x")).status_code == 404


async def test_faults_cannot_lock_out_their_own_removal(cluster: Any, probe: Any) -> None:
    await cluster.start("probe")
    await _put(cluster, {"id": "f1", "kind": "error", "route": "PUT /faults"})
    assert (await _put(cluster)).status_code == 200


async def test_a_reply_dropped_by_the_server_was_executed(cluster: Any, probe: Any) -> None:
    await cluster.start("probe")
    await _put(cluster, {"id": "f1", "kind": "drop_reply", "route": "POST /notes"})
    with pytest.raises(Unknown):
        await cluster.call("probe", "POST", "/notes", json=NOTE, timeout_ms=100)
    assert probe.executed == 1


async def test_latency_delays(cluster: Any, probe: Any) -> None:
    await cluster.start("probe")
    await _put(cluster, {"id": "f1", "kind": "latency", "route": "GET /notes/{number}", "delay_ms": 40, "jitter_ms": 1})
    began_s = asyncio.get_running_loop().time()
    assert (await cluster.http("probe").get("/notes/1")).status_code == 200
    assert asyncio.get_running_loop().time() - began_s >= 0.04


async def test_a_crash_point_kills_at_the_nth_hit_after_it_was_armed(cluster: Any, probe: Any) -> None:
    await cluster.start("probe")
    await cluster.call("probe", "POST", "/notes", json=NOTE)
    await _put(cluster, {"id": "f1", "kind": "crash_at", "point": POINT, "nth": 2})
    assert (await cluster.call("probe", "POST", "/notes", json=NOTE)).status == 201
    assert (await _report(cluster))[0]["hits"] == 1
    with pytest.raises(Unknown):
        await cluster.call("probe", "POST", "/notes", json=NOTE)


@pytest.mark.parametrize(
    "fault",
    [
        {"id": "f", "kind": "explode"},
        {"id": "f", "kind": "error"},
        {"id": "f", "kind": "error", "to": "a", "route": "GET /"},
        {"id": "f", "kind": "error", "to": "a", "share": 1.5},
        {"id": "f", "kind": "error", "to": "a", "status": 200},
        {"id": "f", "kind": "error", "to": "a", "seed": -1},
        {"id": "f", "kind": "error", "to": "a", "seed": 0.5},
        {"id": "f", "kind": "error", "to": "a", "replica": ""},
        {"id": "f", "kind": "error", "route": "no method"},
        {"id": "f", "kind": "latency", "to": "a", "delay_ms": -1},
        {"id": "f", "kind": "latency", "to": "a"},
        {"id": "f", "kind": "drop_reply", "to": "a", "typo": 1},
        {"id": "f", "kind": "crash_at", "point": "no.such.point.after"},
        {"id": "f", "kind": "crash_at", "point": POINT, "nth": 0},
    ],
)
async def test_a_bad_fault_is_refused_and_the_old_ones_stay(cluster: Any, probe: Any, fault: dict[str, Any]) -> None:
    await cluster.start("probe")
    await _put(cluster, {"id": "old", "kind": "error", "to": "order"})
    assert (await _put(cluster, fault)).status_code == 422
    assert [found["id"] for found in await _report(cluster)] == ["old"]


async def test_two_faults_cannot_have_one_id(cluster: Any, probe: Any) -> None:
    await cluster.start("probe")
    fault = {"id": "f", "kind": "error", "to": "order"}
    assert (await _put(cluster, fault, fault)).status_code == 422


async def test_without_the_token_nothing_is_done(cluster: Any, probe: Any) -> None:
    await cluster.start("probe")
    for headers in ({}, cluster.as_operator(), {"Paylab-Fault-Token": "guess"}):
        assert (await cluster.http("probe").put("/faults", json={"faults": []}, headers=headers)).status_code == 401


async def test_without_a_configured_token_the_endpoints_do_not_exist(
    cluster: Any, probe: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(type(cluster), "plan_secrets", replace(cluster.secrets, fault=None))
    await cluster.start("probe")
    for method in ("GET", "PUT", "DELETE"):
        reply = await cluster.http("probe").request(method, "/faults", headers=cluster.as_fault_operator())
        assert reply.status_code == 404


def _struck(**luck: Any) -> list[bool]:
    active = ActiveFault(Error(id="f1", kind="error", to="order", share=0.3, **luck))
    return [active.strikes_call("order", "/x") for _ in range(1_000)]


def test_a_share_of_the_calls_is_the_same_share_every_time() -> None:
    assert _struck(seed=7, replica="gateway-0") == _struck(seed=7, replica="gateway-0")
    assert 250 < sum(_struck(seed=7, replica="gateway-0")) < 350


def test_every_seed_and_every_replica_has_luck_of_its_own() -> None:
    lucks = [_struck(), *(_struck(seed=seed, replica=f"gateway-{n}") for seed in (1, 2, 3) for n in (0, 1))]
    assert len({tuple(luck) for luck in lucks}) == 7
    assert len({sum(luck) for luck in lucks}) > 1
    assert all(240 < sum(luck) < 360 for luck in lucks)


@pytest.fixture
def died() -> list[int]:
    """Grows when a crash point of `table` is reached for the nth time."""
    return []


@pytest.fixture
def points(died: list[int]) -> CrashPoints:
    return CrashPoints(lambda: died.append(1))


@pytest.fixture
def table(points: CrashPoints) -> FaultTable:
    return FaultTable(points)


SECOND_HIT = CrashAt(id="f", kind="crash_at", point=POINT, nth=2)
HALF = Error(id="half", kind="error", to="order", share=0.5)
OTHER = Error(id="other", kind="error", route="GET /x")


async def test_another_fault_that_comes_or_goes_does_not_set_a_crash_point_back(
    table: FaultTable, points: CrashPoints, died: list[int]
) -> None:
    table.replace([SECOND_HIT])
    await points.passed(POINT)
    table.replace([OTHER, SECOND_HIT])
    assert [row["hits"] for row in table.report() if row["id"] == "f"] == [1]
    table.replace([SECOND_HIT])
    await points.passed("coordinator.decided.persist.before")
    assert died == []
    await points.passed(POINT)
    assert died == [1]


@pytest.mark.parametrize("change", [{"nth": 3}, {"id": "g"}])
async def test_a_crash_point_that_is_changed_or_taken_back_counts_from_zero(
    table: FaultTable, points: CrashPoints, died: list[int], change: dict[str, Any]
) -> None:
    table.replace([SECOND_HIT])
    await points.passed(POINT)
    table.replace([SECOND_HIT.model_copy(update=change)])
    assert table.report()[0]["hits"] == 0
    table.replace([])
    table.replace([SECOND_HIT])
    await points.passed(POINT)
    assert died == []


async def test_two_crashes_may_wait_at_the_same_point(table: FaultTable, points: CrashPoints, died: list[int]) -> None:
    table.replace([SECOND_HIT, CrashAt(id="late", kind="crash_at", point=POINT, nth=3)])
    for deaths in (0, 1, 2):
        await points.passed(POINT)
        assert len(died) == deaths


def test_another_fault_that_comes_or_goes_does_not_change_the_luck_of_a_fault(table: FaultTable) -> None:
    def fates(calls: int) -> list[bool]:
        return [bool(table.of_call("order", "/x")) for _ in range(calls)]

    table.replace([HALF])
    undisturbed = fates(40)
    table.replace([])
    table.replace([HALF])
    disturbed = fates(20)
    table.replace([HALF, OTHER])
    assert disturbed + fates(20) == undisturbed
    assert [row["hits"] for row in table.report() if row["id"] == "half"] == [sum(undisturbed)]


def test_the_delay_is_uniform_around_its_middle_and_never_negative() -> None:
    def delays(delay_ms: float, jitter_ms: float) -> list[float]:
        active = ActiveFault(Latency(id="f1", kind="latency", to="order", delay_ms=delay_ms, jitter_ms=jitter_ms))
        return [1_000 * active.delay_s() for _ in range(1_000)]

    wide = delays(200, 100)
    assert 100 <= min(wide) < 105
    assert 295 < max(wide) <= 300
    assert sum(wide) / len(wide) == pytest.approx(200, abs=5)
    assert set(delays(200, 0)) == {200}
    assert min(delays(50, 100)) == 0


def test_a_crash_is_a_sigkill_with_no_cleanup() -> None:
    code = (
        "import asyncio, atexit; from settlement.chassis.faults import CrashAt, CrashPoints\n"
        "atexit.register(print, 'cleaned up'); points = CrashPoints()\n"
        f"points.arm([CrashAt(id='f', kind='crash_at', point='{POINT}')])\n"
        f"asyncio.run(points.passed('{POINT}')); print('survived')"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=30, check=False)
    assert (ended.returncode, ended.stdout) == (-signal.SIGKILL, b"")
