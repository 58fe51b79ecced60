"""The cart as its user sees it, through one replica or several, and what an order does to it."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

from tests.redis_server import RedisServer

ALICE, BOB = 1, 2


async def items(cluster: Any, user_id: int = ALICE, replica: str = "cart") -> dict[int, int]:
    reply = await cluster.http(replica).get("/cart", headers=cluster.as_user(user_id))
    assert reply.status_code == 200
    return {item["goods_id"]: item["count"] for item in reply.json()["items"]}


async def put(cluster: Any, goods_id: object, count: object, user_id: int = ALICE, replica: str = "cart") -> Any:
    headers = cluster.as_user(user_id)
    return await cluster.http(replica).put(f"/cart/items/{goods_id}", json={"count": count}, headers=headers)


def order_created(user_id: int, goods: list[int], cart_version: int | None) -> dict[str, Any]:
    ordered = [{"goods_id": goods_id, "count": 1} for goods_id in goods]
    return {
        "event_id": str(uuid.uuid4()),
        "type": "order.created",
        "subject": "1",
        "data": {"user_id": user_id, "cart_version": cart_version, "items": ordered, "order_no": "1"},
        "occurred_at_ms": 1,
    }


async def deliver(cluster: Any, *events: dict[str, Any]) -> None:
    reply = await cluster.call("cart", "POST", "/events", json={"events": list(events)})
    assert reply.status == 200
    assert reply.json["accepted"] == [event["event_id"] for event in events]


async def test_the_cart_holds_what_was_put_there_last(cluster: Any) -> None:
    await cluster.start("cart")
    assert await items(cluster) == {}
    await put(cluster, 5, 2)
    await put(cluster, 6, 1)
    assert (await put(cluster, 5, 7)).json()["count"] == 7
    assert await items(cluster) == {5: 7, 6: 1}


async def test_removing_is_possible_twice_and_clearing_empties(cluster: Any) -> None:
    await cluster.start("cart")
    for goods_id in (1, 2, 3):
        await put(cluster, goods_id, 1)
    http = cluster.http("cart")
    for _ in range(2):
        assert (await http.delete("/cart/items/2", headers=cluster.as_user(ALICE))).status_code == 204
    assert await items(cluster) == {1: 1, 3: 1}
    assert (await http.delete("/cart", headers=cluster.as_user(ALICE))).status_code == 204
    assert await items(cluster) == {}


async def test_users_do_not_share_a_cart(cluster: Any) -> None:
    await cluster.start("cart")
    await put(cluster, 1, 1, ALICE)
    await put(cluster, 2, 2, BOB)
    await cluster.http("cart").delete("/cart", headers=cluster.as_user(BOB))
    assert await items(cluster, ALICE) == {1: 1}
    assert await items(cluster, BOB) == {}


async def test_a_change_through_one_replica_is_seen_at_once_through_another(cluster: Any) -> None:
    await cluster.start("cart", replica="cart-0")
    await cluster.start("cart", replica="cart-1")
    await put(cluster, 1, 1, replica="cart-0")
    assert await items(cluster, replica="cart-1") == {1: 1}  # now cached there
    for count in (2, 3):
        await put(cluster, 1, count, replica="cart-0")
        assert await items(cluster, replica="cart-1") == {1: count}
    await cluster.http("cart-0").delete("/cart", headers=cluster.as_user(ALICE))
    assert await items(cluster, replica="cart-1") == {}


async def test_an_order_takes_its_goods_out_once_however_often_it_is_announced(cluster: Any) -> None:
    await cluster.start("cart")
    await put(cluster, 1, 5)
    await put(cluster, 2, 1)
    version = (await cluster.call("cart", "GET", f"/internal/carts/{ALICE}")).json["version"]
    await put(cluster, 2, 1)  # wanted again, after the order
    await put(cluster, 3, 1)
    event = order_created(ALICE, [1, 2], version)
    await deliver(cluster, event)
    assert await items(cluster) == {2: 1, 3: 1}
    await put(cluster, 1, 1)
    await deliver(cluster, event, event)
    assert await items(cluster) == {2: 1, 3: 1, 1: 1}


async def test_an_order_made_without_the_cart_leaves_it_alone(cluster: Any) -> None:
    await cluster.start("cart")
    await put(cluster, 1, 5)
    await deliver(cluster, order_created(ALICE, [1], None), order_created(BOB, [1], 99))
    assert await items(cluster) == {1: 5}


async def test_other_services_read_a_cart_only_with_a_signature(cluster: Any) -> None:
    await cluster.start("cart")
    await put(cluster, 1, 4)
    reply = await cluster.call("cart", "GET", f"/internal/carts/{ALICE}")
    assert [(item["goods_id"], item["count"]) for item in reply.json["items"]] == [(1, 4)]
    unsigned = await cluster.http("cart").get(f"/internal/carts/{ALICE}", headers=cluster.as_user(ALICE))
    assert unsigned.status_code == 401


async def test_a_cart_has_an_end(cluster: Any) -> None:
    await cluster.start("cart")
    for goods_id in range(1, 101):
        assert (await put(cluster, goods_id, 1)).status_code == 200
    refused = await put(cluster, 101, 1)
    assert (refused.status_code, refused.json()["code"]) == (409, "cart_full")
    assert (await put(cluster, 100, 9)).status_code == 200
    assert len(await items(cluster)) == 100


@pytest.mark.parametrize("count", [0, -1, 10_000, 2**63, 1.5, "3", True, None, [1], {"a": 1}])
async def test_a_count_that_is_none_is_refused(cluster: Any, count: object) -> None:
    await cluster.start("cart")
    await put(cluster, 1, 3)
    refused = await put(cluster, 1, count)
    assert refused.status_code in {400, 422}
    assert refused.headers["content-type"] == "application/problem+json"
    assert await items(cluster) == {1: 3}


@pytest.mark.parametrize("goods_id", [0, -5, 2**53, 2**70, "x", "1.5", "%00"])
async def test_a_goods_id_that_is_none_is_refused(cluster: Any, goods_id: object) -> None:
    await cluster.start("cart")
    refused = await put(cluster, goods_id, 1)
    assert refused.status_code in {400, 422}
    assert await items(cluster) == {}


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b'{"count": 1, "price": 0}', b"\xff", b'{"count": NaN}'])
async def test_a_body_that_is_none_is_refused(cluster: Any, body: bytes) -> None:
    await cluster.start("cart")
    headers = {**cluster.as_user(ALICE), "Content-Type": "application/json"}
    refused = await cluster.http("cart").put("/cart/items/1", content=body, headers=headers)
    assert refused.status_code in {400, 422}
    assert await items(cluster) == {}


async def test_nobody_without_a_session_has_a_cart(cluster: Any) -> None:
    await cluster.start("cart")
    assert (await cluster.http("cart").get("/cart")).status_code == 401
    forged = {"Authorization": "Bearer eyJhbGciOiJub25lIn0.eyJzdWIiOiIxIn0."}
    assert (await cluster.http("cart").put("/cart/items/1", json={"count": 1}, headers=forged)).status_code == 401


@pytest.fixture(params=["embedded", "redis"])
def plan(request: pytest.FixtureRequest) -> dict[str, str]:
    """A replica's plan with each kind of cache in turn."""
    return {} if request.param == "embedded" else {"redis_url": request.getfixturevalue("redis_server").url}


async def test_a_cached_cart_is_never_stale_at_any_replica(cluster: Any, plan: dict[str, str]) -> None:
    for replica in ("cart-0", "cart-1"):
        await cluster.start("cart", replica=replica, **plan)
    for count in range(1, 6):
        assert (await put(cluster, 1, count, replica=f"cart-{count % 2}")).status_code == 200
        for replica in ("cart-0", "cart-1", "cart-0"):
            assert await items(cluster, replica=replica) == {1: count}
    lookups = (await cluster.http("cart-0").get("/metrics")).text
    assert 'paylab_cache_lookups_total{outcome="hit"}' in lookups


def _count_waits(monkeypatch: pytest.MonkeyPatch, redis: Any) -> list[object]:
    """A list that grows with every command that is sent to Redis, and not refused because Redis is known to be down."""
    run, waited = redis.run, []

    async def counting(command: Any, **options: Any) -> Any:
        if redis.up:
            waited.append(command)
        return await run(command, **options)

    monkeypatch.setattr(redis, "run", counting)
    return waited


async def test_carts_are_read_and_changed_while_redis_is_gone(
    cluster: Any, redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    chassis = (await cluster.start("cart", redis_url=redis_server.url)).chassis
    await put(cluster, 1, 1)
    assert await items(cluster) == {1: 1}
    redis_server.freeze()
    chassis.settings.replace({"redis.timeout_ms": 100}, chassis.settings.version + 1)
    waited = _count_waits(monkeypatch, chassis.redis)
    for count in range(2, 22):
        await put(cluster, 1, count)
        assert await items(cluster) == {1: count}
    assert len(waited) <= 1, "one request waits, none of the thirty-nine others"
    redis_server.thaw()
    chassis.settings.replace({"redis.timeout_ms": 10_000}, chassis.settings.version + 1)
    await cluster.eventually(lambda: chassis.redis.up)
    await put(cluster, 1, 99)
    assert await items(cluster) == {1: 99}
