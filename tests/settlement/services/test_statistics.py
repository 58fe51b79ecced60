"""Statistics: the same events give the same figures, in whatever order and however often they come."""

from __future__ import annotations

import random
from typing import Any

import pytest

from .backoffice import NOON_MS, ask, decided, deliver, event, order_event

MINUTE_MS = 60_000
HOUR = {"from_ms": NOON_MS, "to_ms": NOON_MS + 60 * MINUTE_MS}


def a_day_at_the_shop() -> list[dict[str, Any]]:
    shares = [{"merchant_id": 1, "amount_minor": 300}, {"merchant_id": 2, "amount_minor": 700}]
    later_ms = NOON_MS + MINUTE_MS
    return [
        order_event("created", "o-1", 1_000, merchants=shares),
        order_event("created", "o-2", 50, method="wallet"),
        order_event("created", "o-3", 70, later_ms, method="wallet"),
        decided("payment.succeeded", "p1", 1_000),
        order_event("paid", "o-1", 1_000, later_ms, merchants=shares, gid="p1"),
        decided("payment.failed", "p2", 50, method="wallet", reason="declined"),
        decided("payment.succeeded", "p3", 70, later_ms, method="wallet"),
        order_event("paid", "o-3", 70, later_ms, method="wallet", gid="p3"),
        order_event("cancelled", "o-2", 50, later_ms, method="wallet", reason="by_user"),
        decided("refund.succeeded", "r1", 1_000, later_ms, payment_gid="p1"),
        order_event("refunded", "o-1", 1_000, later_ms, merchants=shares, gid="r1"),
        decided("payment.succeeded", "p4", 9, currency="EUR", method="balance"),
    ]


async def figures(cluster: Any, what: str, group: str, **query: object) -> list[tuple[object, ...]]:
    answer = await ask(cluster, "statistics", f"/statistics/{what}", group=group, **{**HOUR, **query})
    key = {"minute": "minute_ms", "merchant": "merchant_id", "method": "method", "status": "status"}[group]
    return [
        (row[key], row.get("kind"), row["status"], row["currency"], row["count"], row["amount_minor"])
        for row in answer["rows"]
    ]


async def test_payments_by_each_group(cluster: Any) -> None:
    await cluster.start("statistics")
    await deliver(cluster, "statistics", *a_day_at_the_shop())
    assert await figures(cluster, "payments", "method") == [
        ("balance", "payment", "succeeded", "EUR", 1, 9),
        ("card", "payment", "succeeded", "CNY", 1, 1_000),
        ("card", "refund", "succeeded", "CNY", 1, 1_000),
        ("wallet", "payment", "failed", "CNY", 1, 50),
        ("wallet", "payment", "succeeded", "CNY", 1, 70),
    ]
    assert await figures(cluster, "payments", "status") == [
        ("failed", "payment", "failed", "CNY", 1, 50),
        ("succeeded", "payment", "succeeded", "CNY", 2, 1_070),
        ("succeeded", "payment", "succeeded", "EUR", 1, 9),
        ("succeeded", "refund", "succeeded", "CNY", 1, 1_000),
    ]
    assert await figures(cluster, "payments", "merchant") == [
        (1, "payment", "succeeded", "CNY", 2, 370),
        (1, "refund", "succeeded", "CNY", 1, 300),
        (2, "payment", "succeeded", "CNY", 1, 700),
        (2, "refund", "succeeded", "CNY", 1, 700),
    ]
    by_minute = await figures(cluster, "payments", "minute")
    assert (NOON_MS, "payment", "failed", "CNY", 1, 50) in by_minute
    assert (NOON_MS + MINUTE_MS, "payment", "succeeded", "CNY", 1, 70) in by_minute


async def test_orders_by_each_group(cluster: Any) -> None:
    await cluster.start("statistics")
    await deliver(cluster, "statistics", *a_day_at_the_shop())
    assert await figures(cluster, "orders", "status") == [
        ("cancelled", None, "cancelled", "CNY", 1, 50),
        ("created", None, "created", "CNY", 3, 1_120),
        ("paid", None, "paid", "CNY", 2, 1_070),
        ("refunded", None, "refunded", "CNY", 1, 1_000),
    ]
    assert (2, None, "created", "CNY", 1, 700) in await figures(cluster, "orders", "merchant")
    assert ("wallet", None, "paid", "CNY", 1, 70) in await figures(cluster, "orders", "method")
    assert (NOON_MS, None, "created", "CNY", 2, 1_050) in await figures(cluster, "orders", "minute")


async def test_the_summary_adds_up(cluster: Any) -> None:
    await cluster.start("statistics")
    await deliver(cluster, "statistics", *a_day_at_the_shop())
    yuan, euro = (await ask(cluster, "statistics", "/statistics/summary", **HOUR))["currencies"]
    assert yuan == {
        "currency": "CNY", "orders_created": 3, "orders_paid": 2, "orders_cancelled": 1, "orders_refunded": 1,
        "payments_succeeded": 2, "payments_failed": 1, "refunds_succeeded": 1, "refunds_failed": 0,
        "ordered_minor": 1_120, "paid_minor": 1_070, "refunded_minor": 1_000, "net_minor": 70,
        "success_share": pytest.approx(2 / 3),
    }  # fmt: skip
    assert (euro["currency"], euro["paid_minor"], euro["success_share"]) == ("EUR", 9, 1.0)


@pytest.mark.parametrize("seed", range(3))
async def test_neither_order_nor_repetition_changes_a_figure(cluster: Any, seed: int) -> None:
    luck = random.Random(seed)
    events = a_day_at_the_shop()
    await cluster.start("statistics", "statistics-0")
    await cluster.start("statistics", "statistics-1")
    await deliver(cluster, "statistics", *events)
    wanted = {(what, group): await figures(cluster, what, group) for what in ("payments", "orders")
              for group in ("minute", "merchant", "status", "method")}  # fmt: skip
    again = events * 3
    luck.shuffle(again)
    while again:
        size = luck.randint(1, 7)
        await deliver(cluster, "statistics", *again[:size])
        del again[:size]
    assert wanted == {key: await figures(cluster, *key) for key in wanted}


async def test_the_order_of_first_deliveries_does_not_matter(cluster: Any) -> None:
    await cluster.start("statistics")
    await deliver(cluster, "statistics", *reversed(a_day_at_the_shop()))
    (yuan, _) = (await ask(cluster, "statistics", "/statistics/summary", **HOUR))["currencies"]
    assert (yuan["orders_created"], yuan["paid_minor"], yuan["net_minor"]) == (3, 1_070, 70)


async def test_an_interval_has_two_ends(cluster: Any) -> None:
    await cluster.start("statistics")
    await deliver(cluster, "statistics", *a_day_at_the_shop())
    first_minute = await figures(cluster, "orders", "status", to_ms=NOON_MS + 1)
    assert first_minute == [("created", None, "created", "CNY", 2, 1_050)]
    assert await figures(cluster, "orders", "status", from_ms=NOON_MS + 2 * MINUTE_MS) == []
    for wrong in ({"from_ms": 5, "to_ms": 5}, {"from_ms": -1}, {"to_ms": 2**60}, {"group": "weather"}):
        reply = await cluster.http("statistics").get("/statistics/orders", params=wrong, headers=cluster.as_operator())
        assert reply.status_code == 422, wrong


async def test_without_an_interval_the_last_day_is_shown(cluster: Any) -> None:
    await cluster.start("statistics")
    now_ms = cluster.clock.now_ms()
    await deliver(cluster, "statistics", order_event("created", "new", 5, now_ms), order_event("created", "old", 7))
    (row,) = (await ask(cluster, "statistics", "/statistics/orders"))["rows"]
    assert (row["count"], row["amount_minor"]) == (1, 5)


async def test_users_do_not_see_everybodys_figures(cluster: Any) -> None:
    await cluster.start("statistics")
    reply = await cluster.http("statistics").get("/statistics/summary", headers=cluster.as_user(7))
    assert reply.status_code == 401


async def test_an_event_that_makes_no_sense_changes_nothing(cluster: Any) -> None:
    await cluster.start("statistics")
    bad, good = event("order.paid", "o-1", user_id=1), decided("payment.succeeded", "p1")
    assert await deliver(cluster, "statistics", bad, good) == [good["event_id"]]
    assert await figures(cluster, "orders", "status") == []
