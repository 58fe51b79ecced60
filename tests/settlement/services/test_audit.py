"""The audit trail: everything once, and whatever is done to it behind the service's back is found and named."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from sqlalchemy import text

from settlement.services.audit.chain import Link, Record, canonical, hash_of
from settlement.topology import SUBSCRIPTIONS

from .backoffice import ask, decided, deliver, event, order_event

COUNT = 8


async def filled(cluster: Any, count: int = COUNT) -> list[dict[str, Any]]:
    """A trail of so many payments, p1 to p8 at positions 1 to 8."""
    await cluster.start("audit")
    events = [decided("payment.succeeded", f"p{number}", number) for number in range(1, count + 1)]
    assert len(await deliver(cluster, "audit", *events)) == count
    return events


async def verified(cluster: Any, **query: object) -> Any:
    return await ask(cluster, "audit", "/audit/verify", **query)


async def tamper(cluster: Any, *statements: str) -> None:
    """Do what only somebody with the database's password can do."""
    async with cluster.replica("audit-0").chassis.database.transaction() as tx:
        for statement in statements:
            await tx.execute(text(statement.replace(":", r"\:")))  # no parameters in here


async def records(cluster: Any) -> list[Record]:
    rows = await cluster.replica("audit-0").chassis.database.read(text("SELECT * FROM records ORDER BY seq"))
    return [Record(**row._mapping) for row in rows]


def moved(*moves: tuple[int, int]) -> list[str]:
    """Statements that give records new positions, through positions that nobody has."""
    away = [f"UPDATE records SET seq = {-to} WHERE seq = {seq}" for seq, to in moves]
    return [*away, "UPDATE records SET seq = -seq WHERE seq < 0"]


async def test_every_kind_of_event_is_recorded_in_a_chain(cluster: Any) -> None:
    await cluster.start("audit")
    events = [event(event_type, f"s-{event_type}", n=1) for event_type in SUBSCRIPTIONS if "." in event_type]
    assert len(await deliver(cluster, "audit", *events)) == len(events)
    shown = (await ask(cluster, "audit", "/audit/records"))["records"]
    assert [(each["type"], each["data"]) for each in shown] == [(each["type"], {"n": 1}) for each in events]
    assert shown[0]["prev_hash"] == "0" * 64
    assert [each["prev_hash"] for each in shown[1:]] == [each["hash"] for each in shown[:-1]]
    verdict = await verified(cluster)
    assert (verdict["intact"], verdict["proven"], verdict["next_after"]) == (True, len(events), None)


async def test_anybody_can_compute_a_hash_again_from_what_is_shown(cluster: Any) -> None:
    await filled(cluster, 1)
    (shown,) = (await ask(cluster, "audit", "/audit/records"))["records"]
    names = ("event_id", "type", "subject", "data", "occurred_at_ms", "recorded_at_ms")
    data = json.dumps(shown["data"], sort_keys=True, separators=(",", ":"))
    content = [{**shown, "data": data}[name] for name in names]
    assert hash_of("0" * 64, *content) == shown["hash"]


async def test_an_event_is_recorded_once_however_often_it_comes(cluster: Any) -> None:
    events = await filled(cluster)
    await deliver(cluster, "audit", *events, *events)
    cluster.clock.advance_ms(15 * 86_400_000)
    await cluster.replica("audit-0").sweeper.sweep()
    await deliver(cluster, "audit", *events)
    assert len(await records(cluster)) == COUNT
    assert (await verified(cluster))["intact"]


async def test_replicas_append_to_one_chain(cluster: Any) -> None:
    await cluster.start("audit", "audit-0")
    await cluster.start("audit", "audit-1")
    batches = [[order_event("created", f"o-{batch}-{n}") for n in range(5)] for batch in range(12)]
    accepted = await asyncio.gather(*(deliver(cluster, "audit", *batch) for batch in batches))
    assert sum(map(len, accepted)) == 60
    calls = {address for address, _, path in cluster.network.carried if path == "/events"}
    assert len(calls) == 2, "only one replica was asked"
    verdict = await verified(cluster)
    assert (verdict["intact"], verdict["proven"]) == (True, 60)


async def test_records_are_shown_in_pages_and_by_what_they_are_about(cluster: Any) -> None:
    await filled(cluster)
    first = await ask(cluster, "audit", "/audit/records", limit=5)
    rest = await ask(cluster, "audit", "/audit/records", limit=5, after=first["next_after"])
    assert [each["subject"] for each in first["records"] + rest["records"]] == [f"p{n}" for n in range(1, COUNT + 1)]
    assert rest["next_after"] is None
    (only,) = (await ask(cluster, "audit", "/audit/records", subject="p3", type="payment.succeeded"))["records"]
    assert only["seq"] == 3
    assert (await ask(cluster, "audit", "/audit/records", type="order.paid"))["records"] == []


async def test_a_long_chain_is_verified_in_parts(cluster: Any) -> None:
    await filled(cluster)
    part = await verified(cluster, limit=3)
    assert (part["intact"], part["proven"], part["next_after"]) == (True, 3, 3)
    rest = await verified(cluster, after=3)
    assert (rest["intact"], rest["proven"], rest["next_after"]) == (True, COUNT - 3, None)


# ---- tampering ------------------------------------------------------------------------------------------------------

DROP_5 = "DELETE FROM records WHERE seq = 5"


@pytest.mark.parametrize(
    ("statements", "damage", "seq", "gid"),
    [
        (["UPDATE records SET data = replace(data, '\"amount_minor\":5', '\"amount_minor\":4') WHERE seq = 5"],
         "altered", 5, "p5"),
        (["UPDATE records SET occurred_at_ms = occurred_at_ms + 1 WHERE seq = 1"], "altered", 1, "p1"),
        (["UPDATE records SET data = 'not JSON' WHERE seq = 8"], "altered", 8, "p8"),
        ([DROP_5], "missing", 5, None),
        (["DELETE FROM records WHERE seq = 1"], "missing", 1, None),
        ([DROP_5, *moved((6, 5), (7, 6), (8, 7))], "missing", 5, None),
        (moved((5, 6), (6, 5)), "reordered", 5, "p6"),
        (moved((2, 7), (7, 2)), "reordered", 2, "p7"),
        (["DELETE FROM records WHERE seq > 6"], "missing", 7, None),
        (["DELETE FROM records"], "missing", 1, None),
    ],
    ids=["amount", "time", "garbage", "deleted", "first deleted", "deleted and renumbered", "swapped neighbours",
         "swapped", "tail cut off", "all deleted"],
)  # fmt: skip
async def test_damage_is_found_and_named(
    cluster: Any, statements: list[str], damage: str, seq: int, gid: str | None
) -> None:
    events = await filled(cluster)
    await tamper(cluster, *statements)
    verdict = await verified(cluster)
    broken = verdict["broken"]
    wanted = None if gid is None else events[int(gid[1:]) - 1]["event_id"]
    assert (verdict["intact"], broken["damage"], broken["seq"], broken["event_id"]) == (False, damage, seq, wanted)
    assert verdict["proven"] == seq - 1
    await ask(cluster, "audit", "/audit/records")  # what is left can still be read


async def insert_forgery(cluster: Any, seq: int, prev_hash: str) -> None:
    """Put in a record whose own hash is right, as a forger would."""
    content = ("forged", "payment.succeeded", "p0", canonical({"amount_minor": 1}), 1, 1)
    shift = [move for number in range(COUNT, seq - 1, -1) for move in moved((number, number + 1))]
    await tamper(cluster, *shift)
    row = Record(seq, *content, prev_hash, hash_of(prev_hash, *content))
    values = ", ".join(repr(value) for value in (getattr(row, name) for name in Record.__slots__))
    await tamper(cluster, f"INSERT INTO records ({', '.join(Record.__slots__)}) VALUES ({values})")


@pytest.mark.parametrize("links", [True, False], ids=["linked to the one before", "linked to nothing"])
async def test_an_inserted_record_is_found_and_named(cluster: Any, links: bool) -> None:
    await filled(cluster)
    before = (await records(cluster))[3]
    await insert_forgery(cluster, 5, before.hash if links else "f" * 64)
    broken = (await verified(cluster))["broken"]
    assert (broken["damage"], broken["seq"], broken["event_id"]) == ("inserted", 5, "forged")


async def test_a_record_added_behind_the_head_is_found(cluster: Any) -> None:
    await filled(cluster)
    await insert_forgery(cluster, COUNT + 1, (await records(cluster))[-1].hash)
    broken = (await verified(cluster))["broken"]
    assert (broken["damage"], broken["seq"], broken["event_id"]) == ("inserted", COUNT + 1, "forged")


async def test_a_chain_written_anew_is_found_by_a_checkpoint_kept_elsewhere(cluster: Any) -> None:
    events = await filled(cluster)
    checkpoint = await ask(cluster, "audit", "/audit/head")
    kept = {"checkpoint_seq": checkpoint["seq"], "checkpoint_hash": checkpoint["hash"]}
    await deliver(cluster, "audit", decided("payment.succeeded", "p9"))
    assert (await verified(cluster, **kept))["intact"]
    await rewrite(cluster, await records(cluster))
    assert (await verified(cluster))["intact"], "without a checkpoint nobody can tell"
    broken = (await verified(cluster, **kept))["broken"]
    assert (broken["damage"], broken["seq"], broken["event_id"]) == ("rewritten", COUNT, events[-1]["event_id"])


async def rewrite(cluster: Any, chain: list[Record]) -> None:
    """Change the first amount and compute every hash again, the head's too."""
    end = Link()
    for record in chain:
        data = record.data.replace('"amount_minor":1,', '"amount_minor":1000,')
        content = (record.event_id, record.type, record.subject, data, record.occurred_at_ms, record.recorded_at_ms)
        digest = hash_of(end.hash, *content)
        await tamper(
            cluster,
            f"UPDATE records SET data = '{data}', prev_hash = '{end.hash}', hash = '{digest}' WHERE seq = {record.seq}",
        )
        end = Link(record.seq, digest)
    await tamper(cluster, f"UPDATE chain_head SET hash = '{end.hash}'")


async def test_a_tail_cut_off_with_its_head_is_found_by_a_checkpoint(cluster: Any) -> None:
    await filled(cluster)
    checkpoint = await ask(cluster, "audit", "/audit/head")
    sixth = (await records(cluster))[5]
    await tamper(cluster, "DELETE FROM records WHERE seq > 6", f"UPDATE chain_head SET seq = 6, hash = '{sixth.hash}'")
    kept = {"checkpoint_seq": checkpoint["seq"], "checkpoint_hash": checkpoint["hash"]}
    broken = (await verified(cluster, **kept))["broken"]
    assert (broken["damage"], broken["seq"]) == ("missing", 7)


async def test_half_a_checkpoint_is_refused(cluster: Any) -> None:
    await cluster.start("audit")
    reply = await cluster.http("audit").get(
        "/audit/verify", params={"checkpoint_seq": 3}, headers=cluster.as_operator()
    )
    assert (reply.status_code, reply.json()["code"]) == (422, "checkpoint_incomplete")


async def test_an_empty_trail_is_intact(cluster: Any) -> None:
    await cluster.start("audit")
    assert await verified(cluster) == {
        "intact": True, "proven": 0, "next_after": None, "head": {"seq": 0, "hash": "0" * 64}, "broken": None,
    }  # fmt: skip
