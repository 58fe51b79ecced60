"""The participant's interpreter: orphans, and a crash at every point of both participants."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from settlement.protocol.crashpoints import PARTICIPANT_POINTS

from ..money import Shop, arm, crashed

DECISION = "/participant/decision"


# ---- orphans --------------------------------------------------------------------------------------------------------


async def test_an_orphan_asks_and_learns_of_the_commit(cluster: Any) -> None:
    shop = await Shop(cluster, {"gateway.retry_base_ms": 50_000, "gateway.retry_max_ms": 50_000}).open()
    cluster.network.refuse("payment", DECISION, times=20)
    order = await shop.order()
    assert (await shop.pay(order)).json()["status"] == "succeeded"

    async def reached() -> object:
        return all(v["outcome"] == "committed" for v in (await shop.votes("payment")).values())

    await cluster.eventually(reached)
    assert {charge["state"] for charge in (await shop.charges()).values()} == {"captured"}


async def test_an_orphan_of_an_unknown_transaction_aborts(cluster: Any) -> None:
    shop = await Shop(cluster).open()
    payload = {
        "user_id": 7,
        "order_no": "o",
        "amount_minor": 5,
        "currency": "CNY",
        "method": "card",
        "out_trade_no": "x",
    }
    body = {"gid": "nobodys", "kind": "payment", "payload": payload}
    reply = await cluster.call("payment", "POST", "/participant/prepare", json=body)
    assert reply.json["vote"] == "yes"

    async def reached() -> object:
        return (await shop.votes("payment"))["nobodys"]["outcome"] == "aborted"

    await cluster.eventually(reached)
    assert (await shop.charges())["x"]["state"] == "voided"


async def test_an_orphan_waits_while_the_coordinator_is_undecided_or_gone(cluster: Any) -> None:
    shop = await Shop(cluster, {"gateway.recovery_interval_ms": 60_000}).open()
    dying = cluster.replica("gateway-0")
    arm(dying, "coordinator.decided.persist.before")
    paying = asyncio.create_task(shop.pay(await shop.order()))
    await cluster.eventually(lambda: crashed(dying))
    earlier = len(cluster.network.carried)
    await shop.start("gateway", "gateway-1")
    await cluster.eventually(lambda: inquiries(cluster, earlier) >= 6)
    assert (await shop.votes("payment")).popitem()[1]["outcome"] is None, (
        "nobody has decided, so nobody may abort alone"
    )
    await cluster.kill("gateway-0")
    paying.cancel()
    await asyncio.gather(paying, return_exceptions=True)
    await shop.start("gateway")
    await shop.settle()
    await shop.audit()


def inquiries(cluster: Any, earlier: int) -> int:
    return sum("outcome" in path for _, _, path in cluster.network.carried[earlier:])


async def test_in_doubt_survives_a_restart(cluster: Any) -> None:
    shop = await Shop(cluster, {"gateway.retry_base_ms": 50_000, "gateway.retry_max_ms": 50_000}).open()
    cluster.network.refuse("payment", DECISION, times=20)
    await shop.pay(await shop.order())
    await cluster.kill("payment-0")
    await shop.start("payment")

    async def reached() -> object:
        return all(v["outcome"] == "committed" for v in (await shop.votes("payment")).values())

    await cluster.eventually(reached)


# ---- one transaction, two payloads ----------------------------------------------------------------------------------

PAYLOAD = {
    "user_id": 7, "order_no": "o", "amount_minor": 5, "currency": "CNY", "method": "balance", "out_trade_no": "x",
}  # fmt: skip


async def send(cluster: Any, step: str, kind: str = "payment", decision: str | None = None, **changes: Any) -> Any:
    body = {"gid": "g", "kind": kind, "payload": {**PAYLOAD, **changes}}
    if decision is not None:
        body["decision"] = decision
    reply = await cluster.call("payment", "POST", f"/participant/{step}", json=body)
    return reply.status, reply.json.get("code", reply.json.get("vote"))


@pytest.fixture
async def shop(cluster: Any) -> Shop:
    return await Shop(cluster, {"payment.orphan_interval_ms": 60_000}).open("channel", "payment")


@pytest.mark.parametrize("before", [[], ["commit"], ["abort"]])
@pytest.mark.parametrize("other", [{"amount_minor": 6}, {"user_id": 8}, {"refund_no": "r"}, {"kind": "refund"}])
async def test_a_repeated_prepare_about_something_else_is_refused_and_changes_nothing(
    shop: Shop, before: list[str], other: dict[str, Any]
) -> None:
    first = await send(shop.cluster, "prepare")
    for decision in before:
        await send(shop.cluster, "decision", decision=decision)
    tables = ("participant_barrier", "audit_postings")
    earlier = [await shop.rows("payment", f"SELECT * FROM {table}") for table in tables]
    assert await send(shop.cluster, "prepare", **other) == (409, "payload_mismatch")
    assert [await shop.rows("payment", f"SELECT * FROM {table}") for table in tables] == earlier
    assert await send(shop.cluster, "prepare") == (200, "no" if before == ["abort"] else "yes")
    assert first == (200, "yes")


async def test_a_prepare_after_its_abort_is_refused_by_a_vote_unless_it_is_about_something_else(shop: Shop) -> None:
    await send(shop.cluster, "decision", decision="abort")
    assert await send(shop.cluster, "prepare") == (200, "no")
    assert await send(shop.cluster, "prepare", amount_minor=6) == (409, "payload_mismatch")


async def test_of_two_prepares_at_once_one_payload_is_taken(shop: Shop) -> None:
    amounts = (5, 6)
    answers = await asyncio.gather(
        *(send(shop.cluster, "prepare", method="card", amount_minor=a, out_trade_no=f"x{a}") for a in amounts)
    )
    assert sorted(answers) == [(200, "yes"), (409, "payload_mismatch")]


# ---- a crash at every point -----------------------------------------------------------------------------------------


async def a_payment(shop: Shop) -> None:
    await shop.pay(await shop.order())


async def a_refused_payment(shop: Shop) -> None:
    await shop.pay(await shop.order(), amount_minor=1)


async def an_uncertain_payment(shop: Shop) -> None:
    shop.cluster.network.refuse("channel", "/card", times=5)
    await a_payment(shop)


async def an_untold_payment(shop: Shop) -> None:
    shop.cluster.network.refuse("order", DECISION, times=1_000)
    shop.cluster.network.refuse("payment", DECISION, times=1_000)
    await a_payment(shop)


Story = Callable[[Shop], Awaitable[None]]
IN_DOUBT: dict[str, Story] = {
    "participant.prepared.send": an_untold_payment,
    "participant.prepared.settimer": an_untold_payment,
}
# Each is aborted by the other one's refusal, so that it has something to release.
STORIES: dict[str, dict[str, Story]] = {
    "order": {**IN_DOUBT, "participant.aborted": an_uncertain_payment},
    "payment": {
        **IN_DOUBT, "participant.aborted": a_refused_payment, "participant.initial": an_uncertain_payment,
    },
}  # fmt: skip
MOVING = ("participant.reserving", "participant.prepared.persist", "participant.committed")
MONEY_POINTS = [point for point in PARTICIPANT_POINTS if point.startswith(MOVING)]


@pytest.mark.parametrize("point", PARTICIPANT_POINTS)
@pytest.mark.parametrize("service", ["order", "payment"])
async def test_a_crash_anywhere_is_survived(cluster: Any, service: str, point: str) -> None:
    if service == "order" and point.startswith("participant.initial"):
        pytest.skip("an order calls nobody: it is never uncertain")
    shop = await Shop(cluster).open()
    dying = cluster.replica(f"{service}-0")
    arm(dying, point)
    story = next((told for prefix, told in STORIES[service].items() if point.startswith(prefix)), a_payment)
    telling = asyncio.ensure_future(story(shop))
    await cluster.eventually(lambda: crashed(dying), within_s=10)
    cluster.network._losses.clear()
    await cluster.kill(f"{service}-0")
    await shop.start(service)
    await asyncio.gather(telling, return_exceptions=True)
    await shop.settle()
    await shop.audit()
    assert (await shop.pay(await shop.order())).status_code == 201, "the platform works again"
    await shop.settle()
    await shop.audit()


@pytest.mark.parametrize("point", MONEY_POINTS)
@pytest.mark.parametrize("method", ["wallet", "balance"])
async def test_no_method_loses_money_in_a_crash_of_the_payment_service(cluster: Any, method: str, point: str) -> None:
    shop = await Shop(cluster).open()
    dying = cluster.replica("payment-0")
    arm(dying, point)
    paying = asyncio.create_task(shop.pay(await shop.order(method=method), method))
    await cluster.eventually(lambda: crashed(dying), within_s=10)
    await cluster.kill("payment-0")
    await shop.start("payment")
    told = (await paying).json()["status"]
    await shop.settle()
    await shop.audit()
    assert told == ("succeeded" if (await shop.decisions())[0]["decision"] == "commit" else "failed")


@pytest.mark.parametrize("point", MONEY_POINTS)
@pytest.mark.parametrize("service", ["order", "payment"])
async def test_a_refund_survives_a_crash(cluster: Any, service: str, point: str) -> None:
    shop = await Shop(cluster).open()
    order = await shop.order(method="wallet")
    gid = (await shop.pay(order, "wallet")).json()["gid"]
    await shop.settle()
    dying = cluster.replica(f"{service}-0")
    arm(dying, point)
    refunding = asyncio.create_task(shop.refund(gid, order["total_minor"]))
    await cluster.eventually(lambda: crashed(dying), within_s=10)
    await cluster.kill(f"{service}-0")
    await shop.start(service)
    await refunding
    await shop.settle()
    await shop.audit()


# ---- how long something was held ------------------------------------------------------------------------------------


async def test_how_long_money_was_held_is_measured_once_and_only_if_it_was(shop: Shop) -> None:
    async def holds() -> float:
        text = (await shop.cluster.http("payment").get("/metrics")).text
        found = re.search(r'^paylab_2pc_lock_hold_seconds_count\{kind="payment"\} (\S+)$', text, re.MULTILINE)
        return float(found[1]) if found else 0.0

    await send(shop.cluster, "decision", decision="abort")  # of something that was never prepared
    assert await holds() == 0
    body = {"gid": "held", "kind": "payment", "payload": {**PAYLOAD, "out_trade_no": "y"}}
    await shop.cluster.call("payment", "POST", "/participant/prepare", json=body)
    for _ in range(2):
        await shop.cluster.call("payment", "POST", "/participant/decision", json={**body, "decision": "commit"})
    assert await holds() == 1
