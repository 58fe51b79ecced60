"""What users notice of the switches: old lists instead of none, and the same carts either way."""

from __future__ import annotations

from typing import Any

from settlement.chassis.database import Database

from .backoffice import deliver, order_event


def _switch(cluster: Any, replica: str, **modes: str) -> None:
    settings = cluster.replica(replica).chassis.settings
    values = {f"degrade.{feature}": mode for feature, mode in modes.items()}
    settings.replace({**settings._values, **values}, settings.version + 1)


def _reads(database: Database, monkeypatch: Any) -> list[str]:
    """The statements read from here on."""
    read, seen = database.read, list[str]()

    async def counting(statement: Any, parameters: Any = None) -> Any:
        seen.append(str(statement))
        return await read(statement, parameters)

    monkeypatch.setattr(database, "read", counting)
    return seen


async def test_the_list_of_goods_is_served_as_it_was_while_the_switch_is_on(cluster: Any, monkeypatch: Any) -> None:
    await cluster.start("order", settings={"order.goods_count": 3, "order.stock_per_goods": 10})
    http = cluster.http("order")
    now = (await http.get("/goods")).json()
    reads = _reads(cluster.replica("order-0").chassis.database, monkeypatch)
    _switch(cluster, "order-0", goods_list="always")
    assert (await http.get("/goods")).json() == now
    assert reads == []
    assert (await http.get("/goods?limit=2")).status_code == 200, "a page that nobody has read yet is read"
    assert len(reads) == 1
    cluster.clock.advance_ms(30_000)
    assert (await http.get("/goods")).json() == now
    assert len(reads) == 2, "too old to show"
    _switch(cluster, "order-0", goods_list="automatic")
    assert (await http.get("/goods")).json() == now
    assert len(reads) == 3


async def test_statistics_are_as_old_as_they_say_and_events_are_counted_meanwhile(cluster: Any) -> None:
    await cluster.start("statistics")
    http, headers = cluster.http("statistics"), cluster.as_operator()
    paths = ("/statistics/summary", "/statistics/orders?group=merchant", "/statistics/payments")

    async def asked() -> list[Any]:
        return [await http.get(path, headers=headers) for path in paths]

    before = await asked()
    assert all("age" not in answer.headers for answer in before)
    _switch(cluster, "statistics-0", statistics="always")
    await deliver(cluster, "statistics", order_event("created", "o-1", 500, cluster.clock.now_ms()))
    cluster.clock.advance_ms(12_000)
    old = await asked()
    assert [answer.json() for answer in old] == [answer.json() for answer in before]
    assert [answer.headers["age"] for answer in old] == ["12"] * 3
    _switch(cluster, "statistics-0", statistics="automatic")
    assert (await asked())[0].json()["currencies"][0]["orders_created"] == 1


async def test_a_replica_that_turns_requests_away_answers_with_the_statistics_it_has(cluster: Any) -> None:
    replica = await cluster.start("statistics")
    http, headers = cluster.http("statistics"), cluster.as_operator()
    assert "age" not in (await http.get("/statistics/summary", headers=headers)).headers
    replica.chassis.admission.turn_away("concurrency")
    assert (await http.get("/statistics/summary", headers=headers)).headers["age"] == "0"
    cluster.clock.advance_ms(1_000)
    assert "age" not in (await http.get("/statistics/summary", headers=headers)).headers


async def test_carts_can_do_without_their_cache(cluster: Any, monkeypatch: Any) -> None:
    await cluster.start("cart")
    http, alice = cluster.http("cart"), cluster.as_user(1)
    await http.put("/cart/items/1", json={"count": 2}, headers=alice)
    cart = (await http.get("/cart", headers=alice)).json()
    reads = _reads(cluster.replica("cart-0").chassis.database, monkeypatch)
    assert (await http.get("/cart", headers=alice)).json() == cart
    assert len(reads) == 1, "only the version"
    _switch(cluster, "cart-0", cart_cache="always")
    assert (await http.get("/cart", headers=alice)).json() == cart
    assert len(reads) == 3
