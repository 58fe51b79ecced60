"""The same thing at the same time, on both databases: nothing is lost, sold twice or done twice."""

from __future__ import annotations

import asyncio
from typing import Any

from settlement.services.gateway.journal import GatewayJournal
from settlement.services.order import stock
from tests.mariadb_server import both_backends

from ..money import ALICE, PATIENT, Shop


@both_backends
async def test_a_hundred_decrements_of_one_stock_row(cluster: Any) -> None:
    replicas = [await cluster.start("order", name, settings={"order.stock_per_goods": 60, "order.goods_count": 1})
                for name in ("order-0", "order-1")]  # fmt: skip

    async def take(number: int) -> bool:
        database = replicas[number % 2].chassis.database
        return bool(await database.run(lambda tx: stock.reserve(tx, [stock.Line(1, 1)])))

    taken = await asyncio.gather(*(take(number) for number in range(100)))
    assert sum(taken) == 60
    goods = (await cluster.http("order").get("/goods/1")).json()
    assert goods["available_units"] == 0


@both_backends
async def test_the_same_key_twice_at_once_pays_once(cluster: Any) -> None:
    shop = await Shop(cluster, PATIENT).open()
    await shop.start("gateway", "gateway-1")
    order = await shop.order()
    answers = await asyncio.gather(*(shop.pay(order, key="k", gateway=f"gateway-{n % 2}") for n in range(6)))
    # Whoever comes while the payment is worked on is told so, whoever comes later is told of it.
    assert {answer.status_code for answer in answers} <= {201, 409}
    assert len({answer.json()["gid"] for answer in answers if answer.status_code == 201}) == 1
    await shop.settle()
    await shop.audit()
    assert len(await shop.decisions()) == 1
    assert (await shop.pay(order, key="k")).json()["status"] == "succeeded"


@both_backends
async def test_two_replicas_claim_a_lapsed_transaction_once(cluster: Any) -> None:
    shop = await Shop(cluster, PATIENT).open()
    cluster.network.refuse("payment", "/participant/decision", times=1_000)
    await shop.pay(await shop.order())
    await cluster.kill("gateway-0")
    idle = {"gateway.recovery_interval_ms": 600_000}
    others = [(await shop.start("gateway", f"gateway-{n}", **idle)).chassis for n in (1, 2)]
    cluster.clock.advance_ms(10_000)

    async def claim(chassis: Any) -> int:
        journal = GatewayJournal(chassis.database, chassis.clock, chassis.settings, chassis.outbox)
        now_ms = chassis.clock.now_ms()
        claimed = await chassis.database.run(
            lambda tx: journal.claim(tx, f"{chassis.replica}/x", now_ms, 60_000, (), 10)
        )
        return len(claimed)

    assert sorted(await asyncio.gather(*(claim(chassis) for chassis in others))) == [0, 1]
    cluster.clock.advance_ms(61_000)
    await shop.start("gateway", "gateway-3")
    cluster.network.heal()
    await shop.settle()
    await shop.audit()


@both_backends
async def test_two_payments_of_one_balance_do_not_overdraw_it(cluster: Any) -> None:
    shop = await Shop(cluster, {**PATIENT, "payment.opening_balance_minor": 20_000}).open()
    orders = [await shop.order(method="balance") for _ in range(3)]
    await asyncio.gather(*(shop.pay(order, "balance") for order in orders))
    await shop.settle()
    await shop.audit()
    paid = sum(row["amount_minor"] for row in await shop.decisions() if row["decision"] == "commit")
    total = orders[0]["total_minor"]
    assert paid == 20_000 // total * total, "as many as it pays for"
    assert await shop.balance() == 20_000 - paid


@both_backends
async def test_a_whole_journey(cluster: Any) -> None:
    shop = await Shop(cluster).open()
    for method in ("card", "wallet", "balance"):
        order = await shop.order(method=method)
        paid = (await shop.pay(order, method)).json()
        assert paid["status"] == "succeeded"
        await shop.settle()
        refunded = await shop.refund(paid["gid"], order["total_minor"])
        assert refunded.json()["status"] == "succeeded"
        await shop.settle()
    await shop.audit()
    cart = await cluster.start("cart")
    user = cluster.as_user(ALICE)
    client = cluster.http("cart")
    puts = [client.put(f"/cart/items/{n}", json={"count": n}, headers=user) for n in range(1, 6)]
    assert {reply.status_code for reply in await asyncio.gather(*puts)} == {200}
    assert (await client.get("/cart", headers=user)).json()["version"] == 5
    # Workers look at the database all the time, so there are moments with one connection in use.
    await cluster.eventually(lambda: cart.chassis.database.pool_stats().in_use == 0)
