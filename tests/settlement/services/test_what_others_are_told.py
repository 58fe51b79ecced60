"""Events of orders, payments and users: written with their cause, once; no payment waits for who hears of it."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from ..money import ALICE, Shop, arm, crashed
from .backoffice import ask

SILENT = {"outbox.poll_interval_ms": 60_000}
BACKOFFICE = ("message", "statistics", "audit")


async def told(shop: Shop, service: str) -> list[tuple[str, dict[str, Any]]]:
    """What this service has said so far to the audit trail, which hears everything; nothing is delivered yet."""
    rows = await shop.rows(service, "SELECT type, data FROM outbox_events WHERE subscriber = 'audit' ORDER BY id")
    return [(row["type"], json.loads(row["data"])) for row in rows]


async def types(shop: Shop, service: str) -> list[str]:
    return [event_type for event_type, _ in await told(shop, service)]


async def test_a_payment_and_its_refund_are_told_with_all_that_is_needed(cluster: Any) -> None:
    shop = await Shop(cluster, dict(SILENT)).open()
    order = await shop.order(count=2)
    gid = (await shop.pay(order)).json()["gid"]
    await shop.settle()
    refund_gid = (await shop.refund(gid, order["total_minor"])).json()["gid"]
    await shop.settle()
    common = {"order_no": order["order_no"], "user_id": ALICE, "amount_minor": order["total_minor"], "currency": "CNY"}
    (paid, payment), (refunded, refund) = await told(shop, "gateway")
    assert (paid, refunded) == ("payment.succeeded", "refund.succeeded")
    decided = {row["gid"]: row["decided_at_ms"] for row in await shop.decisions()}
    assert payment == {**common, "gid": gid, "method": "card", "decided_at_ms": decided[gid]}
    assert refund == {
        **common, "gid": refund_gid, "payment_gid": gid, "method": "card", "decided_at_ms": decided[refund_gid],
    }  # fmt: skip
    (created, first), (order_paid, second), (order_refunded, third) = await told(shop, "order")
    assert (created, order_paid, order_refunded) == ("order.created", "order.paid", "order.refunded")
    assert (second["gid"], third["gid"]) == (gid, refund_gid)
    for data in (first, second, third):
        assert {**data, **common} == data
        assert data["merchants"] == [{"merchant_id": 1, "amount_minor": order["total_minor"]}]


async def test_an_order_is_shared_among_its_merchants(cluster: Any) -> None:
    shop = await Shop(cluster, {**SILENT, "order.goods_count": 5, "order.merchant_count": 2}).open()
    body = {"items": [{"goods_id": number, "count": number} for number in (1, 2, 3)], "pay_method": "card"}
    client, headers = cluster.http("order"), cluster.as_user(ALICE)
    order = (await client.post("/orders", json=body, headers=headers)).json()
    price = {item["goods_id"]: item["price_minor"] * item["count"] for item in order["items"]}
    assert (await shop.pay(order)).status_code == 201
    await shop.settle()
    _, paid = (await told(shop, "order"))[-1]
    assert paid["merchants"] == [
        {"merchant_id": 1, "amount_minor": price[1] + price[3]},
        {"merchant_id": 2, "amount_minor": price[2]},
    ]
    assert [item["merchant_id"] for item in order["items"]] == [1, 2, 1]


async def test_a_failed_payment_says_why_and_leaves_the_order_as_it_was(cluster: Any) -> None:
    shop = await Shop(cluster, {**SILENT, "channel.decline_share": 1.0}).open()
    assert (await shop.pay(await shop.order())).status_code == 402
    await shop.settle()
    ((event_type, data),) = await told(shop, "gateway")
    assert (event_type, data["reason"]) == ("payment.failed", "declined")
    assert await types(shop, "order") == ["order.created"]


@pytest.mark.parametrize("reason", ["by_user", "expired"])
async def test_a_cancelled_order_says_why_once(cluster: Any, reason: str) -> None:
    shop = await Shop(cluster, {**SILENT, "order.expire_after_s": 10}).open()
    order = await shop.order()
    if reason == "expired":
        cluster.clock.advance_ms(11_000)

    async def cancelled() -> Any:
        if reason == "by_user":
            path, headers = f"/orders/{order['order_no']}/cancel", cluster.as_user(ALICE)
            assert (await cluster.http("order").post(path, headers=headers)).status_code == 200
        return [data["reason"] for event_type, data in await told(shop, "order") if event_type == "order.cancelled"]

    assert await cluster.eventually(cancelled) == [reason]
    await cancelled()
    assert await cancelled() == [reason]


@pytest.mark.parametrize(
    ("point", "outcome"), [("persist.before", "payment.failed"), ("persist.after", "payment.succeeded")]
)
async def test_a_crash_around_the_decision_neither_loses_nor_repeats_its_event(
    cluster: Any, point: str, outcome: str
) -> None:
    shop = await Shop(cluster, dict(SILENT)).open()
    replica = cluster.replica("gateway-0")
    order = await shop.order()
    arm(replica, f"coordinator.decided.{point}")
    paying = asyncio.create_task(shop.pay(order))
    await cluster.eventually(lambda: crashed(replica))
    await cluster.kill("gateway-0")
    paying.cancel()
    await asyncio.gather(paying, return_exceptions=True)
    await shop.start("gateway")
    await shop.settle()
    assert await types(shop, "gateway") == [outcome]


async def test_a_decision_that_an_operator_resumes_is_no_news(cluster: Any) -> None:
    shop = await Shop(cluster, {**SILENT, "gateway.retry_attempts_max": 3, "payment.orphan_interval_ms": 60_000}).open()
    order = await shop.order()
    cluster.network.refuse("payment", "/participant/decision", times=1_000)
    gid = (await shop.pay(order)).json()["gid"]

    async def exhausted() -> bool:
        return bool((await shop.decisions())[0]["state"] == "exhausted")

    await cluster.eventually(exhausted)
    cluster.network.heal()
    path = f"/operator/transactions/{gid}/resume"
    body = {"operator": "ada", "reason": "payment is back"}
    assert (await cluster.http("gateway").post(path, json=body, headers=cluster.as_operator())).status_code == 200
    await shop.settle()
    assert await types(shop, "gateway") == ["payment.succeeded", "transaction.intervened"]


async def test_a_new_user_is_told_of(cluster: Any) -> None:
    shop = Shop(cluster, dict(SILENT))
    await shop.start("usercenter")
    client = cluster.http("usercenter")
    captcha = (await client.post("/captcha")).json()
    left, right = captcha["question"].split(" + ")
    body = {
        "name": "Ada", "phone": "+8613800000001", "email": "ada@example.org", "password": "correct horse battery",
        "captcha_id": captcha["captcha_id"], "captcha_answer": int(left) + int(right),
    }  # fmt: skip
    reply = await client.post("/users", json=body)
    assert reply.status_code == 201, reply.text
    assert await told(shop, "usercenter") == [("user.registered", {"user_id": reply.json()["user_id"]})]


# ---- when nobody listens --------------------------------------------------------------------------------------------


async def test_payments_do_not_wait_for_the_back_office_and_it_hears_of_all_of_them_later(cluster: Any) -> None:
    shop = await Shop(cluster).open()
    gids = []
    for method in ("card", "wallet", "balance"):
        order = await shop.order(method=method)
        paid = await shop.pay(order, method)
        assert paid.status_code == 201
        gids.append(paid.json()["gid"])
    await shop.settle()
    assert (await shop.refund(gids[0], order["total_minor"])).status_code == 201
    await shop.settle()
    await shop.audit()
    for service in BACKOFFICE:
        await shop.start(service)

    async def all_heard() -> bool:
        waiting = [await shop.rows(s, "SELECT * FROM outbox_events WHERE subscriber IN "
                                      "('message', 'statistics', 'audit')") for s in ("order", "gateway")]  # fmt: skip
        return not any(waiting)

    await cluster.eventually(all_heard, within_s=15.0)
    verdict = await ask(cluster, "audit", "/audit/verify")
    assert (verdict["intact"], verdict["proven"]) == (
        True,
        11,
    )  # three orders created, paid, and their payments; a refund and its order
    (yuan,) = (await ask(cluster, "statistics", "/statistics/summary"))["currencies"]
    assert (yuan["orders_created"], yuan["payments_succeeded"], yuan["refunds_succeeded"]) == (3, 3, 1)
    assert yuan["net_minor"] == 2 * order["total_minor"]
    reply = await cluster.http("message").get("/messages", headers=cluster.as_user(ALICE))
    kinds = sorted(message["kind"] for message in reply.json()["messages"])
    assert kinds == ["order_created"] * 3 + ["payment_succeeded"] * 3 + ["refund_succeeded"]
