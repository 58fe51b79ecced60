"""Calls between services: balanced, retried only when that is harmless, and honest about what is not known."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import pytest
import sqlalchemy as sa

from settlement.chassis.http_client import BreakerOpen, NotSent, ServiceClient, Unknown
from settlement.chassis.trace import Trace, enter_trace, leave_trace

NOTE = {"text": "a"}


async def _post(cluster: Any, **options: Any) -> Any:
    return await cluster.call("probe", "POST", "/notes", json=NOTE, **options)


async def test_a_call_is_answered_by_a_replica_that_says_who_it_is(cluster: Any, probe: Any) -> None:
    await cluster.start("probe")
    reply = await _post(cluster)
    assert (reply.status, reply.json, reply.replica, reply.ok) == (201, {"executed": 1}, "probe-0", True)


async def test_trace_and_gid_travel_with_the_call(cluster: Any, probe: Any) -> None:
    await cluster.start("probe")
    token = enter_trace(Trace("ab" * 16, "cd" * 8, "gid-1", sampled=True))
    await _post(cluster)
    leave_trace(token)
    assert probe.headers["traceparent"] == f"00-{'ab' * 16}-{'cd' * 8}-01"
    assert probe.headers["paylab-gid"] == "gid-1"


async def test_replicas_share_the_calls(cluster: Any, probe: Any) -> None:
    for number in range(3):
        await cluster.start("probe", f"probe-{number}")
    answered = [(await _post(cluster)).replica for _ in range(9)]
    assert sorted(answered) == sorted(["probe-0", "probe-1", "probe-2"] * 3)


async def test_nobody_to_call_is_not_sent(cluster: Any) -> None:
    with pytest.raises(NotSent):
        await _post(cluster)


async def test_a_call_that_was_not_sent_goes_to_another_replica_whatever_it_does(cluster: Any, probe: Any) -> None:
    await cluster.start("probe", "probe-0")
    await cluster.start("probe", "probe-1")
    cluster.network.detach("http://probe-0")
    replies = [await _post(cluster, idempotent=False) for _ in range(5)]
    assert [reply.replica for reply in replies] == ["probe-1"] * 5
    assert probe.executed == 5


async def test_the_dead_that_the_registry_keeps_cost_a_caller_one_attempt_each(
    cluster: Any, probe: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three of four died together, and self-preservation leaves them on the list for a minute."""
    names = [f"probe-{number}" for number in range(4)]
    for name in names:
        await cluster.start("probe", name)
    asked, send = Counter[str](), cluster.network.send

    async def counting(address: str, *arguments: Any, **options: Any) -> Any:
        asked[address] += 1
        return await send(address, *arguments, **options)

    monkeypatch.setattr(cluster.network, "send", counting)
    apps = {name: cluster.replica(name).app for name in names[:3]}
    for name in apps:
        cluster.network.detach(f"http://{name}")
    replies = [(await _post(cluster, idempotent=False)).replica for _ in range(100)]
    assert replies == ["probe-3"] * 100, "no caller was failed"
    assert asked == {"http://probe-3": 100} | dict.fromkeys((f"http://{name}" for name in apps), 1)

    for name, app in apps.items():
        cluster.network.attach(f"http://{name}", app)
    cluster.clock.advance_ms(1_000)
    assert {(await _post(cluster)).replica for _ in range(8)} == set(names), "who is back is called again"


async def test_an_address_that_belongs_to_somebody_else_by_now_was_not_called(cluster: Any, probe: Any) -> None:
    await cluster.start("probe", "probe-0")
    await cluster.start("probe", "probe-1")
    cluster.network.attach("http://probe-0", cluster.replica("probe-1").app)
    replies = [await _post(cluster, idempotent=False) for _ in range(4)]
    assert [reply.replica for reply in replies] == ["probe-1"] * 4
    assert probe.executed == 4


async def test_a_lost_reply_is_unknown_and_not_tried_again(cluster: Any, probe: Any) -> None:
    await cluster.start("probe")
    cluster.network.lose_reply("probe", "/notes")
    with pytest.raises(Unknown):
        await _post(cluster, timeout_ms=50)
    assert probe.executed == 1


async def test_a_lost_reply_of_an_idempotent_call_is_tried_again(cluster: Any, probe: Any) -> None:
    await cluster.start("probe")
    cluster.network.lose_reply("probe", "/notes")
    reply = await _post(cluster, idempotent=True)
    assert (reply.status, probe.executed) == (201, 2)


async def test_a_silent_service_is_given_up_at_the_deadline(cluster: Any, probe: Any) -> None:
    await cluster.start("probe")
    cluster.replica("probe-0").chassis.faults.replace(
        _faults({"kind": "latency", "route": "POST /notes", "delay_ms": 60_000})
    )
    began_s = asyncio.get_running_loop().time()
    with pytest.raises(Unknown):
        await _post(cluster, timeout_ms=40, idempotent=True)
    assert asyncio.get_running_loop().time() - began_s < 2


async def test_retries_are_bounded_by_the_budget(cluster: Any, probe: Any) -> None:
    await cluster.start("probe")
    _set(cluster, {"http.breaker_failure_share": 0})
    cluster.network.refuse("probe", times=10_000)
    for _ in range(100):
        with pytest.raises(NotSent):
            await _post(cluster, idempotent=True)
    # Every attempt used up one refusal: 100 calls, and at most 10 + the reserve of 10 retries.
    attempts = 10_000 - cluster.network._losses[0].times
    assert 100 < attempts <= 120


def _set(cluster: Any, values: dict[str, Any]) -> None:
    """New settings for the caller, as the config center would send them."""
    settings = cluster._caller._settings
    settings.replace({"http.timeout_ms": 1_000, **values}, settings.version + 1)


def _carried(cluster: Any) -> int:
    return len(cluster.network.carried)


async def test_a_service_that_keeps_failing_is_not_called_until_its_breaker_closes(cluster: Any, probe: Any) -> None:
    await cluster.start("probe")
    _set(cluster, {"http.breaker_calls_min": 5, "http.breaker_open_ms": 400})
    cluster.network.refuse("probe", times=1_000)
    for _ in range(5):
        with pytest.raises(NotSent):
            await _post(cluster)
    cluster.network.heal()
    before = _carried(cluster)
    for _ in range(20):
        with pytest.raises(BreakerOpen):
            await _post(cluster, idempotent=True)
    assert _carried(cluster) == before
    assert cluster._caller.breakers.is_open("probe")
    cluster.clock.advance_ms(400)
    assert [(await _post(cluster)).status for _ in range(4)] == [201] * 4
    assert not cluster._caller.breakers.is_open("probe")


async def test_what_must_arrive_passes_an_open_breaker(cluster: Any, probe: Any) -> None:
    await cluster.start("probe")
    _set(cluster, {"http.breaker_calls_min": 1, "http.breaker_open_ms": 2_000})
    cluster.network.refuse("probe")
    with pytest.raises(NotSent):
        await _post(cluster)
    with pytest.raises(BreakerOpen):
        await _post(cluster)
    assert (await _post(cluster, must_arrive=True)).status == 201


async def test_what_is_repeated_until_it_was_heard_opens_no_breaker(cluster: Any, probe: Any) -> None:
    await cluster.start("probe")
    _set(cluster, {"http.breaker_calls_min": 1, "http.breaker_open_ms": 2_000})
    cluster.replica("probe-0").chassis.faults.replace(_faults({"kind": "error", "route": "POST /notes", "status": 503}))
    assert [(await _post(cluster, must_arrive=True)).status for _ in range(10)] == [503] * 10
    cluster.replica("probe-0").chassis.faults.replace([])
    assert (await _post(cluster)).status == 201


async def test_a_breaker_follows_its_settings_at_once(cluster: Any, probe: Any) -> None:
    await cluster.start("probe")
    _set(cluster, {"http.breaker_calls_min": 1, "http.breaker_open_ms": 2_000})
    cluster.network.refuse("probe")
    with pytest.raises(NotSent):
        await _post(cluster)
    with pytest.raises(BreakerOpen):
        await _post(cluster)
    _set(cluster, {"http.breaker_failure_share": 0})
    assert (await _post(cluster)).status == 201


async def test_nobody_registered_opens_no_breaker(cluster: Any, probe: Any) -> None:
    _set(cluster, {"http.breaker_calls_min": 1})
    with pytest.raises(NotSent):
        await _post(cluster)
    await cluster.start("probe")
    assert (await _post(cluster)).status == 201


def _busy(retry_after: str, times: int = 1) -> Any:
    """An application that turns its first calls away, as a replica without time does, and then answers."""
    left = times

    async def app(scope: Any, receive: Any, send: Any) -> None:
        nonlocal left
        status, body = (503, b'{"code":"overloaded"}') if left > 0 else (201, b"{}")
        left -= 1
        headers = [(b"retry-after", retry_after.encode()), (b"paylab-replica", b"busy")]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    return app


async def test_a_call_that_was_turned_away_goes_to_another_replica_whatever_it_does(cluster: Any, probe: Any) -> None:
    await cluster.start("probe", "probe-0")
    await cluster.start("probe", "probe-1")
    cluster.network.attach("http://probe-0", _busy("3", times=1_000))
    replies = [(await _post(cluster, idempotent=False)).replica for _ in range(6)]
    assert replies == ["probe-1"] * 6
    assert cluster.network.carried.count(("http://probe-0", "POST", "/notes")) == 1, "it asked to be left alone"
    cluster.clock.advance_ms(3_000)
    await _post(cluster)
    await _post(cluster)
    assert cluster.network.carried.count(("http://probe-0", "POST", "/notes")) == 2


async def test_the_only_replica_is_asked_again_when_it_said_and_not_earlier(cluster: Any, probe: Any) -> None:
    await cluster.start("probe")
    cluster.network.attach("http://probe-0", _busy("1"))
    now_s = asyncio.get_running_loop().time
    began_s = now_s()
    reply = await _post(cluster, timeout_ms=3_000)
    assert reply.status == 201
    assert 1 <= now_s() - began_s < 1.5


async def test_who_cannot_wait_that_long_is_told_at_once(cluster: Any, probe: Any) -> None:
    await cluster.start("probe")
    cluster.network.attach("http://probe-0", _busy("60"))
    reply = await _post(cluster, timeout_ms=500, idempotent=True)
    assert (reply.status, reply.turned_away, reply.retry_after_ms) == (503, True, 60_000)
    assert _carried(cluster) == 1


async def test_a_replica_that_keeps_failing_is_left_alone(cluster: Any, probe: Any) -> None:
    await cluster.start("probe", "probe-0")
    await cluster.start("probe", "probe-1")
    cluster.replica("probe-0").chassis.faults.replace(_faults({"kind": "error", "route": "POST /notes", "status": 500}))
    statuses = [(await _post(cluster)).status for _ in range(20)]
    assert statuses.count(500) == 3
    cluster.clock.advance_ms(1_500)
    assert 500 in [(await _post(cluster)).status for _ in range(4)], "it gets another chance"


def _faults(*faults: dict[str, Any]) -> Any:
    from settlement.chassis.faults import FaultList

    numbered = [{"id": f"f{number}", **fault} for number, fault in enumerate(faults)]
    return FaultList.model_validate({"faults": numbered}).faults


def _client(cluster: Any, *faults: dict[str, Any]) -> ServiceClient:
    client: ServiceClient = cluster._caller
    client._faults.replace(_faults(*faults))
    return client


async def test_an_error_on_the_link_executes_nothing(cluster: Any, probe: Any) -> None:
    await cluster.start("probe")
    _client(cluster, {"kind": "error", "to": "probe", "status": 503})
    assert ((await _post(cluster)).status, probe.executed) == (503, 0)


async def test_a_reply_dropped_on_the_link_was_executed_once(cluster: Any, probe: Any) -> None:
    await cluster.start("probe")
    _client(cluster, {"kind": "drop_reply", "to": "probe", "path": "/notes"})
    with pytest.raises(Unknown):
        await _post(cluster, timeout_ms=60, idempotent=True)
    assert probe.executed == 1


async def test_a_call_on_a_slow_link_arrives_after_the_caller_gave_up(cluster: Any, probe: Any) -> None:
    await cluster.start("probe")
    _client(cluster, {"kind": "latency", "to": "probe", "delay_ms": 60})
    with pytest.raises(Unknown):
        await _post(cluster, timeout_ms=20)
    assert probe.executed == 0
    database = cluster.replica("probe-0").chassis.database
    await cluster.eventually(lambda: database.read(sa.text("SELECT 1 FROM notes")))


async def test_the_luck_of_a_slow_link_is_the_same_beside_one_that_fails(cluster: Any, probe: Any) -> None:
    async def slowed(failing: float) -> list[int]:
        slow = {"kind": "latency", "to": "probe", "delay_ms": 0, "jitter_ms": 0.01, "share": 0.5, "seed": 3}
        client = _client(cluster, slow, {"kind": "error", "to": "probe", "status": 418, "share": failing})
        hits = []
        for _ in range(40):
            await client.call("probe", "GET", "/notes/1")
            hits.append(client._faults.report()[0]["hits"])
        client._faults.replace([])
        return hits

    await cluster.start("probe")
    assert await slowed(failing=0.0) == await slowed(failing=1.0)


async def test_a_fault_on_another_link_or_path_changes_nothing(cluster: Any, probe: Any) -> None:
    await cluster.start("probe")
    _client(
        cluster,
        {"kind": "error", "to": "order"},
        {"kind": "error", "to": "probe", "path": "/other"},
        {"kind": "error", "to": "probe", "share": 0.0},
    )
    assert (await _post(cluster)).status == 201
