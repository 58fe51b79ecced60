"""The gateway as its clients, merchants and operators see it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web

from settlement.services.gateway.notifications import allowed, signature
from settlement.services.gateway.risk import RiskGate

from ..money import ALICE, BOB, OPENING_MINOR, Pause, Shop, arm, crashed


@pytest.fixture
async def shop(cluster: Any) -> Shop:
    return await Shop(cluster).open()


# ---- payments and refunds -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["card", "wallet", "balance"])
async def test_pay_and_refund(shop: Shop, method: str) -> None:
    order = await shop.order(method=method)
    paid = await shop.pay(order, method, return_url="http://shop.example/thanks")
    assert paid.status_code == 201
    body = paid.json()
    assert body == {
        "gid": body["gid"],
        "status": "succeeded",
        "order_no": order["order_no"],
        "amount_minor": order["total_minor"],
        "currency": "CNY",
        "method": method,
        "return_url": "http://shop.example/thanks",
    }
    read = await shop.cluster.http("gateway").get(f"/payments/{body['gid']}", headers=shop.cluster.as_user(ALICE))
    assert read.json() == body
    await shop.settle()
    await shop.audit()
    refunded = await shop.refund(body["gid"], order["total_minor"])
    assert refunded.status_code == 201
    assert refunded.json()["payment_gid"] == body["gid"]
    gid = refunded.json()["gid"]
    read = await shop.cluster.http("gateway").get(f"/refunds/{gid}", headers=shop.cluster.as_user(ALICE))
    assert read.json() == refunded.json()
    await shop.settle()
    await shop.audit()
    assert await shop.balance() == OPENING_MINOR


async def test_a_payment_costs_three_commits_at_the_gateway_and_two_at_each_participant(
    cluster: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    unhurried = {"gateway.retry_base_ms": 5_000, "gateway.retry_max_ms": 5_000}
    unhurried |= {"payment.orphan_interval_ms": 60_000, "order.orphan_interval_ms": 60_000}
    # Deliveries of events are commits too, but not the payment's, and many payments share them.
    shop = await Shop(cluster, unhurried | {"outbox.poll_interval_ms": 60_000}).open()
    order = await shop.order()
    counts = {name: count_commits(shop, name, monkeypatch) for name in ("gateway", "order", "payment")}
    assert (await shop.pay(order)).status_code == 201
    await shop.settle()
    assert {name: count() for name, count in counts.items()} == {"gateway": 3, "order": 2, "payment": 2}


def count_commits(shop: Shop, service: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    database = shop.cluster.replica(f"{service}-0").chassis.database
    transaction, counted = database.transaction, []

    def counting(**options: Any) -> Any:
        counted.append(service)
        return transaction(**options)

    monkeypatch.setattr(database, "transaction", counting)
    return lambda: len(counted)


@pytest.mark.parametrize(
    ("changes", "status", "code"),
    [
        ({"order_no": "nosuchorder"}, 404, "order_not_found"),
        ({"amount_minor": 1}, 422, "amount_mismatch"),
    ],
)
async def test_a_refused_payment_says_why_and_moves_nothing(
    shop: Shop, changes: dict[str, object], status: int, code: str
) -> None:
    order = await shop.order(method="balance")
    answer = await shop.pay(order, "balance", key="k", **changes)
    problem = answer.json()
    assert (answer.status_code, problem["code"], problem["status"]) == (status, code, "failed")
    assert problem["gid"]
    await shop.settle()
    await shop.audit()
    assert await shop.balance() == OPENING_MINOR


async def test_a_declined_card_is_402_and_the_order_can_be_paid_otherwise(cluster: Any) -> None:
    shop = await Shop(cluster, {"channel.decline_share": 1.0}).open()
    order = await shop.order()
    answer = await shop.pay(order)
    assert (answer.status_code, answer.json()["code"]) == (402, "declined")
    await shop.settle()
    await shop.audit()
    assert (await shop.pay(order, "balance")).status_code == 201


async def test_too_little_balance_is_402(cluster: Any) -> None:
    shop = await Shop(cluster, {"payment.opening_balance_minor": 1}).open()
    answer = await shop.pay(await shop.order(), "balance")
    assert (answer.status_code, answer.json()["code"]) == (402, "insufficient_funds")


async def test_an_order_is_paid_once_however_many_try(shop: Shop) -> None:
    order = await shop.order()
    answers = await asyncio.gather(*(shop.pay(order, method) for method in ("card", "wallet", "balance")))
    assert sorted(answer.status_code for answer in answers) == [201, 409, 409]
    await shop.settle()
    await shop.audit()
    again = await shop.pay(order)
    assert (again.status_code, again.json()["code"]) == (409, "order_not_payable")


async def test_an_unreachable_participant_is_503_a_definite_failure(shop: Shop) -> None:
    order = await shop.order()
    shop.cluster.network.refuse("payment", "/participant/prepare", times=20)
    answer = await shop.pay(order)
    assert (answer.status_code, answer.json()["status"]) == (503, "failed")
    assert answer.headers["Retry-After"] == "1", "whoever has to come back is told when"
    shop.cluster.network._losses.clear()
    await shop.settle()
    await shop.audit()


async def test_the_wallet_is_not_asked_when_the_order_says_no(shop: Shop) -> None:
    order = await shop.order(method="wallet")
    await shop.pay(order, "wallet", amount_minor=1)
    await shop.settle()
    paths = [path for _, method, path in shop.cluster.network.carried if method == "POST"]
    assert "/wallet/payments" not in paths


async def test_a_refund_happens_once_however_many_try(shop: Shop) -> None:
    order = await shop.order()
    gid = (await shop.pay(order)).json()["gid"]
    await shop.settle()
    answers = await asyncio.gather(*(shop.refund(gid, order["total_minor"]) for _ in range(3)))
    assert sorted(answer.status_code for answer in answers) == [201, 409, 409]
    await shop.settle()
    await shop.audit()
    assert (await shop.charges())[gid]["refunded_minor"] == order["total_minor"]


async def test_a_refund_right_after_the_answer_waits_until_the_payment_is_settled(shop: Shop) -> None:
    order = await shop.order()
    gid = (await shop.pay(order)).json()["gid"]
    assert not await shop.settled(), "the answer follows the decision, not its completion"
    assert (await shop.refund(gid, order["total_minor"])).status_code == 201
    await shop.settle()
    await shop.audit()


async def test_a_refund_of_a_payment_that_does_not_settle_begins_nothing(cluster: Any) -> None:
    quick = {"gateway.prepare_timeout_ms": 500, "gateway.retry_base_ms": 400, "gateway.retry_max_ms": 400}
    shop = await Shop(cluster, quick).open()
    order = await shop.order()
    cluster.network.refuse("payment", "/participant/decision", times=10_000)
    gid = (await shop.pay(order)).json()["gid"]
    refused = await shop.refund(gid, order["total_minor"], key="key-r")
    assert (refused.status_code, refused.json()["code"]) == (409, "payment_not_settled")
    assert refused.headers["retry-after"] == "1"
    cluster.network.heal()
    await shop.settle()
    again = await shop.refund(gid, order["total_minor"], key="key-r")
    assert again.status_code == 201, "nothing was begun with this key, so it is free"


async def test_refunds_of_others_of_nothing_and_of_parts_are_refused(shop: Shop) -> None:
    order = await shop.order()
    total = order["total_minor"]
    failed = (await shop.pay(order, amount_minor=1)).json()["gid"]
    gid = (await shop.pay(order)).json()["gid"]
    await shop.settle()
    refused = [
        (await shop.refund(gid, total, user_id=BOB), 404),
        (await shop.refund("p0", total), 404),
        (await shop.refund(gid, total - 1), 422),
        (await shop.refund(gid, 0), 422),
        (await shop.refund(gid, 2**70), 400),
        (await shop.refund(failed, 1), 409),
    ]
    assert [answer.status_code for answer, _ in refused] == [status for _, status in refused]
    assert (await shop.charges())[gid]["refunded_minor"] == 0


# ---- bad input ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"amount_minor": 0}, 422),
        ({"amount_minor": -100}, 422),
        ({"amount_minor": 10**12 + 1}, 422),
        ({"amount_minor": 2**64}, 400),
        ({"amount_minor": 1.5}, 422),
        ({"amount_minor": "100"}, 422),
        ({"amount_minor": True}, 422),
        ({"currency": "EUR"}, 422),
        ({"currency": "yuan"}, 422),
        ({"method": "cash"}, 422),
        ({"order_no": ""}, 422),
        ({"order_no": "x" * 65}, 422),
        ({"notify_url": "http://example.com/notify"}, 422),
        ({"notify_url": "file:///etc/passwd"}, 422),
        ({"notify_url": "http://user@127.0.0.1/"}, 422),
        ({"surprise": 1}, 422),
    ],
)
async def test_bad_payments_are_refused_and_nothing_begins(shop: Shop, changes: dict[str, object], status: int) -> None:
    answer = await shop.pay(await shop.order(), **{"method": "balance", **changes})
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert await shop.decisions() == []
    assert await shop.balance() == OPENING_MINOR


async def test_a_key_and_a_session_are_required(shop: Shop) -> None:
    order = await shop.order()
    body = {"order_no": order["order_no"], "amount_minor": 1, "currency": "CNY", "method": "card"}
    client = shop.cluster.http("gateway")
    assert (await client.post("/payments", json=body, headers={"Idempotency-Key": "k"})).status_code == 401
    keyless = await client.post("/payments", json=body, headers=shop.cluster.as_user(ALICE))
    assert (keyless.status_code, keyless.json()["code"]) == (400, "idempotency_key_required")
    for key in ("", "x" * 256):
        headers = {**shop.cluster.as_user(ALICE), "Idempotency-Key": key}
        assert (await client.post("/payments", json=body, headers=headers)).status_code == 422


async def test_other_peoples_payments_look_like_none(shop: Shop) -> None:
    gid = (await shop.pay(await shop.order())).json()["gid"]
    client = shop.cluster.http("gateway")
    for path in (f"/payments/{gid}", "/payments?idempotency_key=key-1", f"/refunds/{gid}"):
        assert (await client.get(path, headers=shop.cluster.as_user(BOB))).status_code == 404


async def test_somebody_elses_order_cannot_be_paid(shop: Shop) -> None:
    answer = await shop.pay(await shop.order(ALICE), "balance", user_id=BOB)
    assert (answer.status_code, answer.json()["code"]) == (404, "order_not_found")
    await shop.settle()
    assert await shop.balance(BOB) == OPENING_MINOR


# ---- every way a key can be used again ------------------------------------------------------------------------------


async def test_the_same_request_gets_the_same_answer(shop: Shop) -> None:
    order = await shop.order()
    first = await shop.pay(order, key="k")
    second = await shop.pay(order, key="k")
    assert (first.status_code, first.json()) == (second.status_code, second.json())
    assert "idempotent-replayed" not in first.headers
    assert second.headers["idempotent-replayed"] == "true"
    assert len(await shop.decisions()) == 1


async def test_a_refusal_is_replayed_too(shop: Shop) -> None:
    order = await shop.order()
    first = await shop.pay(order, key="k", amount_minor=1)
    second = await shop.pay(order, key="k", amount_minor=1)
    unlike = {"trace_id"}
    assert first.status_code == second.status_code == 422
    assert {k: v for k, v in first.json().items() if k not in unlike} == {
        k: v for k, v in second.json().items() if k not in unlike
    }


@pytest.mark.parametrize("changes", [{"amount_minor": 1}, {"method": "wallet"}, {"return_url": "http://a.example/"}])
async def test_other_parameters_are_an_error(shop: Shop, changes: dict[str, object]) -> None:
    order = await shop.order()
    await shop.pay(order, key="k")
    answer = await shop.pay(order, key="k", **changes)
    assert (answer.status_code, answer.json()["code"]) == (422, "idempotency_key_reused")
    assert len(await shop.decisions()) == 1


async def test_a_payments_key_is_no_key_for_its_refund(shop: Shop) -> None:
    order = await shop.order()
    gid = (await shop.pay(order, key="k")).json()["gid"]
    answer = await shop.refund(gid, order["total_minor"], key="k")
    assert (answer.status_code, answer.json()["code"]) == (422, "idempotency_key_reused")


async def test_a_refund_is_replayed(shop: Shop) -> None:
    order = await shop.order()
    gid = (await shop.pay(order)).json()["gid"]
    await shop.settle()
    first, second = [await shop.refund(gid, order["total_minor"], key="r") for _ in range(2)]
    assert first.json() == second.json()
    assert second.headers["idempotent-replayed"] == "true"


async def test_keys_belong_to_users(shop: Shop) -> None:
    for user_id in (ALICE, BOB):
        assert (await shop.pay(await shop.order(user_id), user_id=user_id, key="k")).status_code == 201
    assert len(await shop.decisions()) == 2


async def test_while_the_first_is_worked_on_all_others_are_told_to_come_back(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    order = await shop.order()
    pause = Pause(monkeypatch, shop.cluster.replica("gateway-0"), "coordinator.decided.persist.before")
    paying = [asyncio.create_task(shop.pay(order, key="k")) for _ in range(4)]
    await shop.cluster.eventually(lambda: sum(task.done() for task in paying) == 3)
    pause.go_on.set()
    answers = await asyncio.gather(*paying)
    assert sorted(answer.status_code for answer in answers) == [201, 409, 409, 409]
    told = next(answer for answer in answers if answer.status_code == 409)
    assert (told.json()["code"], told.headers["retry-after"]) == ("idempotency_key_in_use", "1")
    assert (await shop.pay(order, key="k")).json()["status"] == "succeeded"
    assert len(await shop.decisions()) == 1


async def test_who_is_assessed_until_the_first_has_paid_is_told_of_the_same_payment(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    order = await shop.order()
    assessing, go_on, admit = asyncio.Event(), asyncio.Event(), RiskGate.admit

    async def slow_at_first(self: RiskGate, *asked: Any) -> str:
        if not assessing.is_set():
            assessing.set()
            await go_on.wait()
        return await admit(self, *asked)

    monkeypatch.setattr(RiskGate, "admit", slow_at_first)
    late = asyncio.create_task(shop.pay(order, key="k"))
    await assessing.wait()
    first = await shop.pay(order, key="k")
    go_on.set()
    assert (first.status_code, first.json()) == ((await late).status_code, (await late).json())
    assert "idempotent-replayed" not in first.headers
    assert (await late).headers["idempotent-replayed"] == "true"
    assert len(await shop.decisions()) == 1


async def test_a_key_can_be_looked_up(shop: Shop) -> None:
    order = await shop.order()
    paid = (await shop.pay(order, key="k")).json()
    client, headers = shop.cluster.http("gateway"), shop.cluster.as_user(ALICE)
    assert (await client.get("/payments", params={"idempotency_key": "k"}, headers=headers)).json() == paid
    assert (await client.get("/payments", params={"idempotency_key": "other"}, headers=headers)).status_code == 404


async def test_a_key_past_its_time_is_a_new_key(cluster: Any) -> None:
    shop = await Shop(cluster, {"gateway.idempotency_ttl_s": 60}).open()
    await shop.pay(await shop.order(), key="k")
    await shop.settle()
    cluster.clock.advance_ms(61_000)
    answer = await shop.pay(await shop.order(), key="k")
    assert answer.status_code == 201
    assert len(await shop.decisions()) == 2


async def test_a_key_outlives_the_gateway_that_took_it(shop: Shop) -> None:
    order = await shop.order()
    first = await shop.pay(order, key="k")
    await shop.cluster.kill("gateway-0")
    await shop.start("gateway", "gateway-1")
    second = await shop.pay(order, key="k", gateway="gateway-1")
    assert second.json() == first.json()


# ---- callbacks ------------------------------------------------------------------------------------------------------


class Merchant:
    """Listens on loopback; answers what it is told to, and `success` from then on."""

    def __init__(self) -> None:
        self.answers: list[str] = []
        self.heard: list[tuple[dict[str, str], bytes]] = []
        self.url = ""

    async def listen(self, request: web.Request) -> web.Response:
        self.heard.append((dict(request.headers), await request.read()))
        return web.Response(text=self.answers.pop(0) if self.answers else "success")


@pytest.fixture
async def merchant() -> AsyncIterator[Merchant]:
    made = Merchant()
    app = web.Application()
    app.router.add_post("/notify", made.listen)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    made.url = f"http://127.0.0.1:{runner.addresses[0][1]}/notify"
    yield made
    await runner.cleanup()


async def notifications(shop: Shop) -> list[dict[str, Any]]:
    return await shop.rows("gateway", "SELECT * FROM notifications")


async def test_the_merchant_is_told_and_can_check_who_says_it(shop: Shop, merchant: Merchant) -> None:
    paid = (await shop.pay(await shop.order(), notify_url=merchant.url)).json()

    async def reached() -> object:
        return (await notifications(shop))[0]["state"] == "delivered"

    await shop.cluster.eventually(reached)
    headers, body = merchant.heard[0]
    timestamp = int(headers["Paylab-Timestamp"])
    assert headers["Paylab-Signature"] == signature(shop.cluster.secrets.notify, timestamp, body)
    told = json.loads(body)
    assert (told["gid"], told["status"], told["kind"]) == (paid["gid"], "succeeded", "payment")


async def test_callbacks_are_repeated_until_success_exactly(cluster: Any, merchant: Merchant) -> None:
    shop = await Shop(cluster, {"gateway.notify_schedule_ms": [5, 5, 5, 5]}).open()
    merchant.answers = ["SUCCESS", "success ", "ok"]
    await shop.pay(await shop.order(), notify_url=merchant.url)

    async def reached() -> object:
        return (await notifications(shop))[0]["state"] == "delivered"

    await cluster.eventually(reached)
    assert len(merchant.heard) == 4
    assert (await notifications(shop))[0]["attempts"] == 4


async def test_callbacks_end_with_the_schedule(cluster: Any, merchant: Merchant) -> None:
    shop = await Shop(cluster, {"gateway.notify_schedule_ms": [5, 5]}).open()
    merchant.answers = ["no"] * 10
    await shop.pay(await shop.order(), notify_url=merchant.url)

    async def reached() -> object:
        return (await notifications(shop))[0]["state"] == "given_up"

    await cluster.eventually(reached)
    assert len(merchant.heard) == 3


async def test_a_callback_survives_the_gateway(shop: Shop, merchant: Merchant) -> None:
    order = await shop.order()
    replica = shop.cluster.replica("gateway-0")
    arm(replica, "coordinator.decided.persist.after")
    paying = asyncio.create_task(shop.pay(order, notify_url=merchant.url))
    await shop.cluster.eventually(lambda: crashed(replica))
    await shop.cluster.kill("gateway-0")
    paying.cancel()
    await asyncio.gather(paying, return_exceptions=True)
    assert merchant.heard == []
    await shop.start("gateway")
    await shop.cluster.eventually(lambda: len(merchant.heard) >= 1)


@pytest.mark.parametrize(
    ("url", "fine"),
    [
        ("http://127.0.0.1:8000/x", True),
        ("http://localhost/x", True),
        ("http://[::1]:80/x", True),
        ("https://127.0.0.1/x", True),
        ("http://127.0.0.1.example.com/", False),
        ("http://example.com#@127.0.0.1/", False),
        ("http://127.0.0.1:99999/", False),
        ("http://a:b@127.0.0.1/", False),
        ("gopher://127.0.0.1/", False),
        ("http://2130706433/", False),
        ("http://[", False),
    ],
)
def test_where_callbacks_may_go(url: str, fine: bool) -> None:
    assert allowed(url, "127.0.0.1, localhost,::1") is fine


# ---- outcomes -------------------------------------------------------------------------------------------------------


async def test_what_a_participant_that_asks_is_told(shop: Shop) -> None:
    order = await shop.order()
    gid = (await shop.pay(order)).json()["gid"]
    refused = (await shop.pay(order)).json()["gid"]
    for asked, outcome in ((gid, "commit"), (refused, "abort"), ("never-heard-of", "abort")):
        reply = await shop.cluster.call("gateway", "GET", f"/transactions/{asked}/outcome")
        assert reply.json == {"outcome": outcome}
    assert (await shop.cluster.http("gateway").get(f"/transactions/{gid}/outcome")).status_code == 401
