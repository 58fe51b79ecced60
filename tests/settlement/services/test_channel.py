"""The channel as a payment service meets it: repetitions, disorder, refusals, and books that add up."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import text

from settlement.services.channel.service import declines

CARD, WALLET = "/card/authorizations", "/wallet/payments"
BOTH = pytest.mark.parametrize("path", [CARD, WALLET])


async def charge(cluster: Any, path: str, number: str = "t1", amount_minor: object = 500, currency: str = "CNY") -> Any:
    body = {"out_trade_no": number, "amount_minor": amount_minor, "currency": currency}
    return await cluster.call("channel", "POST", path, json=body)


async def post(cluster: Any, path: str, json: object = None) -> Any:
    return await cluster.call("channel", "POST", path, json=json)


async def refund(cluster: Any, path: str, refund_no: str, amount_minor: object, number: str = "t1") -> Any:
    body = {"refund_no": refund_no, "amount_minor": amount_minor}
    return await post(cluster, f"{path}/{number}/refunds", body)


async def taken(cluster: Any, path: str, number: str = "t1") -> None:
    """A charge of 500 whose money was taken."""
    assert (await charge(cluster, path, number)).status == 201
    if path == CARD:
        assert (await post(cluster, f"{CARD}/{number}/capture")).status == 200


async def audit(cluster: Any, number: str = "t1") -> tuple[Any, ...]:
    """(state, authorized, captured, refunded) as an auditor finds them."""
    query = "SELECT state, authorized_minor, captured_minor, refunded_minor FROM audit_charges WHERE out_trade_no = :n"
    rows = await cluster.replica("channel-0").chassis.database.read(text(query), {"n": number})
    return tuple(rows[0]) if rows else ()


async def test_a_card_is_authorized_then_captured(cluster: Any) -> None:
    await cluster.start("channel")
    assert (await charge(cluster, CARD)).json["state"] == "authorized"
    assert await audit(cluster) == ("authorized", 500, 0, 0)
    for _ in range(2):
        assert (await post(cluster, f"{CARD}/t1/capture")).json["captured_minor"] == 500
    assert await audit(cluster) == ("captured", 500, 500, 0)


async def test_a_wallet_takes_the_money_at_once(cluster: Any) -> None:
    await cluster.start("channel")
    assert (await charge(cluster, WALLET)).json["state"] == "captured"
    assert (await cluster.call("channel", "GET", f"{WALLET}/t1")).json["captured_minor"] == 500
    assert (await cluster.call("channel", "GET", f"{WALLET}/t2")).json["code"] == "charge_not_found"


@BOTH
async def test_a_repeated_charge_is_one_charge(cluster: Any, path: str) -> None:
    await cluster.start("channel")
    first, second = await charge(cluster, path), await charge(cluster, path)
    assert (first.status, first.json) == (second.status, second.json)
    assert len(await entries(cluster)) == (1 if path == WALLET else 0)


@BOTH
@pytest.mark.parametrize("change", [{"amount_minor": 501}, {"currency": "EUR"}])
async def test_the_same_number_with_another_amount_is_refused(cluster: Any, path: str, change: dict[str, Any]) -> None:
    await cluster.start("channel")
    await taken(cluster, path)
    before = await audit(cluster)
    refused = await charge(cluster, path, **change)
    assert (refused.status, refused.json["code"]) == (409, "amount_conflict")
    assert await audit(cluster) == before


async def test_a_voided_card_can_neither_be_captured_nor_authorized_again(cluster: Any) -> None:
    await cluster.start("channel")
    await charge(cluster, CARD)
    for _ in range(2):
        assert (await post(cluster, f"{CARD}/t1/void")).json["state"] == "voided"
    for late in (await post(cluster, f"{CARD}/t1/capture"), await charge(cluster, CARD)):
        assert (late.status, late.json["code"]) == (409, "cancelled")
    assert await audit(cluster) == ("voided", 500, 0, 0)


@pytest.mark.parametrize(("path", "undo"), [(CARD, "void"), (WALLET, "cancel")])
async def test_a_charge_that_comes_after_its_cancellation_is_refused(cluster: Any, path: str, undo: str) -> None:
    await cluster.start("channel")
    for _ in range(2):
        assert (await post(cluster, f"{path}/t1/{undo}")).json["state"] == "cancelled"
    late = await charge(cluster, path)
    assert (late.status, late.json["code"]) == (409, "cancelled")
    assert await audit(cluster) == ("cancelled", 0, 0, 0)
    assert await entries(cluster) == []


@pytest.mark.parametrize(("path", "undo"), [(CARD, "void"), (WALLET, "cancel")])
async def test_money_that_was_taken_is_refunded_not_voided(cluster: Any, path: str, undo: str) -> None:
    await cluster.start("channel")
    await taken(cluster, path)
    refused = await post(cluster, f"{path}/t1/{undo}")
    assert (refused.status, refused.json["code"]) == (409, "already_captured")
    assert await audit(cluster) == ("captured", 500, 500, 0)


@BOTH
async def test_refunds_never_exceed_what_was_captured(cluster: Any, path: str) -> None:
    await cluster.start("channel")
    await taken(cluster, path)
    assert (await refund(cluster, path, "r1", 300)).json["charge"]["state"] == "captured"
    assert (await refund(cluster, path, "r1", 300)).status == 201
    too_much = await refund(cluster, path, "r2", 201)
    assert (too_much.status, too_much.json["code"]) == (409, "refund_exceeds_captured")
    assert (await refund(cluster, path, "r2", 200)).json["charge"]["state"] == "refunded"
    assert await audit(cluster) == ("refunded", 500, 500, 500)
    assert sum(entry["amount_minor"] for entry in await entries(cluster)) == 0


@BOTH
async def test_a_refund_number_stands_for_one_refund(cluster: Any, path: str) -> None:
    await cluster.start("channel")
    await taken(cluster, path)
    await taken(cluster, path, "t2")
    await refund(cluster, path, "r1", 100)
    for other in (await refund(cluster, path, "r1", 101), await refund(cluster, path, "r1", 100, number="t2")):
        assert (other.status, other.json["code"]) == (409, "refund_conflict")
    assert await audit(cluster) == ("captured", 500, 500, 100)
    assert await audit(cluster, "t2") == ("captured", 500, 500, 0)


async def test_nothing_is_refunded_that_was_not_captured(cluster: Any) -> None:
    await cluster.start("channel")
    await charge(cluster, CARD)
    assert (await refund(cluster, CARD, "r1", 1)).json["code"] == "not_captured"
    assert (await refund(cluster, CARD, "r1", 1, number="t9")).json["code"] == "charge_not_found"
    assert (await post(cluster, f"{CARD}/t9/capture")).json["code"] == "charge_not_found"


async def test_a_declined_charge_stays_declined_when_the_bank_has_changed_its_mind(cluster: Any) -> None:
    await cluster.start("channel", settings={"channel.decline_share": 1.0})
    assert (await charge(cluster, CARD)).json["code"] == "declined"
    await cluster.stop("channel-0")
    await cluster.start("channel", settings={"channel.decline_share": 0.0})
    again = await charge(cluster, CARD)
    assert (again.status, again.json["code"]) == (402, "declined")
    assert (await post(cluster, f"{CARD}/t1/capture")).json["code"] == "declined"
    assert (await post(cluster, f"{CARD}/t1/void")).status == 200
    assert await audit(cluster) == ("declined", 0, 0, 0)


def test_declines_are_a_property_of_the_number_and_the_seed() -> None:
    numbers = [f"t{number}" for number in range(4_000)]
    declined = {number for number in numbers if declines(number, seed=1, share=0.25)}
    assert 0.22 < len(declined) / len(numbers) < 0.28
    assert declined == {number for number in numbers if declines(number, seed=1, share=0.25)}
    assert declined != {number for number in numbers if declines(number, seed=2, share=0.25)}


@given(number=st.text(min_size=1, max_size=64), seed=st.integers(0, 2**63 - 1))
def test_a_share_of_none_declines_none_and_all_declines_all(number: str, seed: int) -> None:
    assert not declines(number, seed=seed, share=0.0)
    assert declines(number, seed=seed, share=1.0)


async def entries(cluster: Any, query: str = "") -> list[dict[str, Any]]:
    day = datetime.fromtimestamp(cluster.clock.now_ms() / 1000, UTC).date()
    found: list[dict[str, Any]] = (await cluster.call("channel", "GET", f"/statements/{day}{query}")).json["entries"]
    return found


async def test_a_statement_lists_the_day_page_by_page(cluster: Any) -> None:
    await cluster.start("channel")
    for number in ("t1", "t2", "t3"):
        await taken(cluster, WALLET, number)
    await refund(cluster, WALLET, "r1", 500, number="t2")
    booked = [(entry["kind"], entry["out_trade_no"], entry["amount_minor"]) for entry in await entries(cluster)]
    assert booked == [("payment", "t1", 500), ("payment", "t2", 500), ("payment", "t3", 500), ("refund", "t2", -500)]
    first = await entries(cluster, "?limit=3")
    rest = await entries(cluster, f"?limit=3&after={first[-1]['id']}")
    assert [entry["kind"] for entry in first + rest] == ["payment", "payment", "payment", "refund"]
    cluster.clock.advance_ms(86_400_000)
    assert await entries(cluster) == []


async def test_card_and_wallet_numbers_do_not_meet(cluster: Any) -> None:
    await cluster.start("channel")
    assert (await charge(cluster, CARD, amount_minor=1)).status == 201
    assert (await charge(cluster, WALLET, amount_minor=2)).status == 201


@BOTH
@pytest.mark.parametrize("amount_minor", [0, -1, 10**12 + 1, 2**63, 2**64 - 1, 1.0, "5", True, None])
async def test_an_amount_that_is_none_is_refused(cluster: Any, path: str, amount_minor: object) -> None:
    await cluster.start("channel")
    assert (await charge(cluster, path, amount_minor=amount_minor)).status in {400, 422}
    await taken(cluster, path, "t2")
    assert (await refund(cluster, path, "r1", amount_minor, number="t2")).status in {400, 422}
    assert await audit(cluster) == ()
    assert await audit(cluster, "t2") == ("captured", 500, 500, 0)


@pytest.mark.parametrize("number", ["", "x" * 65, "a b", "\x00", "é", 5])
async def test_a_number_that_is_none_is_refused(cluster: Any, number: Any) -> None:
    await cluster.start("channel")
    assert (await charge(cluster, CARD, number)).status in {400, 422}


@pytest.mark.parametrize("day", ["2026-02-30", "2026-13-01", "0", "20260101", "1700000000", "0000-00-00"])
async def test_a_day_that_is_none_is_refused(cluster: Any, day: str) -> None:
    await cluster.start("channel")
    assert (await cluster.call("channel", "GET", f"/statements/{day}")).status == 422


@pytest.mark.parametrize("day", ["0001-01-01", "9999-12-31"])
async def test_the_first_and_the_last_day_have_statements(cluster: Any, day: str) -> None:
    await cluster.start("channel")
    assert (await cluster.call("channel", "GET", f"/statements/{day}")).json["entries"] == []


async def test_only_the_platform_reaches_the_channel(cluster: Any) -> None:
    await cluster.start("channel")
    body = {"out_trade_no": "t1", "amount_minor": 5, "currency": "CNY"}
    for path in (CARD, WALLET):
        assert (await cluster.http("channel").post(path, json=body, headers=cluster.as_user(1))).status_code == 401
    assert (await cluster.http("channel").get("/statements/2026-01-01")).status_code == 401
    assert await audit(cluster) == ()
