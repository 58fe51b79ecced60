"""Clearing: what merchants are owed for a day, less the fee, in the ledger once, whoever dies in between."""

from __future__ import annotations

import asyncio
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import text

from tests.mariadb_server import both_backends

from ..money import ALICE, Shop

PERCENT = {"clearing.fee_basis_points": 100}


def today(cluster: Any, plus_days: int = 0) -> str:
    moment = datetime.fromtimestamp(cluster.clock.now_ms() / 1_000, UTC) + timedelta(days=plus_days)
    return moment.date().isoformat()


def event(cluster: Any, kind: str, gid: str, shares: dict[Any, int], **changes: Any) -> dict[str, Any]:
    merchants = [{"merchant_id": merchant, "amount_minor": minor} for merchant, minor in shares.items()]
    data = {"user_id": ALICE, "order_no": f"o-{gid}", "gid": gid, "currency": "CNY", "merchants": merchants}
    data |= {"amount_minor": sum(shares.values()), "at_ms": cluster.clock.now_ms(), **changes}
    head = {"event_id": str(uuid.uuid4()), "type": f"order.{kind}", "subject": data["order_no"]}
    return {**head, "data": data, "occurred_at_ms": cluster.clock.now_ms()}


async def deliver(cluster: Any, *events: dict[str, Any]) -> None:
    reply = await cluster.call("clearing", "POST", "/events", json={"events": list(events)}, timeout_ms=15_000)
    assert reply.status == 200, reply.json
    assert set(reply.json["accepted"]) == {sent["event_id"] for sent in events}


async def close(cluster: Any, day: str, clearing: str = "clearing") -> list[dict[str, Any]]:
    reply = await cluster.http(clearing).post("/batches/close", json={"day": day}, headers=cluster.as_operator())
    assert reply.status_code == 200, reply.text
    found: list[dict[str, Any]] = reply.json()["batches"]
    return found


async def batches(cluster: Any, query: str = "") -> list[dict[str, Any]]:
    reply = await cluster.http("clearing").get(f"/batches{query}", headers=cluster.as_operator())
    found: list[dict[str, Any]] = reply.json()["batches"]
    return found


async def settled(cluster: Any) -> bool:
    found = await batches(cluster)
    return bool(found) and all(batch["state"] == "settled" for batch in found)


async def postings(cluster: Any) -> dict[str, dict[str, int]]:
    """The payouts' postings: by batch and account."""
    sql = "SELECT gid, account, amount_minor FROM audit_postings WHERE gid LIKE '%.%' AND layer = 'posted'"
    found: dict[str, dict[str, int]] = {}
    for row in await cluster.replica("payment-0").chassis.database.read(text(sql)):
        assert row.account not in found.setdefault(row.gid, {}), "posted twice"
        found[row.gid][row.account] = row.amount_minor
    return found


def told(cluster: Any, monkeypatch: pytest.MonkeyPatch, replica: str = "clearing-0") -> list[dict[str, Any]]:
    seen: list[dict[str, Any]] = []

    async def add(_tx: Any, *, type: str, subject: str, data: dict[str, Any]) -> None:  # noqa: A002
        seen.append({"type": type, **data})

    monkeypatch.setattr(cluster.replica(replica).chassis.outbox, "add", add)
    return seen


# ---- netting --------------------------------------------------------------------------------------------------------


@both_backends
async def test_a_day_is_netted_per_merchant_and_currency_and_paid_out(
    cluster: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    await cluster.start("payment")
    await cluster.start("clearing", settings=PERCENT)
    events = told(cluster, monkeypatch)
    day = today(cluster)
    await deliver(
        cluster,
        event(cluster, "paid", "p1", {1: 10_000, 2: 550}),
        event(cluster, "paid", "p2", {1: 2_000}),
        event(cluster, "paid", "p3", {1: 700}, currency="EUR"),
        event(cluster, "refunded", "r1", {1: 2_000}),
    )
    closed = await close(cluster, day)
    shown = {batch["batch_id"]: [batch[f"{part}_minor"] for part in ("gross", "refunded", "fee", "net")]
             for batch in closed}  # fmt: skip
    assert shown == {
        f"{day}.CNY.1": [12_000, 2_000, 120, 9_880],
        f"{day}.CNY.2": [550, 0, 6, 544],  # 5.5 goes to the even 6
        f"{day}.EUR.1": [700, 0, 7, 693],
    }
    await cluster.eventually(lambda: settled(cluster))
    assert await postings(cluster) == {
        f"{day}.CNY.1": {"merchant:settlement": -10_000, "merchant:payable:1": 9_880, "income:fees": 120},
        f"{day}.CNY.2": {"merchant:settlement": -550, "merchant:payable:2": 544, "income:fees": 6},
        f"{day}.EUR.1": {"merchant:settlement": -700, "merchant:payable:1": 693, "income:fees": 7},
    }
    balance = await cluster.http("payment").get("/ledger/trial-balance", headers=cluster.as_operator())
    assert balance.json()["balanced"]
    assert {item["batch_id"]: item["net_minor"] for item in events} == {name: parts[3] for name, parts in shown.items()}
    assert {item["type"] for item in events} == {"clearing.settled"}


async def test_refunds_above_payments_leave_the_merchant_owing(cluster: Any) -> None:
    await cluster.start("payment")
    await cluster.start("clearing", settings=PERCENT)
    await deliver(cluster, event(cluster, "refunded", "r1", {1: 2_000}))
    (batch,) = await close(cluster, today(cluster))
    assert (batch["fee_minor"], batch["net_minor"]) == (0, -2_000)
    await cluster.eventually(lambda: settled(cluster))
    assert await postings(cluster) == {batch["batch_id"]: {"merchant:settlement": 2_000, "merchant:payable:1": -2_000}}


async def test_a_day_that_nets_to_nothing_is_settled_without_postings(cluster: Any) -> None:
    await cluster.start("payment")
    await cluster.start("clearing", settings={"clearing.fee_basis_points": 0})
    await deliver(cluster, event(cluster, "paid", "p1", {1: 500}), event(cluster, "refunded", "r1", {1: 500}))
    await close(cluster, today(cluster))
    await cluster.eventually(lambda: settled(cluster))
    assert await postings(cluster) == {}


@both_backends
async def test_an_event_counts_once_however_it_is_delivered(cluster: Any) -> None:
    await cluster.start("clearing")
    first = event(cluster, "paid", "p1", {1: 500})
    await deliver(cluster, first)
    await deliver(cluster, first, event(cluster, "paid", "p1", {1: 500}))
    (batch,) = await close(cluster, today(cluster))
    assert (batch["entries"], batch["gross_minor"]) == (1, 500)


# ---- days -----------------------------------------------------------------------------------------------------------


async def test_what_comes_late_is_cleared_with_the_next_open_day(cluster: Any) -> None:
    await cluster.start("clearing")
    day, late_ms = today(cluster), cluster.clock.now_ms()
    await deliver(cluster, event(cluster, "paid", "p1", {1: 500}))
    await close(cluster, day)
    await close(cluster, day)
    await deliver(cluster, event(cluster, "paid", "p2", {1: 300}, at_ms=late_ms))
    cluster.clock.advance_ms(86_400_000)
    await deliver(cluster, event(cluster, "paid", "p3", {1: 20}))
    assert [batch["gross_minor"] for batch in await close(cluster, day)] == [500]
    assert [batch["gross_minor"] for batch in await close(cluster, today(cluster))] == [320]


async def test_a_day_is_closed_by_itself_after_its_end_and_a_grace(cluster: Any) -> None:
    await cluster.start("payment")
    replica = await cluster.start("clearing", settings={"clearing.grace_ms": 1_000})
    await deliver(cluster, event(cluster, "paid", "p1", {1: 500}))
    day = today(cluster)
    cluster.clock.advance_ms(86_400_000 + 1_001)
    assert replica is not None
    await cluster.eventually(lambda: settled(cluster))
    assert [batch["day"] for batch in await batches(cluster)] == [day]


async def test_a_day_in_the_future_is_not_closed(cluster: Any) -> None:
    await cluster.start("clearing")
    http, headers = cluster.http("clearing"), cluster.as_operator()
    reply = await http.post("/batches/close", json={"day": today(cluster, plus_days=1)}, headers=headers)
    assert (reply.status_code, reply.json()["code"]) == (422, "day_not_begun")
    reply = await http.post("/batches/close", json={"day": "2026-02-30"}, headers=headers)
    assert reply.status_code == 422


@both_backends
async def test_closing_and_arriving_at_once_loses_nothing(cluster: Any) -> None:
    await cluster.start("clearing", "clearing-0")
    await cluster.start("clearing", "clearing-1")
    events = [event(cluster, "paid", f"p{number}", {1: 1}) for number in range(40)]
    await asyncio.gather(
        *(deliver(cluster, one) for one in events),
        close(cluster, today(cluster), "clearing-0"),
        close(cluster, today(cluster), "clearing-1"),
    )
    cluster.clock.advance_ms(86_400_000)
    await close(cluster, today(cluster))
    assert sum(batch["gross_minor"] for batch in await batches(cluster)) == 40


# ---- crashes --------------------------------------------------------------------------------------------------------


@both_backends
@pytest.mark.parametrize("path", ["/internal/payouts", "/internal/payouts/"])
async def test_a_lost_answer_of_the_ledger_pays_nobody_twice(
    cluster: Any, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await cluster.start("payment")
    await cluster.start("clearing", settings={"http.timeout_ms": 100})
    events = told(cluster, monkeypatch)
    await deliver(cluster, event(cluster, "paid", "p1", {1: 10_000}))
    cluster.network.lose_reply("payment", path, times=3)
    await close(cluster, today(cluster))
    await cluster.eventually(lambda: settled(cluster), 10)
    assert len(await postings(cluster)) == 1
    assert len(events) == 1


async def test_a_batch_goes_on_where_a_dead_replica_left_it(cluster: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    await cluster.start("payment")
    await cluster.start("clearing")
    await deliver(cluster, event(cluster, "paid", "p1", {1: 10_000}))
    cluster.network.refuse("payment", "/internal/payouts/", times=1_000)  # booked, and never seen to be
    await close(cluster, today(cluster))

    async def posted() -> bool:
        return [batch["state"] for batch in await batches(cluster)] == ["posted"]

    await cluster.eventually(posted)
    await cluster.kill("clearing-0")
    cluster.network.heal()
    await cluster.start("clearing")
    events = told(cluster, monkeypatch)
    await cluster.eventually(lambda: settled(cluster))
    assert len(await postings(cluster)) == 1
    assert len(events) == 1


@both_backends
async def test_two_replicas_settle_a_batch_once(cluster: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    await cluster.start("payment")
    events = []
    for number in range(2):
        await cluster.start("clearing", f"clearing-{number}")
        events.append(told(cluster, monkeypatch, f"clearing-{number}"))
    await deliver(cluster, *(event(cluster, "paid", f"p{number}", {number: 100}) for number in range(10)))
    await close(cluster, today(cluster))
    await cluster.eventually(lambda: settled(cluster))
    assert sorted(item["merchant_id"] for seen in events for item in seen) == [str(number) for number in range(10)]
    assert len(await postings(cluster)) == 10


async def test_a_payout_with_other_amounts_is_refused_and_seen(cluster: Any) -> None:
    await cluster.start("payment")
    await cluster.start("clearing", settings=PERCENT)
    day = today(cluster)
    other = {"batch_id": f"{day}.CNY.1", "merchant_id": "1", "currency": "CNY"}
    other |= {"gross_minor": 1, "refunded_minor": 0, "fee_minor": 0}
    assert (await cluster.call("payment", "POST", "/internal/payouts", json=other)).status == 201
    await deliver(cluster, event(cluster, "paid", "p1", {1: 10_000}))
    await close(cluster, day)

    async def problem() -> str:
        return str((await batches(cluster))[0]["problem"])

    await cluster.eventually(problem)
    (batch,) = await batches(cluster)
    assert (batch["state"], batch["problem"]) == ("closing", "payment answered 409 payout_conflict")
    metrics = (await cluster.http("clearing").get("/metrics")).text
    assert "paylab_clearing_batches_unsettled 1.0" in metrics
    assert len(await postings(cluster)) == 1


# ---- nobody else suffers --------------------------------------------------------------------------------------------


async def test_payments_go_on_without_clearing_and_its_postings_keep_the_books_true(cluster: Any) -> None:
    shop = await Shop(cluster).open()
    order = await shop.order()
    paid = await shop.pay(order)
    assert paid.status_code == 201
    await shop.settle()
    await cluster.start("clearing")
    gid = paid.json()["gid"]
    await deliver(cluster, event(cluster, "paid", gid, {1: order["total_minor"]}))
    await close(cluster, today(cluster))
    await cluster.eventually(lambda: settled(cluster))
    await shop.audit()
