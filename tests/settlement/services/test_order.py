"""Orders as their users, the payment gateway and an auditor see them."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from sqlalchemy import text

from settlement.chassis.database import Database

ALICE, BOB = 1, 2
SMALL = {"order.goods_count": 5, "order.stock_per_goods": 10}


async def start(cluster: Any, **settings: object) -> None:
    await cluster.start("order", settings={**SMALL, **settings})


async def create(cluster: Any, lines: dict[int, int] | None = None, user_id: int = ALICE, **options: Any) -> Any:
    key = options.pop("key", None)
    body: dict[str, Any] = {"pay_method": "card", **options}
    if lines is not None:
        body["items"] = [{"goods_id": goods_id, "count": count} for goods_id, count in lines.items()]
    headers = {**cluster.as_user(user_id), **({"Idempotency-Key": key} if key else {})}
    return await cluster.http("order").post("/orders", json=body, headers=headers)


async def created(cluster: Any, lines: dict[int, int] | None = None, **options: Any) -> dict[str, Any]:
    reply = await create(cluster, lines or {1: 2}, **options)
    assert reply.status_code == 201, reply.text
    body: dict[str, Any] = reply.json()
    return body


async def read(cluster: Any, order: dict[str, Any], user_id: int = ALICE) -> dict[str, Any]:
    reply = await cluster.http("order").get(f"/orders/{order['order_no']}", headers=cluster.as_user(user_id))
    assert reply.status_code == 200
    body: dict[str, Any] = reply.json()
    return body


async def cancel(cluster: Any, order: dict[str, Any], user_id: int = ALICE) -> Any:
    path = f"/orders/{order['order_no']}/cancel"
    return await cluster.http("order").post(path, headers=cluster.as_user(user_id))


def message(order: dict[str, Any], gid: str, kind: str = "payment", **changes: object) -> dict[str, Any]:
    payload = {
        "user_id": order["user_id"],
        "order_no": order["order_no"],
        "amount_minor": order["total_minor"],
        "currency": order["currency"],
        "method": "card",
        "out_trade_no": f"trade-{gid}",
        **changes,
    }
    return {"gid": gid, "kind": kind, "payload": payload}


async def prepare(cluster: Any, order: dict[str, Any], gid: str, kind: str = "payment", **changes: object) -> Any:
    reply = await cluster.call(
        "order", "POST", "/participant/prepare", json=message(order, gid, kind, **changes), idempotent=True
    )
    assert reply.status == 200, reply.json
    return reply.json["vote"], reply.json["reason"]


async def decide(
    cluster: Any, order: dict[str, Any], gid: str, decision: str, kind: str = "payment", **changes: object
) -> Any:
    body = {**message(order, gid, kind, **changes), "decision": decision}
    return await cluster.call("order", "POST", "/participant/decision", json=body, idempotent=True)


async def pay(cluster: Any, order: dict[str, Any], gid: str) -> None:
    assert await prepare(cluster, order, gid) == ("yes", "")
    assert (await decide(cluster, order, gid, "commit")).status == 200


def database(cluster: Any) -> Database:
    found: Database = cluster.replica("order-0").chassis.database
    return found


async def stock(cluster: Any, goods_id: int = 1) -> tuple[int, int, int]:
    """(available, reserved, sold) as an auditor finds them."""
    query = "SELECT available_units, reserved_units, sold_units FROM audit_stock WHERE goods_id = :goods_id"
    row = (await database(cluster).read(text(query), {"goods_id": goods_id}))[0]
    return row.available_units, row.reserved_units, row.sold_units


async def votes(cluster: Any) -> list[tuple[Any, ...]]:
    query = "SELECT gid, participant, kind, vote, reason, outcome FROM audit_votes ORDER BY gid"
    return [tuple(row) for row in await database(cluster).read(text(query))]


async def rows(cluster: Any, query: str) -> list[Any]:
    return [tuple(row) for row in await database(cluster).read(text(query))]


# ---- goods ----------------------------------------------------------------------------------------------------------


async def test_the_catalogue_is_listed_page_by_page(cluster: Any) -> None:
    await start(cluster)
    http = cluster.http("order")
    first = (await http.get("/goods?limit=3")).json()
    rest = (await http.get(f"/goods?limit=3&after={first['next_after']}")).json()
    assert [goods["goods_id"] for goods in first["goods"] + rest["goods"]] == [1, 2, 3, 4, 5]
    assert rest["next_after"] is None
    assert all(goods["available_units"] == 10 and goods["price_minor"] > 0 for goods in first["goods"])
    assert (await http.get("/goods/2")).json() == first["goods"][1]
    assert (await http.get("/goods/6")).status_code == 404


async def test_replicas_that_start_together_fill_the_catalogue_once(cluster: Any) -> None:
    await asyncio.gather(*(cluster.start("order", replica=f"order-{number}", settings=SMALL) for number in range(3)))
    assert await rows(cluster, "SELECT count(*), sum(initial_units) FROM audit_stock") == [(5, 50)]
    await cluster.stop("order-1")
    await cluster.start("order", replica="order-1", settings={**SMALL, "order.goods_count": 7})
    assert await rows(cluster, "SELECT count(*), sum(initial_units) FROM audit_stock") == [(7, 70)]


@pytest.mark.parametrize("path", ["/goods?limit=0", "/goods?limit=101", "/goods?after=-1", "/goods?after=x", "/goods/0",
                                  "/goods/x", f"/goods/{2**64}", f"/goods?after={2**64}"])  # fmt: skip
async def test_goods_that_cannot_be_are_refused(cluster: Any, path: str) -> None:
    await start(cluster)
    assert (await cluster.http("order").get(path)).status_code == 422


# ---- creating -------------------------------------------------------------------------------------------------------


async def test_an_order_costs_the_sum_of_its_goods_and_keeps_its_price(cluster: Any) -> None:
    await start(cluster)
    listed = {goods["goods_id"]: goods for goods in (await cluster.http("order").get("/goods")).json()["goods"]}
    order = await created(cluster, {1: 2, 3: 1})
    assert order["status"] == "pending"
    assert order["total_minor"] == 2 * listed[1]["price_minor"] + listed[3]["price_minor"]
    async with database(cluster).transaction() as tx:
        await tx.execute(text("UPDATE goods SET price_minor = price_minor + 1000"))
    assert await read(cluster, order) == order
    assert await stock(cluster) == (10, 0, 0)


async def test_an_order_from_the_cart_takes_the_carts_goods_out(cluster: Any) -> None:
    await cluster.start("cart")
    await start(cluster)
    http, alice = cluster.http("cart"), cluster.as_user(ALICE)
    for goods_id, count in {2: 3, 4: 1}.items():
        await http.put(f"/cart/items/{goods_id}", json={"count": count}, headers=alice)
    order = (await create(cluster, from_cart=True)).json()
    assert {item["goods_id"]: item["count"] for item in order["items"]} == {2: 3, 4: 1}

    async def cart_is_empty() -> bool:
        return bool((await http.get("/cart", headers=alice)).json()["items"] == [])

    await cluster.eventually(cart_is_empty)
    again = await create(cluster, from_cart=True)
    assert (again.status_code, again.json()["code"]) == (409, "cart_empty")


async def test_what_was_ordered_is_not_ordered_again_while_the_cart_still_shows_it(cluster: Any) -> None:
    await cluster.start("cart")
    await start(cluster)
    cluster.network.refuse("cart", "/events", times=10_000)  # the cart does not hear of any order
    http, alice = cluster.http("cart"), cluster.as_user(ALICE)
    await http.put("/cart/items/2", json={"count": 3}, headers=alice)
    replies = await asyncio.gather(*(create(cluster, from_cart=True) for _ in range(4)))
    assert sorted(reply.status_code for reply in replies) == [201, 409, 409, 409]
    await http.put("/cart/items/4", json={"count": 1}, headers=alice)
    assert [item["goods_id"] for item in (await create(cluster, from_cart=True)).json()["items"]] == [4]
    await http.put("/cart/items/2", json={"count": 1}, headers=alice)
    again = (await create(cluster, from_cart=True)).json()["items"]
    assert [(item["goods_id"], item["count"]) for item in again] == [(2, 1)]


@pytest.mark.parametrize("trouble", ["refuse", "lose_reply"])
async def test_without_the_cart_nothing_is_ordered(cluster: Any, trouble: str) -> None:
    await cluster.start("cart")
    await start(cluster, **{"http.timeout_ms": 50})
    getattr(cluster.network, trouble)("cart", "/internal", times=10)
    refused = await create(cluster, from_cart=True)
    assert (refused.status_code, refused.json()["code"]) == (503, "cart_unavailable")
    assert refused.headers["Retry-After"] == "1"
    assert await rows(cluster, "SELECT * FROM audit_orders") == []


async def test_the_same_key_creates_one_order_and_answers_alike_for_ever(cluster: Any) -> None:
    await start(cluster)
    first = await create(cluster, {1: 2}, key="k1")
    await pay(cluster, first.json(), "g1")
    second = await create(cluster, {1: 2}, key="k1")
    assert (second.status_code, second.json()) == (201, first.json())
    assert second.headers["Idempotent-Replayed"] == "true"
    assert "Idempotent-Replayed" not in first.headers
    other = await create(cluster, {1: 3}, key="k1")
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")
    assert (await create(cluster, {1: 2}, key="k1", user_id=BOB)).json()["order_no"] != first.json()["order_no"]


async def test_the_same_key_twice_at_once_creates_one_order(cluster: Any) -> None:
    await cluster.start("cart")
    await start(cluster)
    await cluster.http("cart").put("/cart/items/1", json={"count": 1}, headers=cluster.as_user(ALICE))
    replies = await asyncio.gather(*(create(cluster, from_cart=True, key="k1") for _ in range(8)))
    assert {reply.status_code for reply in replies} == {201}
    assert len({reply.json()["order_no"] for reply in replies}) == 1
    assert await rows(cluster, "SELECT count(*) FROM audit_orders") == [(1,)]


async def test_goods_that_do_not_exist_cannot_be_ordered(cluster: Any) -> None:
    await start(cluster)
    refused = await create(cluster, {1: 1, 77: 1, 78: 1})
    assert (refused.status_code, refused.json()["code"]) == (422, "goods_not_found")
    assert "77, 78" in refused.json()["detail"]
    assert await rows(cluster, "SELECT * FROM audit_orders") == []


BAD_ORDERS: list[Any] = [
    {}, [], None, {"from_cart": True}, {"pay_method": "card"}, {"pay_method": "card", "from_cart": False},
    {"pay_method": "cash", "from_cart": True}, {"pay_method": "card", "items": []},
    {"pay_method": "card", "from_cart": True, "items": [{"goods_id": 1, "count": 1}]},
    {"pay_method": "card", "items": [{"goods_id": 1, "count": 1}, {"goods_id": 1, "count": 2}]},
    {"pay_method": "card", "items": [{"goods_id": 1, "count": 1, "price_minor": 1}]},
    {"pay_method": "card", "items": [{"goods_id": 1, "count": 1}], "total_minor": 1},
    {"pay_method": "card", "items": [{"goods_id": number, "count": 1} for number in range(1, 102)]},
    *({"pay_method": "card", "items": [{"goods_id": 1, "count": count}]} for count in (0, -1, 10_000, 1.5, "1", True)),
    *({"pay_method": "card", "items": [{"goods_id": goods, "count": 1}]} for goods in (0, -1, 2**53, 2**63, "1", None)),
    *({"pay_method": "card", "items": [{"goods_id": 1, "count": 1}], "notify_url": url}
      for url in ("ftp://a/b", "javascript:alert(1)", "http://a b", "http://" + "a" * 200, 5, "")),
    {"pay_method": "card", "items": [{"goods_id": 1, "count": 1}], "channel": "../../etc"},
]  # fmt: skip


@pytest.mark.parametrize("body", BAD_ORDERS)
async def test_an_order_that_makes_no_sense_is_refused(cluster: Any, body: Any) -> None:
    await start(cluster)
    refused = await cluster.http("order").post("/orders", json=body, headers=cluster.as_user(ALICE))
    assert refused.status_code in {400, 422}
    assert refused.headers["content-type"] == "application/problem+json"
    assert await rows(cluster, "SELECT * FROM audit_orders") == []


@pytest.mark.parametrize("key", ["x" * 256, "with space", "ümlaut".encode()])
async def test_a_key_that_is_none_is_refused(cluster: Any, key: str | bytes) -> None:
    await start(cluster)
    assert (await create(cluster, {1: 1}, key=key)).status_code == 422


# ---- looking and cancelling -----------------------------------------------------------------------------------------


async def test_orders_are_listed_newest_first_page_by_page(cluster: Any) -> None:
    await start(cluster)
    numbers = []
    for _ in range(5):
        numbers.append((await created(cluster))["order_no"])
        cluster.clock.advance_ms(1)
    await created(cluster, user_id=BOB)
    http, alice = cluster.http("order"), cluster.as_user(ALICE)
    seen, after = [], ""
    while after is not None:
        page = (await http.get(f"/orders?limit=2{after and '&after=' + after}", headers=alice)).json()
        seen += [order["order_no"] for order in page["orders"]]
        after = page["next_after"]
    assert seen == numbers[::-1]
    assert (await http.get("/orders?after=' OR 1=1", headers=alice)).status_code == 422


async def test_anothers_order_does_not_exist(cluster: Any) -> None:
    await start(cluster)
    order = await created(cluster)
    path = f"/orders/{order['order_no']}"
    http, bob = cluster.http("order"), cluster.as_user(BOB)
    assert (await http.get(path, headers=bob)).json()["code"] == "order_not_found"
    assert (await http.post(f"{path}/cancel", headers=bob)).status_code == 404
    assert (await http.get("/orders", headers=bob)).json()["orders"] == []
    assert await prepare(cluster, order, "g1", user_id=BOB) == ("no", "order_not_found")
    assert (await http.get(path)).status_code == 401
    assert (await http.get("/orders/nothing", headers=bob)).status_code == 404
    assert await read(cluster, order) == order


async def test_a_pending_order_can_be_cancelled_and_then_not_be_paid(cluster: Any) -> None:
    await start(cluster)
    order = await created(cluster)
    for _ in range(2):
        assert (await cancel(cluster, order)).json()["status"] == "cancelled"
    assert await prepare(cluster, order, "g1") == ("no", "order_not_payable")
    assert await stock(cluster) == (10, 0, 0)


async def test_an_order_cannot_be_cancelled_while_it_is_paid_or_after(cluster: Any) -> None:
    await start(cluster)
    order = await created(cluster)
    await prepare(cluster, order, "g1")
    assert (await cancel(cluster, order)).json()["code"] == "order_not_cancellable"
    await decide(cluster, order, "g1", "commit")
    assert (await cancel(cluster, order)).status_code == 409
    assert (await read(cluster, order))["status"] == "paid"


async def test_an_order_nobody_paid_expires(cluster: Any) -> None:
    await start(cluster, **{"order.expire_after_s": 10})
    unpaid, paid = await created(cluster), await created(cluster)
    await pay(cluster, paid, "g1")
    cluster.clock.advance_ms(10_000)
    assert await prepare(cluster, unpaid, "g2") == ("no", "order_not_payable")

    async def cancelled() -> bool:
        return (await read(cluster, unpaid))["status"] == "cancelled"

    await cluster.eventually(cancelled)
    assert (await read(cluster, paid))["status"] == "paid"


# ---- taking part in transactions ------------------------------------------------------------------------------------


async def test_a_payment_reserves_and_then_sells(cluster: Any) -> None:
    await start(cluster)
    order = await created(cluster, {1: 2, 2: 1})
    assert await prepare(cluster, order, "g1") == ("yes", "")
    assert (await read(cluster, order))["status"] == "paying"
    assert (await stock(cluster, 1), await stock(cluster, 2)) == ((8, 2, 0), (9, 1, 0))
    assert (await decide(cluster, order, "g1", "commit")).json == {"ack": True}
    paid = await read(cluster, order)
    assert (paid["status"], paid["paid_gid"], paid["out_trade_no"]) == ("paid", "g1", "trade-g1")
    assert (await stock(cluster, 1), await stock(cluster, 2)) == ((8, 0, 2), (9, 0, 1))
    assert await votes(cluster) == [("g1", "order", "payment", "yes", "", "committed")]


async def test_an_aborted_payment_leaves_the_order_payable(cluster: Any) -> None:
    await start(cluster)
    order = await created(cluster)
    await prepare(cluster, order, "g1")
    await decide(cluster, order, "g1", "abort")
    assert (await read(cluster, order))["status"] == "pending"
    assert await stock(cluster) == (10, 0, 0)
    await pay(cluster, order, "g2")
    assert await stock(cluster) == (8, 0, 2)


async def test_an_order_that_expired_while_it_was_held_is_cancelled_by_the_abort(cluster: Any) -> None:
    await start(cluster, **{"order.expire_after_s": 10, "order.orphan_interval_ms": 3_600_000})
    order = await created(cluster)
    await prepare(cluster, order, "g1")
    cluster.clock.advance_ms(11_000)
    assert (await read(cluster, order))["status"] == "paying"
    await decide(cluster, order, "g1", "abort")
    assert (await read(cluster, order))["status"] == "cancelled"
    assert await stock(cluster) == (10, 0, 0)


async def test_an_order_that_expired_while_it_was_held_can_still_be_paid(cluster: Any) -> None:
    await start(cluster, **{"order.expire_after_s": 10, "order.orphan_interval_ms": 3_600_000})
    order = await created(cluster)
    await prepare(cluster, order, "g1")
    cluster.clock.advance_ms(11_000)
    assert (await decide(cluster, order, "g1", "commit")).status == 200
    assert (await read(cluster, order))["status"] == "paid"


async def test_one_transaction_at_a_time_holds_an_order(cluster: Any) -> None:
    await start(cluster)
    order = await created(cluster)
    answers = await asyncio.gather(*(prepare(cluster, order, f"g{number}") for number in range(6)))
    assert sorted(answers) == [("no", "order_not_payable")] * 5 + [("yes", "")]
    winner = f"g{answers.index(('yes', ''))}"
    for number in range(6):
        if f"g{number}" != winner:
            await decide(cluster, order, f"g{number}", "abort")
    assert await stock(cluster) == (8, 2, 0)
    assert (await decide(cluster, order, winner, "commit")).status == 200
    assert await prepare(cluster, order, "g9") == ("no", "order_not_payable")
    assert await stock(cluster) == (8, 0, 2)


async def test_the_last_units_go_to_as_many_orders_as_there_are_units(cluster: Any) -> None:
    await cluster.start("order", replica="order-0", settings=SMALL)
    await cluster.start("order", replica="order-1", settings=SMALL)
    made = [await created(cluster, {1: 3, 2: 1}) for _ in range(6)]
    answers = await asyncio.gather(*(prepare(cluster, order, f"g{n}") for n, order in enumerate(made)))
    assert sorted(answers) == [("no", "out_of_stock")] * 3 + [("yes", "")] * 3
    assert (await stock(cluster, 1), await stock(cluster, 2)) == ((1, 9, 0), (7, 3, 0))


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"amount_minor": 1}, "amount_mismatch"),
        ({"currency": "EUR"}, "amount_mismatch"),
        ({"user_id": BOB}, "order_not_found"),
        ({"order_no": "0"}, "order_not_found"),
    ],
)
async def test_a_payment_that_does_not_fit_the_order_is_refused(
    cluster: Any, changes: dict[str, object], reason: str
) -> None:
    await start(cluster)
    order = await created(cluster)
    assert await prepare(cluster, order, "g1", **changes) == ("no", reason)
    assert await prepare(cluster, order, "g1", **changes) == ("no", reason)
    assert (await decide(cluster, order, "g1", "abort", **changes)).status == 200
    assert await read(cluster, order) == order
    assert await votes(cluster) == [("g1", "order", "payment", "no", reason, "aborted")]


async def test_repeated_messages_change_nothing(cluster: Any) -> None:
    await start(cluster)
    order = await created(cluster)
    for _ in range(3):
        assert await prepare(cluster, order, "g1") == ("yes", "")
    assert await stock(cluster) == (8, 2, 0)
    for _ in range(3):
        assert (await decide(cluster, order, "g1", "commit")).status == 200
    assert await prepare(cluster, order, "g1") == ("yes", "")
    assert await stock(cluster) == (8, 0, 2)
    impossible = await decide(cluster, order, "g1", "abort")
    assert (impossible.status, impossible.json["code"]) == (409, "protocol_violation")
    assert (await read(cluster, order))["status"] == "paid"


async def test_a_prepare_that_comes_after_its_abort_holds_nothing(cluster: Any) -> None:
    await start(cluster)
    order = await created(cluster)
    assert (await decide(cluster, order, "g1", "abort")).status == 200
    assert (await prepare(cluster, order, "g1"))[0] == "no"
    assert await stock(cluster) == (10, 0, 0)
    assert await read(cluster, order) == order


async def test_a_promise_outlives_the_process_that_made_it(cluster: Any) -> None:
    await start(cluster)
    order = await created(cluster)
    await prepare(cluster, order, "g1")
    await cluster.kill("order-0")
    await start(cluster)
    assert await stock(cluster) == (8, 2, 0)
    assert (await decide(cluster, order, "g1", "commit")).status == 200
    assert await stock(cluster) == (8, 0, 2)


async def test_a_refund_returns_the_goods(cluster: Any) -> None:
    await start(cluster)
    order = await created(cluster)
    await pay(cluster, order, "g1")
    refund = {"kind": "refund", "payment_gid": "g1", "refund_no": "r1"}
    assert await prepare(cluster, order, "g2", **refund) == ("yes", "")
    assert (await read(cluster, order))["status"] == "refunding"
    assert await stock(cluster) == (8, 0, 2)
    await decide(cluster, order, "g2", "abort", **refund)
    assert (await read(cluster, order))["status"] == "paid"
    assert await prepare(cluster, order, "g3", **refund) == ("yes", "")
    await decide(cluster, order, "g3", "commit", **refund)
    assert await stock(cluster) == (10, 0, 0)
    assert await rows(cluster, "SELECT status, paid_gid, refund_gid FROM audit_orders") == [("refunded", "g1", "g3")]
    assert await prepare(cluster, order, "g4", **refund) == ("no", "order_not_refundable")
    assert await prepare(cluster, order, "g5") == ("no", "order_not_payable")


@pytest.mark.parametrize("state", ["pending", "other payment", "refunding"])
async def test_only_the_payment_that_was_made_is_refunded(cluster: Any, state: str) -> None:
    await start(cluster)
    order = await created(cluster)
    if state != "pending":
        await pay(cluster, order, "g1")
    if state == "refunding":
        await prepare(cluster, order, "g2", "refund", payment_gid="g1", refund_no="r1")
    before = await read(cluster, order)
    asked = "g0" if state == "other payment" else "g1"
    vote = await prepare(cluster, order, "g3", "refund", payment_gid=asked, refund_no="r3")
    assert vote == ("no", "order_not_refundable")
    await decide(cluster, order, "g3", "abort", "refund", payment_gid=asked, refund_no="r3")
    assert await read(cluster, order) == before


async def test_users_cannot_speak_for_the_coordinator(cluster: Any) -> None:
    await start(cluster)
    order = await created(cluster)
    for path in ("/participant/prepare", "/participant/decision"):
        body = {**message(order, "g1"), "decision": "commit"}
        reply = await cluster.http("order").post(path, json=body, headers=cluster.as_user(ALICE))
        assert reply.status_code == 401
    assert await votes(cluster) == []
