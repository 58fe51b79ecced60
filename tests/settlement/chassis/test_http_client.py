"""Calls between services: balanced, retried only when that is harmless, and honest about what is not known."""

from __future__ import annotations

import time
from typing import Any

import pytest
import sqlalchemy as sa

from settlement.chassis.http_client import NotSent, ServiceClient, Unknown
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
    began_s = time.monotonic()
    with pytest.raises(Unknown):
        await _post(cluster, timeout_ms=40, idempotent=True)
    assert time.monotonic() - began_s < 2


async def test_retries_are_bounded_by_the_budget(cluster: Any, probe: Any) -> None:
    await cluster.start("probe")
    cluster.network.refuse("probe", times=10_000)
    for _ in range(100):
        with pytest.raises(NotSent):
            await _post(cluster, idempotent=True)
    # Every attempt used up one refusal: 100 calls, and at most 10 + the reserve of 10 retries.
    attempts = 10_000 - cluster.network._losses[0].times
    assert 100 < attempts <= 120


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


async def test_a_fault_on_another_link_or_path_changes_nothing(cluster: Any, probe: Any) -> None:
    await cluster.start("probe")
    _client(
        cluster,
        {"kind": "error", "to": "order"},
        {"kind": "error", "to": "probe", "path": "/other"},
        {"kind": "error", "to": "probe", "share": 0.0},
    )
    assert (await _post(cluster)).status == 201
