"""The payment service as a participant, as customers see their balance, and as an auditor sees the books."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from settlement.services.payment.channel import Channel

from ..money import ALICE, BOB, OPENING_MINOR, Shop

AMOUNT = 500


@pytest.fixture
async def shop(cluster: Any) -> Shop:
    return await Shop(cluster).open("channel", "payment")


def message(gid: str = "p1", method: str = "card", kind: str = "payment", **changes: Any) -> dict[str, Any]:
    payload = {
        "user_id": ALICE,
        "order_no": "order-1",
        "amount_minor": AMOUNT,
        "currency": "CNY",
        "method": method,
        "out_trade_no": gid,
    }
    return {"gid": gid, "kind": kind, "payload": {**payload, **changes}}


async def prepare(shop: Shop, body: dict[str, Any]) -> dict[str, Any]:
    reply = await shop.cluster.call("payment", "POST", "/participant/prepare", json=body, timeout_ms=5_000)
    assert reply.status == 200, reply.json
    answer: dict[str, Any] = reply.json
    return answer


async def decide(shop: Shop, body: dict[str, Any], decision: str) -> Any:
    body = {**body, "decision": decision}
    return await shop.cluster.call("payment", "POST", "/participant/decision", json=body, timeout_ms=5_000)


async def state_at_channel(shop: Shop, number: str = "p1") -> str | None:
    charge = (await shop.charges()).get(number)
    return None if charge is None else str(charge["state"])


async def held_by(shop: Shop, account: str) -> int:
    sql = (
        f"SELECT COALESCE(SUM(amount_minor), 0) AS s FROM audit_postings WHERE layer='pending' AND account='{account}'"
    )
    return int((await shop.rows("payment", sql))[0]["s"])


# ---- the three methods ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "prepared", "committed", "aborted"),
    [
        ("card", "authorized", "captured", "voided"),
        ("wallet", "captured", "captured", "refunded"),
        ("balance", None, None, None),
    ],
)
async def test_what_each_method_does_at_the_channel(
    shop: Shop, method: str, prepared: str | None, committed: str | None, aborted: str | None
) -> None:
    for gid, decision, state in (("p1", "commit", committed), ("p2", "abort", aborted)):
        body = message(gid, method)
        assert (await prepare(shop, body))["vote"] == "yes"
        assert await state_at_channel(shop, gid) == prepared
        assert (await decide(shop, body, decision)).json == {"ack": True}
        assert await state_at_channel(shop, gid) == state


async def test_a_hold_is_out_of_reach_until_it_is_released(shop: Shop) -> None:
    body = message(method="balance")
    await prepare(shop, body)
    assert await shop.balance() == OPENING_MINOR - AMOUNT
    await decide(shop, body, "abort")
    assert await shop.balance() == OPENING_MINOR
    assert await held_by(shop, f"user:{ALICE}") == 0


async def test_a_customer_cannot_spend_the_same_balance_twice(shop: Shop) -> None:
    bodies = [message(f"p{n}", "balance", amount_minor=OPENING_MINOR - 1) for n in range(5)]
    answers = await asyncio.gather(*(prepare(shop, body) for body in bodies))
    assert sorted(answer["vote"] for answer in answers) == ["no"] * 4 + ["yes"]
    assert {answer["reason"] for answer in answers if answer["vote"] == "no"} == {"insufficient_funds"}
    assert await shop.balance() == 1


async def test_a_declined_card_is_a_no_and_holds_nothing(cluster: Any) -> None:
    shop = Shop(cluster, {"channel.decline_share": 1.0})
    await shop.open("channel", "payment")
    body = message()
    assert await prepare(shop, body) == {"vote": "no", "reason": "declined"}
    assert (await decide(shop, body, "abort")).status == 200
    assert await shop.rows("payment", "SELECT * FROM audit_postings") == []


# ---- disorder -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["card", "wallet", "balance"])
async def test_duplicates_change_nothing(shop: Shop, method: str) -> None:
    body = message(method=method)
    answers = await asyncio.gather(*(prepare(shop, body) for _ in range(5)))
    assert [answer["vote"] for answer in answers] == ["yes"] * 5
    replies = await asyncio.gather(*(decide(shop, body, "commit") for _ in range(5)))
    assert [reply.status for reply in replies] == [200] * 5
    assert (await prepare(shop, body))["vote"] == "yes"
    posted = await shop.rows("payment", "SELECT * FROM audit_postings WHERE gid='p1' AND layer='posted'")
    assert sorted(row["amount_minor"] for row in posted) == [-AMOUNT, AMOUNT]


async def test_the_opposite_decision_is_refused(shop: Shop) -> None:
    body = message()
    await prepare(shop, body)
    await decide(shop, body, "commit")
    reply = await decide(shop, body, "abort")
    assert (reply.status, reply.json["code"]) == (409, "protocol_violation")
    assert await state_at_channel(shop) == "captured"


async def test_a_commit_that_nobody_promised_is_refused(shop: Shop) -> None:
    reply = await decide(shop, message(), "commit")
    assert (reply.status, reply.json["code"]) == (409, "protocol_violation")
    assert await shop.rows("payment", "SELECT * FROM audit_postings") == []


@pytest.mark.parametrize("number", ["..", "../p1", "p1/void", "p1?x=1", "p1\x0b", "p1%2f", ""])
@pytest.mark.parametrize("name", ["out_trade_no", "payment_gid", "refund_no"])
async def test_a_number_that_would_lead_elsewhere_at_the_channel_is_refused(shop: Shop, name: str, number: str) -> None:
    reply = await decide(shop, message(method="wallet", **{name: number}), "abort")
    assert (reply.status, reply.json["code"]) == (422, "validation_failed")
    assert [error["where"] for error in reply.json["errors"]] == [f"body.payload.{name}"]


@pytest.mark.parametrize("method", ["card", "wallet", "balance"])
async def test_an_abort_before_any_prepare_keeps_the_late_prepare_out(shop: Shop, method: str) -> None:
    body = message(method=method)
    assert (await decide(shop, body, "abort")).status == 200
    assert (await shop.votes("payment"))["p1"]["vote"] is None
    assert (await prepare(shop, body))["vote"] == "no"
    assert await state_at_channel(shop) in (None, "cancelled")
    assert await held_by(shop, f"user:{ALICE}") == 0


@pytest.mark.parametrize("method", ["card", "wallet"])
@pytest.mark.parametrize("order", ["charge first", "abort first"])
async def test_an_abort_overtakes_a_prepare_that_is_still_at_the_channel(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, method: str, order: str
) -> None:
    at_channel, go_on = asyncio.Event(), asyncio.Event()
    charge = Channel.charge

    async def slow(self: Channel, payload: Any) -> Any:
        made = await charge(self, payload) if order == "charge first" else None
        at_channel.set()
        await go_on.wait()
        return made or await charge(self, payload)

    released = []
    release = Channel.release

    async def counted(self: Channel, payload: Any) -> None:
        released.append(payload.out_trade_no)
        await release(self, payload)

    monkeypatch.setattr(Channel, "charge", slow)
    monkeypatch.setattr(Channel, "release", counted)
    body = message(method=method)
    preparing = asyncio.create_task(prepare(shop, body))
    await at_channel.wait()
    assert (await decide(shop, body, "abort")).status == 200
    go_on.set()
    assert (await preparing)["vote"] == "no"
    assert released == ["p1", "p1"], "by the abort, and once more when the charge came home"
    charged = (await shop.charges())["p1"]
    assert charged["state"] in ("voided", "cancelled", "refunded")
    assert charged["captured_minor"] == charged["refunded_minor"]
    assert await shop.rows("payment", "SELECT * FROM audit_postings") == []


# ---- a channel that loses answers -----------------------------------------------------------------------------------


async def test_a_lost_wallet_answer_is_resolved_by_asking(shop: Shop) -> None:
    shop.cluster.network.lose_reply("channel", "/wallet/payments")
    body = message(method="wallet")
    assert (await prepare(shop, body))["vote"] == "yes"
    await decide(shop, body, "commit")
    assert (await shop.charges())["p1"]["captured_minor"] == AMOUNT


@pytest.mark.parametrize("method", ["card", "wallet"])
async def test_a_charge_whose_fate_stays_unknown_is_released_by_the_abort(shop: Shop, method: str) -> None:
    path = "/card" if method == "card" else "/wallet"
    shop.cluster.network.lose_reply("channel", path, times=20)
    body = message(method=method)
    assert await prepare(shop, body) == {"vote": "no", "reason": "channel_unavailable"}
    assert "p1" not in await shop.votes("payment"), "an uncertain refusal must leave no record"
    reply = await decide(shop, body, "abort")
    assert reply.status == 503, "the channel is silent: nothing may be acknowledged"
    shop.cluster.network._losses.clear()
    assert (await decide(shop, body, "abort")).status == 200
    charged = (await shop.charges())["p1"]
    assert charged["captured_minor"] == charged["refunded_minor"]
    assert charged["state"] in ("voided", "refunded")


async def test_a_commit_waits_for_the_channel(shop: Shop) -> None:
    body = message()
    await prepare(shop, body)
    shop.cluster.network.refuse("channel", "/card", times=20)
    assert (await decide(shop, body, "commit")).status == 503
    assert (await shop.votes("payment"))["p1"]["outcome"] is None
    shop.cluster.network._losses.clear()
    assert (await decide(shop, body, "commit")).status == 200
    assert await state_at_channel(shop) == "captured"


# ---- refunds --------------------------------------------------------------------------------------------------------


async def paid(shop: Shop, method: str) -> dict[str, Any]:
    body = message(method=method)
    await prepare(shop, body)
    await decide(shop, body, "commit")
    return message("r1", method, "refund", out_trade_no="p1", payment_gid="p1", refund_no="r1")


@pytest.mark.parametrize("method", ["card", "wallet", "balance"])
async def test_a_refund_gives_back_where_it_came_from(shop: Shop, method: str) -> None:
    refund = await paid(shop, method)
    assert (await prepare(shop, refund))["vote"] == "yes"
    assert await state_at_channel(shop) in (None, "captured"), (
        "money given back before the decision cannot be taken again"
    )
    assert (await decide(shop, refund, "commit")).status == 200
    assert await state_at_channel(shop) in (None, "refunded")
    assert await shop.balance() == OPENING_MINOR
    states = {row["gid"]: row["state"] for row in await shop.rows("payment", "SELECT * FROM audit_payments")}
    assert states == {"p1": "refunded", "r1": "captured"}


async def test_a_second_refund_is_refused_and_an_aborted_one_can_be_repeated(shop: Shop) -> None:
    first = await paid(shop, "card")
    second = {**first, "gid": "r2", "payload": {**first["payload"], "refund_no": "r2"}}
    await prepare(shop, first)
    assert await prepare(shop, second) == {"vote": "no", "reason": "payment_not_refundable"}
    await decide(shop, first, "abort")
    third = {**first, "gid": "r3", "payload": {**first["payload"], "refund_no": "r3"}}
    assert (await prepare(shop, third))["vote"] == "yes"
    await decide(shop, third, "commit")
    assert (await shop.charges())["p1"]["refunded_minor"] == AMOUNT


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"user_id": BOB}, "payment_not_found"),
        ({"payment_gid": "p9"}, "payment_not_found"),
        ({"payment_gid": None}, "payment_not_found"),
        ({"amount_minor": AMOUNT - 1}, "amount_mismatch"),
        ({"out_trade_no": "p9"}, "amount_mismatch"),
    ],
)
async def test_a_refund_of_something_else_is_refused(shop: Shop, changes: dict[str, Any], reason: str) -> None:
    refund = await paid(shop, "card")
    refund["payload"].update(changes)
    assert await prepare(shop, refund) == {"vote": "no", "reason": reason}
    assert (await shop.charges())["p1"]["refunded_minor"] == 0


# ---- customers and operators ----------------------------------------------------------------------------------------


async def test_everybody_sees_only_their_own_account(shop: Shop) -> None:
    await prepare(shop, message(method="balance"))
    assert await shop.balance(ALICE) == OPENING_MINOR - AMOUNT
    assert await shop.balance(BOB) == OPENING_MINOR
    assert (await shop.cluster.http("payment").get("/accounts/me")).status_code == 401


async def test_an_account_is_opened_once(shop: Shop) -> None:
    balances = await asyncio.gather(*(shop.balance(ALICE) for _ in range(8)))
    assert balances == [OPENING_MINOR] * 8
    grants = await shop.rows("payment", "SELECT * FROM audit_postings WHERE account = 'equity:grants'")
    assert [row["amount_minor"] for row in grants] == [-OPENING_MINOR]


async def test_the_trial_balance_is_for_operators_and_zero(shop: Shop) -> None:
    await paid(shop, "balance")
    client = shop.cluster.http("payment")
    assert (await client.get("/ledger/trial-balance")).status_code == 401
    report = (await client.get("/ledger/trial-balance", headers=shop.cluster.as_operator())).json()
    assert report["balanced"] is True
    assert {row["total_minor"] for row in report["sums"]} == {0}


async def test_unsigned_prepares_are_refused(shop: Shop) -> None:
    for path in ("/participant/prepare", "/participant/decision"):
        reply = await shop.cluster.http("payment").post(path, json=message())
        assert reply.status_code == 401
    assert await shop.votes("payment") == {}


@pytest.mark.parametrize(
    "changes",
    [
        {"amount_minor": 0},
        {"amount_minor": -5},
        {"amount_minor": 10**12 + 1},
        {"amount_minor": 2**63},
        {"amount_minor": "five"},
        {"method": "cash"},
        {"currency": "yuan"},
        {"user_id": 0},
        {"extra": 1},
    ],
)
async def test_impossible_payloads_are_refused(shop: Shop, changes: dict[str, Any]) -> None:
    body = message(method="balance")
    body["payload"].update(changes)
    reply = await shop.cluster.call("payment", "POST", "/participant/prepare", json=body)
    assert 400 <= reply.status < 500
    assert await shop.balance() == OPENING_MINOR
