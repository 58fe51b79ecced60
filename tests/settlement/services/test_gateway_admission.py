"""Past its capacity the gateway turns payments away before it begins them, and finishes those that it began."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from settlement.chassis.faults import FaultList
from tests.mariadb_server import both_backends

from ..money import Shop

SLOW_MS = 300


@pytest.fixture
async def shop(cluster: Any) -> Shop:
    return await Shop(cluster, {"gateway.admission_mode": "fixed", "gateway.admission_max": 2}).open()


def _suffer(shop: Shop, service: str, **fault: object) -> None:
    """Let every call to a participant's route suffer."""
    faults = FaultList.model_validate({"faults": [{"id": "f", **fault}]}).faults
    shop.cluster.replica(f"{service}-0").chassis.faults.replace(faults)


def _slow(shop: Shop, service: str) -> None:
    _suffer(shop, service, kind="latency", route="POST /participant/prepare", delay_ms=SLOW_MS)


def _change(shop: Shop, service: str, values: dict[str, object]) -> None:
    """What the config center sends to a running replica."""
    settings = shop.cluster.replica(f"{service}-0").chassis.settings
    settings.replace({**settings._values, **values}, settings.version + 1)


@both_backends
async def test_what_is_turned_away_has_begun_nothing(shop: Shop) -> None:
    _slow(shop, "order")
    orders = [await shop.order(method="balance", count=1) for _ in range(6)]
    answers = await asyncio.gather(
        *(shop.pay(order, "balance", key=f"k{number}") for number, order in enumerate(orders))
    )
    assert sorted(answer.status_code for answer in answers) == [201, 201, 503, 503, 503, 503]
    away = [number for number, answer in enumerate(answers) if answer.status_code == 503]
    for number in away:
        assert answers[number].json()["code"] == "overloaded"
        assert answers[number].headers["Retry-After"] == "1"
    assert len(await shop.decisions()) == 2, "no record"
    kept = {row["idempotency_key"] for row in await shop.rows("gateway", "SELECT * FROM idempotency_keys")}
    assert kept.isdisjoint(f"k{number}" for number in away)
    await shop.settle()
    assert {len(await shop.votes(service)) for service in ("order", "payment")} == {2}, "nobody was asked"
    for number in away:
        again = await shop.pay(orders[number], "balance", key=f"k{number}")
        assert again.status_code == 201, "the same request with the same key is as good as new"
    await shop.settle()
    await shop.audit()


async def test_decided_transactions_are_completed_while_payments_are_turned_away(shop: Shop) -> None:
    _suffer(shop, "order", kind="error", route="POST /participant/decision", status=503)
    order, other = await shop.order(), await shop.order()
    assert (await shop.pay(order)).status_code == 201
    for service in ("gateway", "order", "payment"):
        _change(shop, service, {"limit.concurrency_max": 1})
    _change(shop, "gateway", {"gateway.admission_max": 1})
    _slow(shop, "payment")
    busy = asyncio.create_task(shop.pay(other))
    client = shop.cluster.replica("gateway-0").chassis.client
    await shop.cluster.eventually(lambda: client._balancer.in_flight("http://payment-0"))
    assert (await shop.pay(order)).status_code == 503
    shop.cluster.replica("order-0").chassis.faults.replace([])
    await shop.cluster.eventually(lambda: _closed(shop, order["order_no"]))
    assert not busy.done()
    assert (await busy).status_code == 201
    await shop.settle()
    await shop.audit()


async def _closed(shop: Shop, order_no: str) -> bool:
    rows = await shop.rows("gateway", "SELECT * FROM transactions")
    return any(row["order_no"] == order_no and row["state"] == "closed" for row in rows)


async def test_a_changed_limit_acts_on_the_next_payment(shop: Shop) -> None:
    _slow(shop, "order")
    orders = [await shop.order(method="balance", count=1) for _ in range(4)]
    _change(shop, "gateway", {"gateway.admission_mode": "off"})
    answers = await asyncio.gather(*(shop.pay(order, "balance") for order in orders))
    assert [answer.status_code for answer in answers] == [201] * 4
