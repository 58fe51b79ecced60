"""Reconciliation finds what differs between the channel's statement and us: exactly that, and once."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from settlement.services.reconciliation.comparing import Comparison, Line, Movement, Period, compare
from tests.mariadb_server import both_backends

from ..money import Shop

GRACE_MS = 1_000
QUICK = {"reconciliation.grace_ms": GRACE_MS}


@pytest.fixture
async def shop(cluster: Any) -> Shop:
    return await Shop(cluster, QUICK).open("channel", "order", "payment", "gateway", "reconciliation")


async def pay(shop: Shop, method: str = "card") -> str:
    """A payment that succeeded; returns its out_trade_no."""
    answer = await shop.pay(await shop.order(), method)
    assert answer.status_code == 201, answer.text
    await shop.settle()  # a card is captured after the answer
    return str(answer.json()["gid"])


async def abort(shop: Shop, method: str) -> str:
    """A payment that the order refused after the channel had held or taken the money."""
    order = await shop.order(method=method)
    answer = await shop.pay(order, method, amount_minor=order["total_minor"] + 1)
    assert answer.status_code == 422
    return str(answer.json()["gid"])


async def plant(shop: Shop, kind: str, channel: str = "card", **line: Any) -> None:
    cluster = shop.cluster
    reply = await cluster.http("channel").post(
        "/operator/statements/plant",
        json={"kind": kind, "channel": channel, **line},
        headers=cluster.as_fault_operator(),
    )
    assert reply.status_code == 201, reply.text


async def call(shop: Shop, method: str, path: str, json: Any = None, status: int = 200) -> Any:
    http = shop.cluster.http("reconciliation")
    reply = await http.request(method, path, json=json, headers=shop.cluster.as_operator())
    assert reply.status_code == status, reply.text
    return reply.json()


async def ended(shop: Shop, run_id: int) -> dict[str, Any]:
    async def over() -> Any:
        run = await call(shop, "GET", f"/runs/{run_id}")
        return run if run["state"] != "running" else None

    found: dict[str, Any] = await shop.cluster.eventually(over)
    return found


async def reconcile(shop: Shop, channel: str = "card", **period: int) -> dict[str, Any]:
    """Run over everything there is; what is there is older than the grace."""
    now_ms = shop.cluster.clock.now_ms()
    asked = {"channel": channel, "from_ms": now_ms - 3_600_000, "until_ms": now_ms + 1, **period}
    run = await call(shop, "POST", "/runs", asked, status=202)
    return await ended(shop, run["run_id"])


async def differences(shop: Shop, query: str = "") -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (await call(shop, "GET", f"/differences{query}"))["differences"]
    return found


def counted(run: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(run[name] for name in ("state", "matched", "pending", "found", "new"))


async def past_the_grace(shop: Shop) -> None:
    await shop.settle()
    shop.cluster.clock.advance_ms(GRACE_MS + 1)


# ---- runs on the real services --------------------------------------------------------------------------------------


@pytest.mark.parametrize("channel", ["card", "wallet"])
async def test_a_clean_period_has_no_differences(shop: Shop, channel: str) -> None:
    numbers = [await pay(shop, channel) for _ in range(3)]
    await shop.settle()
    (charge,) = [row for number, row in (await shop.charges()).items() if number == numbers[0]]
    assert (await shop.refund(numbers[0], charge["captured_minor"])).status_code == 201
    await abort(shop, channel)
    await past_the_grace(shop)
    run = await reconcile(shop, channel)
    assert counted(run) == ("finished", 4, 0, 0, 0)
    assert await differences(shop) == []


async def test_a_wallet_charged_and_given_back_is_no_difference(cluster: Any) -> None:
    shop = await Shop(cluster, QUICK).open("channel", "order", "payment", "gateway", "reconciliation")
    # The wallet takes the money, and its answer and every query are lost: the payment is aborted, the money returned.
    cluster.network.lose_reply("channel", "/wallet/payments", times=1_000)
    answer = await shop.pay(await shop.order(method="wallet"), "wallet")
    assert answer.status_code != 201
    cluster.network.heal()
    await past_the_grace(shop)
    charges = list((await shop.charges()).values())
    assert [(row["captured_minor"] > 0, row["state"]) for row in charges] == [(True, "refunded")]
    assert counted(await reconcile(shop, "wallet")) == ("finished", 1, 0, 0, 0)


@both_backends
async def test_planted_differences_of_every_kind_are_found_and_nothing_else(shop: Shop) -> None:
    honest, less, gone, twice, foreign = [await pay(shop) for _ in range(5)]
    aborted = await shop.pay(await shop.order(count=101))
    assert aborted.json()["code"] == "out_of_stock"
    await shop.settle()
    void = aborted.json()["gid"]
    await plant(shop, "mismatch", out_trade_no=less, amount_minor=7)
    await plant(shop, "mismatch", out_trade_no=foreign, currency="EUR")
    await plant(shop, "missing", out_trade_no=gone)
    await plant(shop, "extra", out_trade_no="nobodys", amount_minor=123)
    await plant(shop, "duplicate", out_trade_no=twice)
    await plant(shop, "conflicting", out_trade_no=void)
    await past_the_grace(shop)
    run = await reconcile(shop)
    assert counted(run) == ("finished", 2, 0, 6, 6), await differences(shop)
    found = {
        item["out_trade_no"]: (item["kind"], item["side"], item["aspect"], item["ours_minor"], item["theirs_minor"])
        for item in await differences(shop)
    }
    price = (await shop.charges())[honest]["captured_minor"]
    voided = (await shop.charges())[void]["authorized_minor"]
    assert found == {
        less: ("mismatch", "", "amount", price, price + 7),
        foreign: ("mismatch", "", "currency", price, price),
        gone: ("missing", "theirs", "", price, None),
        "nobodys": ("missing", "ours", "", None, 123),
        twice: ("duplicate", "", "", price, price),
        void: ("conflicting", "", "", found[void][3], voided),
    }
    metrics = (await shop.cluster.http("reconciliation").get("/metrics")).text
    assert "paylab_reconciliation_differences_open 6.0" in metrics
    await shop.audit()  # the statement lied, the ledger did not


@both_backends
async def test_a_run_repeated_finds_the_same_and_tells_of_it_once(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[dict[str, Any]] = []

    async def add(_tx: Any, *, type: str, subject: str, data: dict[str, Any]) -> None:  # noqa: A002
        told.append({"type": type, **data})

    monkeypatch.setattr(shop.cluster.replica("reconciliation-0").chassis.outbox, "add", add)
    number = await pay(shop)
    await plant(shop, "missing", out_trade_no=number)
    await past_the_grace(shop)
    assert counted(await reconcile(shop))[3:] == (1, 1)
    first = await differences(shop)
    assert counted(await reconcile(shop))[3:] == (1, 0)
    again = await differences(shop)
    assert [item["difference_id"] for item in again] == [item["difference_id"] for item in first]
    assert [(item["type"], item["kind"], item["out_trade_no"]) for item in told] == [
        ("reconciliation.difference_found", "missing", number)
    ]
    assert (told[0]["ours_minor"], told[0]["theirs_minor"], told[0]["channel"]) == (
        first[0]["ours_minor"], None, "card",
    )  # fmt: skip


async def test_a_difference_that_is_gone_is_resolved_by_the_next_run(shop: Shop) -> None:
    number = await pay(shop)
    await plant(shop, "missing", out_trade_no=number)
    await past_the_grace(shop)
    await reconcile(shop)
    removed = await shop.cluster.http("channel").delete(
        "/operator/statements/plant", headers=shop.cluster.as_fault_operator()
    )
    assert removed.status_code == 204
    assert counted(await reconcile(shop)) == ("finished", 1, 0, 0, 0)
    assert [(item["state"], item["resolved_by"]) for item in await differences(shop)] == [("resolved", "run")]
    await plant(shop, "missing", out_trade_no=number)
    await reconcile(shop)
    assert [item["state"] for item in await differences(shop)] == ["open"]


async def test_an_operator_resolves_a_difference_with_a_note_and_it_stays_resolved(shop: Shop) -> None:
    await plant(shop, "missing", out_trade_no=await pay(shop))
    await past_the_grace(shop)
    await reconcile(shop)
    (found,) = await differences(shop)
    path = f"/differences/{found['difference_id']}/resolve"
    await call(shop, "POST", path, {"note": ""}, status=422)
    resolved = await call(shop, "POST", path, {"note": "the bank sent it later"})
    assert (resolved["state"], resolved["note"]) == ("resolved", "the bank sent it later")
    assert (await call(shop, "POST", path, {"note": "again"}, status=409))["code"] == "already_resolved"
    assert counted(await reconcile(shop))[3:] == (1, 0)
    assert await differences(shop, "?state=open") == []


async def test_what_may_still_be_booked_is_pending(shop: Shop) -> None:
    cluster = shop.cluster
    booked, unknown = await pay(shop), "nobodys"
    await shop.settle()
    await plant(shop, "missing", out_trade_no=booked)
    await plant(shop, "extra", out_trade_no=unknown)
    assert counted(await reconcile(shop)) == ("finished", 0, 2, 0, 0)
    cluster.clock.advance_ms(GRACE_MS + 1)
    assert counted(await reconcile(shop)) == ("finished", 0, 0, 2, 2)


async def test_an_uploaded_statement_is_compared_like_a_pulled_one(shop: Shop) -> None:
    numbers = [await pay(shop) for _ in range(3)]
    await past_the_grace(shop)
    now_ms = shop.cluster.clock.now_ms()
    charges = await shop.charges()
    lines = [
        {"id": index, "kind": "capture", "out_trade_no": number, "amount_minor": charges[number]["captured_minor"],
         "currency": "CNY", "booked_at_ms": now_ms - GRACE_MS - 500}
        for index, number in enumerate(numbers[:2], start=1)
    ]  # fmt: skip
    period = {"channel": "card", "from_ms": now_ms - 60_000, "until_ms": now_ms}
    made = await call(shop, "POST", "/statements", {**period, "entries": lines[:1]}, status=201)
    for _ in range(2):
        more = await call(shop, "POST", f"/statements/{made['statement_id']}/entries", {"entries": lines[1:]})
    assert more["lines"] == 2
    run = await call(shop, "POST", "/runs", {"statement_id": made["statement_id"]}, status=202)
    assert counted(await ended(shop, run["run_id"])) == ("finished", 2, 0, 1, 1)
    assert [item["out_trade_no"] for item in await differences(shop)] == [numbers[2]]


async def test_nonsense_is_refused_with_all_its_problems(shop: Shop) -> None:
    line = {
        "id": 0,
        "kind": "refund",
        "out_trade_no": "a b",
        "amount_minor": 1.5,
        "currency": "yuan",
        "booked_at_ms": 1,
    }
    body = {"channel": "cash", "from_ms": -1, "until_ms": 5, "entries": [line]}
    problem = await call(shop, "POST", "/statements", body, status=422)
    places = {error["where"].removeprefix("body.") for error in problem["errors"]}
    assert places == {
        "channel", "from_ms", "entries.0.id", "entries.0.out_trade_no", "entries.0.amount_minor", "entries.0.currency",
    }  # fmt: skip
    await call(shop, "POST", "/runs", {"channel": "card", "from_ms": 5, "until_ms": 5}, status=422)
    await call(shop, "POST", "/runs", {"statement_id": 12345}, status=404)


@pytest.mark.parametrize("service", ["channel", "payment"])
async def test_a_side_that_does_not_answer_fails_the_run_and_finds_nothing(shop: Shop, service: str) -> None:
    await pay(shop)
    await past_the_grace(shop)
    await shop.cluster.kill(f"{service}-0")
    run = await reconcile(shop)
    assert run["state"] == "failed"
    assert service in run["problem"]
    assert await differences(shop) == []


@both_backends
async def test_every_page_is_read(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    from settlement.services.reconciliation import sources

    monkeypatch.setattr(sources, "PAGE_SIZE", 2)
    numbers = [await pay(shop) for _ in range(5)]
    await plant(shop, "duplicate", out_trade_no=numbers[0])
    await plant(shop, "extra", out_trade_no="nobodys")
    await past_the_grace(shop)
    run = await reconcile(shop)
    assert run["lines"] == 7
    assert counted(run) == ("finished", 5, 0, 2, 2)


@both_backends
async def test_a_schedule_reconciles_from_where_it_ended(cluster: Any) -> None:
    shop = await Shop(cluster, {**QUICK, "reconciliation.interval_ms": 50}).open(
        "channel", "order", "payment", "gateway", "reconciliation"
    )
    await plant(shop, "missing", out_trade_no=await pay(shop))
    await past_the_grace(shop)
    assert await cluster.eventually(lambda: differences(shop), 10)
    await plant(shop, "missing", channel="wallet", out_trade_no=await pay(shop, "wallet"))
    await past_the_grace(shop)

    async def both() -> bool:
        return len(await differences(shop)) == 2

    await cluster.eventually(both, 10)
    runs = (await call(shop, "GET", "/runs"))["runs"]
    for channel in ("card", "wallet"):
        periods = sorted((run["from_ms"], run["until_ms"]) for run in runs if run["channel"] == channel)
        assert all(earlier[1] == later[0] for earlier, later in pairwise(periods))


async def test_statements_can_only_be_corrupted_with_the_fault_token(shop: Shop) -> None:
    reply = await shop.cluster.http("channel").post(
        "/operator/statements/plant", json={"kind": "extra", "channel": "card"}, headers=shop.cluster.as_operator()
    )
    assert reply.status_code == 401


# ---- comparing, pure ------------------------------------------------------------------------------------------------

HOUR_MS = 3_600_000
PERIOD = Period(0, HOUR_MS, HOUR_MS + GRACE_MS, HOUR_MS + GRACE_MS, GRACE_MS)


def line(number: str, amount_minor: int = 100, refund_no: str | None = None, entry_id: int = 1, **changes: Any) -> Line:
    kind = "capture" if refund_no is None else "refund"
    made = Line(entry_id, kind, number, refund_no, amount_minor, "CNY", 1_000)  # type: ignore[arg-type]
    return replace(made, **changes)


def movement(number: str, state: str = "captured", refund_no: str | None = None, **changes: Any) -> Movement:
    kind = "payment" if refund_no is None else "refund"
    made = Movement(kind, number, refund_no, 100, "CNY", state, 1_000)  # type: ignore[arg-type]
    return replace(made, **changes)


def verdict(comparison: Comparison) -> str:
    """The one word for a comparison of one item."""
    if comparison.differences:
        (found,) = comparison.differences
        return " ".join(part for part in (found.kind, found.side, found.aspect) if part)
    return "match" if comparison.matched else "pending" if comparison.pending else "nothing"


RECENT = {"created_at_ms": HOUR_MS - 1, "booked_at_ms": HOUR_MS - 1}
LAST_MOMENT = Period(0, HOUR_MS, HOUR_MS, HOUR_MS, GRACE_MS)


@pytest.mark.parametrize(
    ("theirs", "ours", "expected"),
    [
        ([line("a")], [movement("a")], "match"),
        ([line("a")], [movement("a", "refunding")], "match"),
        ([line("a")], [movement("a", "refunded")], "match"),
        ([line("a", 99)], [movement("a")], "mismatch amount"),
        ([line("a", currency="EUR")], [movement("a")], "mismatch currency"),
        ([line("a")], [movement("a", "held")], "mismatch state"),
        ([line("a")], [], "missing ours"),
        ([], [movement("a")], "missing theirs"),
        ([], [movement("a", "voided")], "nothing"),
        ([], [movement("a", "held")], "nothing"),
        ([line("a")], [movement("a", "voided")], "conflicting"),
        ([line("a"), line("a", entry_id=2)], [movement("a")], "duplicate"),
        ([line("a", -100, "r")], [movement("a", refund_no="r")], "match"),
        ([line("a", -90, "r")], [movement("a", refund_no="r")], "mismatch amount"),
        ([line("a", -100, "r")], [movement("a", "voided", refund_no="r")], "conflicting"),
        ([line("a", -100, "r")], [], "missing ours"),
        ([], [movement("a", refund_no="r")], "missing theirs"),
        ([line("a"), line("a", -100, "void-a", entry_id=2)], [], "match"),
        ([line("a"), line("a", -100, "void-a", entry_id=2)], [movement("a", "voided")], "match"),
        ([line("a"), line("a", -100, "void-a", entry_id=2)], [movement("a")], "conflicting"),
        ([line("a"), line("a", -90, "void-a", entry_id=2)], [movement("a", "voided")], "mismatch amount"),
    ],
)
def test_one_item_is_classified(theirs: list[Line], ours: list[Movement], expected: str) -> None:
    found = compare(theirs, ours, PERIOD)
    if expected == "duplicate":
        found.matched -= 1  # the first line of the two
    assert verdict(found) == expected


@pytest.mark.parametrize(
    ("theirs", "ours", "expected"),
    [
        ([line("a", booked_at_ms=HOUR_MS - 1)], [], "pending"),
        ([], [movement("a", created_at_ms=HOUR_MS - 1)], "pending"),
        ([line("a", booked_at_ms=HOUR_MS - 1)], [movement("a", "held", created_at_ms=HOUR_MS - 1)], "pending"),
        ([line("a", 1, booked_at_ms=HOUR_MS - 1)], [movement("a", created_at_ms=HOUR_MS - 1)], "mismatch amount"),
        # Begun in this period, booked in the next: it belongs to the next.
        ([line("a", booked_at_ms=HOUR_MS)], [movement("a", created_at_ms=HOUR_MS - 1)], "nothing"),
        ([line("a", booked_at_ms=1)], [movement("a", created_at_ms=-1)], "match"),
    ],
)
def test_the_edges_of_a_period(theirs: list[Line], ours: list[Movement], expected: str) -> None:
    assert verdict(compare(theirs, ours, LAST_MOMENT)) == expected


@given(data=st.data(), count=st.integers(0, 30))
def test_exactly_what_was_planted_is_found(data: st.DataObject, count: int) -> None:
    kinds = ["match", "amount", "missing theirs", "missing ours", "duplicate", "conflicting"]
    planted = data.draw(st.lists(st.sampled_from(kinds), min_size=count, max_size=count))
    theirs: list[Line] = []
    ours: list[Movement] = []
    for number, kind in enumerate(planted):
        name, entry_id = f"t{number}", 10 * number + 1
        if kind != "missing ours":
            ours.append(movement(name, "voided" if kind == "conflicting" else "captured"))
        if kind != "missing theirs":
            theirs.append(line(name, 99 if kind == "amount" else 100, entry_id=entry_id))
        if kind == "duplicate":
            theirs.append(line(name, entry_id=entry_id + 1))
    found = compare(data.draw(st.permutations(theirs)), data.draw(st.permutations(ours)), PERIOD)
    expected = {
        (f"t{number}", kind if kind != "amount" else "mismatch amount")
        for number, kind in enumerate(planted)
        if kind != "match"
    }
    names = {
        (item.out_trade_no, " ".join(part for part in (item.kind, item.side, item.aspect) if part))
        for item in found.differences
    }
    assert names == expected
    assert len(found.differences) == len(expected)
    assert found.matched == sum(kind in ("match", "duplicate") for kind in planted)
    assert len({item.identity for item in found.differences}) == len(expected)
