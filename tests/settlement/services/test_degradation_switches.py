"""What users notice of the switches: old lists instead of none, and the same carts either way."""

from __future__ import annotations

from typing import Any

from settlement.chassis.database import Database


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
