"""The article's protocol in the services: it pays on a good day, and takes money for nothing on a bad one."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from ..money import OPENING_MINOR, Shop, arm, crashed

DECISION, CHARGE = "/participant/decision", "/participant/charge"
ARTICLE = {"gateway.protocol": "article", "gateway.prepare_timeout_ms": 400}


@pytest.fixture
async def shop(cluster: Any) -> Shop:
    return await Shop(cluster, ARTICLE).open()


async def the_order(shop: Shop, order: dict[str, Any]) -> str:
    rows = await shop.rows("order", "SELECT * FROM audit_orders")
    return next(str(row["status"]) for row in rows if row["order_no"] == order["order_no"])


async def taken(shop: Shop) -> int:
    return sum(row["captured_minor"] - row["refunded_minor"] for row in (await shop.charges()).values())


@pytest.mark.parametrize("method", ["card", "wallet", "balance"])
async def test_on_a_good_day_it_pays_and_refunds(shop: Shop, method: str) -> None:
    order = await shop.order(method=method)
    paid = await shop.pay(order, method)
    assert (paid.status_code, paid.json()["status"]) == (201, "succeeded")
    await shop.settle()
    await shop.audit()
    refunded = await shop.refund(paid.json()["gid"], order["total_minor"])
    assert refunded.status_code == 201
    await shop.settle()
    await shop.audit()
    assert await shop.balance() == OPENING_MINOR


async def test_what_is_refused_takes_nothing(cluster: Any) -> None:
    shop = await Shop(cluster, {**ARTICLE, "channel.decline_share": 1.0}).open()
    order = await shop.order()
    assert (await shop.pay(order)).json()["code"] == "declined"
    assert (await shop.pay(order, amount_minor=1)).json()["code"] == "amount_mismatch"
    await shop.settle()
    await shop.audit()


@pytest.mark.parametrize("method", ["card", "wallet"])
async def test_a_lost_confirmation_takes_the_money_and_unpays_the_order(shop: Shop, method: str) -> None:
    order = await shop.order(method=method)
    shop.cluster.network.lose_reply("order", DECISION)
    answer = await shop.pay(order, method)
    assert (answer.status_code, answer.json()["reason"]) == (503, "not_confirmed")
    await shop.settle()
    await shop.cluster.eventually(lambda: _is(shop, order, "pending"))
    assert await taken(shop) == order["total_minor"]
    (votes,) = (await shop.votes("payment")).values()
    assert votes["outcome"] == "committed", "payment was never told"


async def test_who_pays_again_is_charged_twice(shop: Shop) -> None:
    order = await shop.order()
    shop.cluster.network.lose_reply("order", DECISION)
    await shop.pay(order)
    await shop.cluster.eventually(lambda: _is(shop, order, "pending"))
    assert (await shop.pay(order)).status_code == 201
    await shop.settle()
    assert await the_order(shop, order) == "paid"
    assert await taken(shop) == 2 * order["total_minor"]


async def test_a_lost_confirmation_of_a_refund_gives_back_and_keeps_the_order_paid(shop: Shop) -> None:
    order = await shop.order()
    gid = (await shop.pay(order)).json()["gid"]
    await shop.settle()
    shop.cluster.network.lose_reply("order", DECISION)
    assert (await shop.refund(gid, order["total_minor"])).status_code == 503
    await shop.settle()
    await shop.cluster.eventually(lambda: _is(shop, order, "paid"))
    assert await taken(shop) == 0


async def test_an_answer_of_payment_that_is_lost_is_taken_for_a_no(shop: Shop) -> None:
    order = await shop.order()
    shop.cluster.network.lose_reply("payment", CHARGE)
    assert (await shop.pay(order)).json()["reason"] == "participant_unavailable"
    await shop.settle()
    assert (await taken(shop), await the_order(shop, order)) == (order["total_minor"], "pending")
    assert shop.cluster.network.carried.count(("http://payment-0", "POST", CHARGE)) == 1, "nothing is asked twice"


async def test_a_gateway_that_dies_forgets_that_it_took_money(shop: Shop) -> None:
    order = await shop.order()
    dying = shop.cluster.replica("gateway-0")
    arm(dying, "coordinator.closed.persist.before")
    paying = asyncio.ensure_future(shop.pay(order))
    await shop.cluster.eventually(lambda: crashed(dying))
    assert await the_order(shop, order) == "paid"
    await shop.cluster.kill("gateway-0")
    paying.cancel()
    await asyncio.gather(paying, return_exceptions=True)
    await shop.start("gateway")
    await shop.settle()
    await shop.cluster.eventually(lambda: _is(shop, order, "pending"))
    (decision,) = await shop.decisions()
    assert (decision["decision"], decision["reason"]) == ("abort", "not_confirmed")
    assert await taken(shop) == order["total_minor"]


async def test_nobody_charges_without_a_decision_under_two_phase_commit(cluster: Any) -> None:
    await Shop(cluster).open("payment")
    payload = {"user_id": 7, "order_no": "o", "amount_minor": 1, "currency": "CNY", "method": "card"}
    body = {"gid": "g", "kind": "payment", "payload": {**payload, "out_trade_no": "g"}}
    reply = await cluster.call("payment", "POST", CHARGE, json=body)
    assert (reply.status, reply.json["code"]) == (409, "protocol_not_spoken")


async def _is(shop: Shop, order: dict[str, Any], status: str) -> bool:
    return await the_order(shop, order) == status
