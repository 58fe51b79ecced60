"""Risk as operators set it, as the gateway asks it, and as payments meet it; also when it is not there."""

from __future__ import annotations

import asyncio
import os
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from settlement.services.risk.judging import RuleInForce, Usage, judge
from settlement.services.risk.schemas import AmountLimit, AssessmentRequest, BlockedUsers, VelocityCount
from tests.mariadb_server import both_backends

from ..money import ALICE, BOB, Shop

LIMIT = {"kind": "amount_limit", "currency": "CNY", "amount_minor_max": 1_000}
THREE_A_MINUTE = {"kind": "velocity_count", "count_max": 3, "window_s": 60}


async def add_rule(cluster: Any, name: str, rule: dict[str, Any], risk: str = "risk-0") -> Any:
    reply = await cluster.http(risk).post("/rules", json={"name": name, "rule": rule}, headers=cluster.as_operator())
    assert reply.status_code == 201, reply.text
    return reply.json()


async def assess(cluster: Any, key: str = "k1", **changes: Any) -> dict[str, Any]:
    asked = {"payment_key": key, "user_id": ALICE, "order_no": "20260101-1", "amount_minor": 500, "currency": "CNY"}
    body = {**asked, "method": "card", **changes}
    reply = await cluster.call("risk", "POST", "/assessments", json=body, timeout_ms=15_000)
    assert reply.status == 200, reply.json
    found: dict[str, Any] = reply.json
    return found


def names(assessment: dict[str, Any]) -> list[str]:
    return [rule["name"] for rule in assessment["rules"]]


# ---- rules ----------------------------------------------------------------------------------------------------------


async def test_without_rules_everything_is_allowed(cluster: Any) -> None:
    await cluster.start("risk")
    found = await assess(cluster)
    assert (found["verdict"], found["rules"]) == ("allow", [])


@pytest.mark.parametrize(
    ("rule", "asked"),
    [
        (LIMIT, {"amount_minor": 1_001}),
        ({"kind": "blocked_users", "user_ids": [BOB]}, {"user_id": BOB}),
        ({"kind": "blocked_orders", "prefixes": ["2025", "2026"]}, {}),
        ({"kind": "velocity_count", "count_max": 0, "window_s": 1}, {}),
        ({"kind": "velocity_sum", "currency": "CNY", "sum_minor_max": 499, "window_s": 1}, {}),
    ],
)
@pytest.mark.parametrize("verdict", ["review", "deny"])
async def test_each_kind_of_rule_fires_with_its_verdict(
    cluster: Any, rule: dict[str, Any], asked: dict[str, Any], verdict: str
) -> None:
    await cluster.start("risk")
    await add_rule(cluster, "the-rule", {**rule, "verdict": verdict})
    found = await assess(cluster, **asked)
    assert (found["verdict"], names(found)) == (verdict, ["the-rule"])
    assert found["rules"][0]["reason"]


async def test_the_severest_rule_decides_and_all_that_fire_are_named(cluster: Any) -> None:
    await cluster.start("risk")
    await add_rule(cluster, "soft", {**LIMIT, "verdict": "review"})
    await add_rule(cluster, "hard", {**LIMIT, "amount_minor_max": 2_000})
    await add_rule(cluster, "other-currency", {**LIMIT, "currency": "EUR", "amount_minor_max": 1})
    await add_rule(cluster, "switched-off", {"kind": "blocked_users", "user_ids": [ALICE], "enabled": False})
    found = await assess(cluster, amount_minor=5_000)
    assert (found["verdict"], names(found)) == ("deny", ["hard", "soft"])
    assert (await assess(cluster, "k2", amount_minor=1_500))["verdict"] == "review"


async def test_a_wrong_rule_is_refused_with_all_its_problems(cluster: Any) -> None:
    await cluster.start("risk")
    rule = {"kind": "velocity_sum", "currency": "yuan", "sum_minor_max": 0, "window_s": -1, "colour": "red"}
    reply = await cluster.http("risk").post(
        "/rules", json={"name": "Not A Name", "rule": rule}, headers=cluster.as_operator()
    )
    assert reply.status_code == 422
    places = {error["where"].rsplit(".", 1)[-1] for error in reply.json()["errors"]}
    assert places == {"name", "currency", "sum_minor_max", "window_s", "colour"}


@both_backends
async def test_rules_have_versions_and_a_stale_change_is_refused(cluster: Any) -> None:
    await cluster.start("risk")
    http, operator = cluster.http("risk"), cluster.as_operator()
    assert (await add_rule(cluster, "limit", LIMIT))["version"] == 1
    again = await http.post("/rules", json={"name": "limit", "rule": LIMIT}, headers=operator)
    assert (again.status_code, again.json()["code"]) == (409, "rule_exists")
    change = {"version": 1, "rule": {**LIMIT, "amount_minor_max": 100}}
    answers = await asyncio.gather(*(http.put("/rules/limit", json=change, headers=operator) for _ in range(3)))
    assert sorted(answer.status_code for answer in answers) == [200, 409, 409]
    assert (await assess(cluster, amount_minor=101))["rules"][0]["version"] == 2
    assert (await http.delete("/rules/limit?version=1", headers=operator)).json()["code"] == "rule_changed"
    assert (await http.delete("/rules/limit?version=2", headers=operator)).status_code == 204
    assert (await assess(cluster, "k2", amount_minor=101))["verdict"] == "allow"
    assert (await add_rule(cluster, "limit", LIMIT))["version"] == 4
    history = (await http.get("/rules/limit/history", headers=operator)).json()["versions"]
    changes = [(entry["version"], entry["change"]) for entry in history]
    assert changes == [(4, "created"), (3, "deleted"), (2, "changed"), (1, "created")]


async def test_a_rule_reaches_the_other_replica(cluster: Any) -> None:
    quick = {"risk.rules_refresh_ms": 10}
    await cluster.start("risk", "risk-0", settings=quick)
    await cluster.start("risk", "risk-1", settings=quick)
    await add_rule(cluster, "limit", {**LIMIT, "amount_minor_max": 1}, risk="risk-1")
    await cluster.stop("risk-1")
    keys = iter(range(10_000))

    async def denied() -> bool:
        return (await assess(cluster, f"k{next(keys)}"))["verdict"] == "deny"

    await cluster.eventually(denied)


# ---- assessments ----------------------------------------------------------------------------------------------------


@both_backends
async def test_a_payment_is_judged_once(cluster: Any) -> None:
    await cluster.start("risk")
    await add_rule(cluster, "few", THREE_A_MINUTE)
    first = await assess(cluster)
    assert [await assess(cluster) for _ in range(5)] == [first] * 5
    assert [(await assess(cluster, key))["verdict"] for key in ("k2", "k3", "k4")] == ["allow", "allow", "deny"]
    assert (await assess(cluster))["verdict"] == "allow"


@both_backends
async def test_a_window_slides_and_refused_payments_do_not_count(cluster: Any) -> None:
    await cluster.start("risk")
    await add_rule(cluster, "few", THREE_A_MINUTE)
    for number in range(3):
        await assess(cluster, f"k{number}")
        cluster.clock.advance_ms(10_000)
    for number in range(3, 6):
        assert (await assess(cluster, f"k{number}"))["verdict"] == "deny"
    assert (await assess(cluster, "bobs", user_id=BOB))["verdict"] == "allow"
    cluster.clock.advance_ms(30_001)
    assert (await assess(cluster, "k6"))["verdict"] == "allow"
    assert (await assess(cluster, "k7"))["verdict"] == "deny"


async def test_an_allowed_payment_does_not_wait_for_the_disk_and_a_refused_one_does(
    cluster: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from settlement.services.risk import api

    monkeypatch.setattr(api, "SYNC_INTERVAL_MS", 3_600_000)
    await cluster.start("risk", settings={"outbox.poll_interval_ms": 60_000})
    await add_rule(cluster, "limit", LIMIT)
    syncs: list[int] = []
    monkeypatch.setattr(os, "fdatasync", syncs.append)
    assert [(await assess(cluster, f"k{number}"))["verdict"] for number in range(3)] == ["allow"] * 3
    assert syncs == []
    assert (await assess(cluster, "large", amount_minor=9_999))["verdict"] == "deny"
    assert len(syncs) == 1


@both_backends
async def test_velocity_counts_right_however_many_ask_at_once(cluster: Any) -> None:
    await cluster.start("risk", "risk-0")
    await add_rule(cluster, "few", THREE_A_MINUTE)
    await add_rule(cluster, "sum", {"kind": "velocity_sum", "currency": "CNY", "sum_minor_max": 2_000, "window_s": 60})
    await cluster.start("risk", "risk-1")
    found = await asyncio.gather(*(assess(cluster, f"k{number}") for number in range(20)))
    assert sum(item["verdict"] == "allow" for item in found) == 3
    same = await asyncio.gather(*(assess(cluster, "same", user_id=BOB) for _ in range(10)))
    assert len({item["assessment_id"] for item in same}) == 1


async def test_operators_see_what_was_refused_and_an_event_tells_of_it(
    cluster: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    replica = await cluster.start("risk")
    told: list[dict[str, Any]] = []

    async def add(_tx: Any, *, type: str, subject: str, data: dict[str, Any]) -> None:  # noqa: A002
        told.append({"type": type, "subject": subject, **data})

    monkeypatch.setattr(replica.chassis.outbox, "add", add)
    await add_rule(cluster, "limit", LIMIT)
    await assess(cluster, "small")
    await assess(cluster, "large", amount_minor=9_999)
    await assess(cluster, "large", amount_minor=9_999)
    listed = await cluster.http("risk").get("/assessments?verdict=deny", headers=cluster.as_operator())
    assert [item["payment_key"] for item in listed.json()["assessments"]] == ["large"]
    refused = {"user_id": ALICE, "order_no": "20260101-1", "amount_minor": 9_999, "verdict": "deny", "rules": ["limit"]}
    assert told == [{"type": "risk.refused", "subject": "20260101-1", **refused}]


# ---- judging, pure --------------------------------------------------------------------------------------------------


@given(
    amount=st.integers(1, 10**6), limit=st.integers(1, 10**6), count=st.integers(0, 20), count_max=st.integers(0, 20)
)
def test_a_payment_is_allowed_exactly_within_every_limit(amount: int, limit: int, count: int, count_max: int) -> None:
    rules = [
        RuleInForce("limit", 1, AmountLimit(kind="amount_limit", currency="CNY", amount_minor_max=limit)),
        RuleInForce("few", 1, VelocityCount(kind="velocity_count", count_max=count_max, window_s=60)),
        RuleInForce("bob", 1, BlockedUsers(kind="blocked_users", user_ids=frozenset({BOB}))),
    ]
    asked = AssessmentRequest(
        payment_key="k", user_id=ALICE, order_no="o", amount_minor=amount, currency="CNY", method="card"
    )
    verdict, fired = judge(rules, asked, {60: Usage(count, {})})
    assert (verdict == "allow") == (amount <= limit and count < count_max)
    assert {rule.name for rule in fired} == {
        name for name, fires in {"limit": amount > limit, "few": count >= count_max}.items() if fires
    }


# ---- payments -------------------------------------------------------------------------------------------------------


def marks(shop: Shop) -> Any:
    return shop.rows("gateway", "SELECT kind, risk FROM transactions ORDER BY begun_at_ms")


async def test_an_allowed_payment_is_marked_and_its_refund_is_not_assessed(cluster: Any) -> None:
    shop = await Shop(cluster).open("channel", "order", "payment", "gateway", "risk")
    order = await shop.order()
    paid = await shop.pay(order)
    assert paid.status_code == 201
    await add_rule(cluster, "nobody", {"kind": "blocked_users", "user_ids": [ALICE]})
    assert (await shop.refund(paid.json()["gid"], order["total_minor"])).status_code == 201
    assert await marks(shop) == [{"kind": "payment", "risk": "allowed"}, {"kind": "refund", "risk": ""}]


@pytest.mark.parametrize(("verdict", "code"), [("deny", "risk_denied"), ("review", "risk_review")])
@pytest.mark.parametrize("mode", ["fail_open", "fail_closed"])
async def test_a_refused_payment_begins_nothing(cluster: Any, verdict: str, code: str, mode: str) -> None:
    shop = Shop(cluster, {"gateway.risk_mode": mode})
    await shop.open("channel", "order", "payment", "gateway", "risk")
    await add_rule(cluster, "nobody", {"kind": "blocked_users", "user_ids": [ALICE], "verdict": verdict})
    order = await shop.order()
    answers = [await shop.pay(order, key="k") for _ in range(2)]
    assert [(answer.status_code, answer.json()["code"]) for answer in answers] == [(403, code)] * 2
    assert "nobody" not in answers[0].text
    assert await shop.decisions() == []
    # The key is free: nothing began with it.
    await cluster.http("risk").delete("/rules/nobody?version=1", headers=cluster.as_operator())
    assert (await shop.pay(order, key="another")).status_code == 201


async def test_a_repeated_payment_is_answered_whatever_risk_says_by_now(cluster: Any) -> None:
    shop = await Shop(cluster, {"gateway.risk_mode": "fail_closed"}).open(
        "channel", "order", "payment", "gateway", "risk"
    )
    order = await shop.order()
    paid = await shop.pay(order, key="k")
    await add_rule(cluster, "nobody", {"kind": "blocked_users", "user_ids": [ALICE]})
    assert (await shop.pay(order, key="k")).json() == paid.json()
    await cluster.stop("risk-0")
    assert (await shop.pay(order, key="k")).json() == paid.json()


async def _down(cluster: Any) -> None:
    await cluster.kill("risk-0")


async def _silent(cluster: Any) -> None:
    cluster.network.lose_reply("risk", "/assessments", times=1_000)


async def _refusing(cluster: Any) -> None:
    cluster.network.refuse("risk", "/assessments", times=1_000)


@pytest.mark.parametrize("trouble", [_down, _silent, _refusing])
async def test_with_risk_in_trouble_fail_open_lets_payments_through_unassessed(cluster: Any, trouble: Any) -> None:
    shop = await Shop(cluster).open("channel", "order", "payment", "gateway", "risk")
    await trouble(cluster)
    assert (await shop.pay(await shop.order())).status_code == 201
    assert await marks(shop) == [{"kind": "payment", "risk": "unassessed"}]
    metrics = (await cluster.http("gateway").get("/metrics")).text
    assert 'paylab_gateway_risk_verdicts_total{verdict="unassessed"} 1.0' in metrics
    await shop.settle()
    await shop.audit()


@pytest.mark.parametrize("trouble", [_down, _silent, _refusing])
async def test_with_risk_in_trouble_fail_closed_begins_nothing(cluster: Any, trouble: Any) -> None:
    shop = await Shop(cluster, {"gateway.risk_mode": "fail_closed"}).open(
        "channel", "order", "payment", "gateway", "risk"
    )
    order = await shop.order()
    await trouble(cluster)
    answer = await shop.pay(order, key="k")
    assert (answer.status_code, answer.json()["code"]) == (503, "risk_unavailable")
    assert await shop.decisions() == []
    cluster.network.heal()
    if trouble is _down:
        await shop.start("risk")
    await shop.pay(order, key="k")
    assert [row["idempotency_key"] for row in await shop.decisions()] == ["k"]


@pytest.mark.parametrize(("mode", "status"), [("fail_open", 201), ("fail_closed", 503)])
async def test_an_operator_can_have_payments_go_on_without_risk(cluster: Any, mode: str, status: int) -> None:
    settings = {"gateway.risk_mode": mode, "degrade.risk": "always"}
    shop = await Shop(cluster, settings).open("channel", "order", "payment", "gateway", "risk")
    assert (await shop.pay(await shop.order())).status_code == status
    assert not any(path == "/assessments" for _, _, path in cluster.network.carried)


async def test_a_slow_risk_costs_a_payment_no_more_than_its_timeout(cluster: Any) -> None:
    shop = await Shop(cluster, {"gateway.risk_timeout_ms": 30}).open("channel", "order", "payment", "gateway", "risk")
    order = await shop.order()
    slow = {"id": "slow", "kind": "latency", "route": "POST /assessments", "delay_ms": 5_000}
    put = await cluster.http("risk").put("/faults", json={"faults": [slow]}, headers=cluster.as_fault_operator())
    assert put.status_code == 200, put.text
    async with asyncio.timeout(3):
        assert (await shop.pay(order)).status_code == 201
    assert await marks(shop) == [{"kind": "payment", "risk": "unassessed"}]


async def test_switched_off_nobody_is_asked(cluster: Any) -> None:
    shop = await Shop(cluster, {"gateway.risk_mode": "off"}).open("channel", "order", "payment", "gateway", "risk")
    await add_rule(cluster, "nobody", {"kind": "blocked_users", "user_ids": [ALICE]})
    assert (await shop.pay(await shop.order())).status_code == 201
    assert await marks(shop) == [{"kind": "payment", "risk": "off"}]
    assert not any(path == "/assessments" for _, _, path in cluster.network.carried)
