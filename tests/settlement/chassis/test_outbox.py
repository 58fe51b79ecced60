"""Events: sent if and only if their transaction committed, delivered at least once, consumed once."""

from __future__ import annotations

from typing import Any

import pytest
import sqlalchemy as sa

from settlement.topology import SUBSCRIPTIONS

NOTES = sa.text("SELECT text FROM notes ORDER BY id")
WAITING = sa.text("SELECT subject FROM outbox_events ORDER BY id")


async def _notes(cluster: Any, replica: str = "probe-0") -> list[str]:
    return [row.text for row in await cluster.replica(replica).chassis.database.read(NOTES)]


async def _noted(cluster: Any, subjects: list[str]) -> None:
    async def so() -> bool:
        return await _notes(cluster) == subjects

    await cluster.eventually(so)


async def _left(cluster: Any, subjects: list[str]) -> None:
    async def so() -> bool:
        return await _waiting(cluster) == subjects

    await cluster.eventually(so)


async def _waiting(cluster: Any) -> list[str]:
    return [row.subject for row in await cluster.replica("probe-0").chassis.database.read(WAITING)]


async def _happen(cluster: Any, *subjects: str, replica: str = "probe-0") -> None:
    chassis = cluster.replica(replica).chassis
    async with chassis.database.transaction() as tx:
        for subject in subjects:
            await chassis.outbox.add(tx, type="probe.happened", subject=subject, data={"n": 1})


async def test_an_event_is_delivered_after_its_transaction(cluster: Any, probe: Any) -> None:
    await cluster.start("probe")
    await _happen(cluster, "a", "b")
    await _noted(cluster, ["a", "b"])
    await _left(cluster, [])


async def test_an_event_of_a_transaction_that_rolled_back_never_happened(cluster: Any, probe: Any) -> None:
    await cluster.start("probe")
    chassis = cluster.replica("probe-0").chassis
    with pytest.raises(RuntimeError):
        async with chassis.database.transaction() as tx:
            await chassis.outbox.add(tx, type="probe.happened", subject="never", data={})
            raise RuntimeError
    await _happen(cluster, "after")
    await _noted(cluster, ["after"])


async def test_an_event_nobody_subscribed_to_is_not_kept(cluster: Any, probe: Any) -> None:
    await cluster.start("probe")
    chassis = cluster.replica("probe-0").chassis
    async with chassis.database.transaction() as tx:
        await chassis.outbox.add(tx, type="nobody.cares", subject="x", data={})
    assert await _waiting(cluster) == []


async def test_a_delivery_whose_answer_is_lost_is_repeated_and_consumed_once(cluster: Any, probe: Any) -> None:
    await cluster.start("probe", settings={"http.retry_budget_share": 0.0})
    cluster.network.lose_reply("probe", "/events")
    await _happen(cluster, "a")
    await _noted(cluster, ["a"])
    assert await _waiting(cluster) == ["a"]
    cluster.clock.advance_ms(1_000)
    await _left(cluster, [])
    deliveries = [path for _, _, path in cluster.network.carried if path == "/events"]
    assert (len(deliveries), await _notes(cluster)) == (2, ["a"])


async def test_a_poisoned_event_changes_nothing_and_holds_up_no_other(cluster: Any, probe: Any) -> None:
    probe.poison.add("bad")
    await cluster.start("probe")
    await _happen(cluster, "bad", "good")
    await _noted(cluster, ["good"])
    await _left(cluster, ["bad"])
    probe.poison.clear()
    cluster.clock.advance_ms(1_000)
    await _noted(cluster, ["good", "bad"])


async def test_what_a_dead_replica_left_is_delivered_by_another(cluster: Any, probe: Any) -> None:
    await cluster.start("probe", "probe-0")
    await cluster.start("probe", "probe-1", settings={"outbox.poll_interval_ms": 60_000})
    await _happen(cluster, "orphan", replica="probe-1")
    await cluster.kill("probe-1")
    await _happen(cluster, "own")
    await _noted(cluster, ["own"])
    cluster.clock.advance_ms(6_000)
    await _noted(cluster, ["own", "orphan"])


async def test_events_for_somebody_who_is_away_hold_up_nobody_else(
    cluster: Any, probe: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(SUBSCRIPTIONS, "probe.missed", ("nobody",))
    await cluster.start("probe", settings={"outbox.batch_size_max": 5})
    chassis = cluster.replica("probe-0").chassis
    async with chassis.database.transaction() as tx:
        for number in range(40):
            await chassis.outbox.add(tx, type="probe.missed", subject=f"missed {number}", data={})
        await chassis.outbox.add(tx, type="probe.happened", subject="heard", data={"n": 1})
    await _noted(cluster, ["heard"])
    await _left(cluster, [f"missed {number}" for number in range(40)])


async def test_a_batch_is_consumed_in_one_transaction(
    cluster: Any, probe: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    replica = await cluster.start("probe", settings={"outbox.poll_interval_ms": 60_000})
    await _happen(cluster, *(f"{number:02d}" for number in range(30)))
    begun, transaction = [], replica.chassis.database.transaction

    def counting(**options: Any) -> Any:
        begun.append(1)
        return transaction(**options)

    monkeypatch.setattr(replica.chassis.database, "transaction", counting)
    assert await replica.chassis.outbox.relay() == 30
    assert await _notes(cluster) == [f"{number:02d}" for number in range(30)]
    assert len(begun) == 2  # one consumes, one takes them out of the outbox


async def test_an_event_that_comes_twice_in_a_batch_is_consumed_once(cluster: Any, probe: Any) -> None:
    await cluster.start("probe")
    event = {"event_id": "e1", "type": "probe.happened", "subject": "a", "data": {}, "occurred_at_ms": 1}
    other = {**event, "event_id": "e2", "subject": "b"}
    reply = await cluster.call("probe", "POST", "/events", json={"events": [event, other, event]})
    assert reply.json["accepted"] == ["e1", "e2", "e1"]
    assert await _notes(cluster) == ["a", "b"]
