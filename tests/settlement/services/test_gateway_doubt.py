"""Transactions in doubt, as operators see and end them."""

from __future__ import annotations

import asyncio
import json
from io import StringIO
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from rich.console import Console

from scenarios.doubt_commands import doubt_table
from settlement.services.gateway.doubt import Case, Party, advice

from ..money import OPENING_MINOR, Shop, arm, crashed

ORDER = {"operator": "ada", "reason": "payment is down for the day"}
UNHURRIED = {"gateway.retry_attempts_max": 3, "payment.orphan_interval_ms": 60_000, "order.orphan_interval_ms": 60_000}
DECISION, STANDINGS = "/participant/decision", "/participant/standings"


async def ask(cluster: Any, gid: str, action: str, **more: object) -> httpx.Response:
    url = f"/operator/transactions/{gid}/{action}"
    answer: httpx.Response = await cluster.http("gateway").post(
        url, json={**ORDER, **more}, headers=cluster.as_operator()
    )
    return answer


async def listed(cluster: Any, state: str = "open") -> list[dict[str, Any]]:
    reply = await cluster.http("gateway").get(
        "/operator/transactions", params={"state": state}, headers=cluster.as_operator()
    )
    assert reply.status_code == 200, reply.text
    found: list[dict[str, Any]] = reply.json()["transactions"]
    return found


async def read(cluster: Any, gid: str) -> dict[str, Any]:
    reply = await cluster.http("gateway").get(f"/operator/transactions/{gid}", headers=cluster.as_operator())
    assert reply.status_code == 200, reply.text
    body: dict[str, Any] = reply.json()
    return body


async def state_reached(shop: Shop, state: str) -> None:
    async def reached() -> object:
        return (await shop.decisions())[-1]["state"] == state

    await shop.cluster.eventually(reached)


async def exhausted(cluster: Any, **settings: object) -> tuple[Shop, str]:
    """A payment that is decided, while its payment service cannot be told."""
    shop = await Shop(cluster, {**UNHURRIED, **settings}).open()
    order = await shop.order()
    cluster.network.refuse("payment", DECISION, times=1_000)
    gid = (await shop.pay(order)).json()["gid"]
    await state_reached(shop, "exhausted")
    return shop, gid


async def undecided(cluster: Any) -> tuple[Shop, str]:
    """A payment whose gateway died with both votes in its memory; nobody may take it over for ten minutes."""
    shop = await Shop(cluster, {**UNHURRIED, "gateway.lease_ms": 600_000}).open()
    await shop.start("gateway", "gateway-1")
    order = await shop.order()
    dying = cluster.replica("gateway-1")
    arm(dying, "coordinator.decided.persist.before")
    paying = asyncio.create_task(shop.pay(order, gateway="gateway-1"))
    await cluster.eventually(lambda: crashed(dying))
    await cluster.kill("gateway-1")
    paying.cancel()
    await asyncio.gather(paying, return_exceptions=True)
    return shop, (await shop.decisions())[0]["gid"]


async def orders_on_record(shop: Shop) -> list[tuple[str, str, str, str, str | None]]:
    rows = await shop.rows("gateway", "SELECT * FROM audit_interventions ORDER BY id")
    return [(r["action"], r["operator"], r["reason"], r["state_before"], r["decision_before"]) for r in rows]


async def events_of(shop: Shop, event_type: str) -> list[dict[str, Any]]:
    """What waits for the audit service, which does not run here."""
    query = f"SELECT data FROM outbox_events WHERE type = '{event_type}' AND subscriber = 'audit' ORDER BY id"
    return [json.loads(row["data"]) for row in await shop.rows("gateway", query)]


# ---- looking --------------------------------------------------------------------------------------------------------


async def test_an_operator_sees_who_waits_for_what_and_what_to_do(cluster: Any) -> None:
    _, gid = await exhausted(cluster)
    (seen,) = await listed(cluster, "exhausted")
    assert (seen["gid"], seen["state"], seen["decision"], seen["epoch"]) == (gid, "exhausted", "commit", 1)
    assert (seen["owner"].partition("/")[0], seen["attempts"], seen["heuristic"]) == ("gateway-0", 3, False)
    order, payment = seen["participants"]
    assert (order["name"], order["standing"], order["vote"], order["in_doubt_ms"]) == (
        "order",
        "committed",
        "yes",
        None,
    )
    assert (payment["name"], payment["standing"], payment["vote"]) == ("payment", "prepared", "yes")
    assert 0 <= payment["in_doubt_ms"] <= seen["age_ms"]
    assert seen["advice"].startswith("exhausted: commit is not acknowledged by payment for ")
    assert f"`paylab doubt commit {gid}`" in seen["advice"]


async def test_the_command_line_shows_what_a_gateway_answers(cluster: Any) -> None:
    _, gid = await exhausted(cluster)
    shown = Console(width=120, file=StringIO(), record=True)
    shown.print(doubt_table(await listed(cluster, "exhausted")))
    text = shown.export_text()
    for said in (gid, "exhausted", "commit", "gateway-0, epoch 1", "3 retries", "order: voted yes, committed"):
        assert said in text
    assert "payment: voted yes, in doubt for" in text


async def test_a_participant_that_does_not_answer_is_shown_as_such(cluster: Any) -> None:
    _, gid = await exhausted(cluster)
    cluster.network.refuse("payment", STANDINGS, times=20)
    seen = await read(cluster, gid)
    assert [party["standing"] for party in seen["participants"]] == ["committed", "unreachable"]
    assert "payment does not answer" in seen["advice"]


async def test_what_is_young_is_not_in_doubt_yet(cluster: Any) -> None:
    await exhausted(cluster)
    headers, params = cluster.as_operator(), {"state": "open", "older_than_ms": 3_600_000}
    url = "/operator/transactions"
    assert (await cluster.http("gateway").get(url, params=params, headers=headers)).json() == {"transactions": []}
    cluster.clock.advance_ms(3_600_000)
    assert len((await cluster.http("gateway").get(url, params=params, headers=headers)).json()["transactions"]) == 1


async def test_operators_need_their_token_a_name_a_reason_and_an_existing_transaction(cluster: Any) -> None:
    await Shop(cluster).open()
    client, headers = cluster.http("gateway"), cluster.as_operator()
    for action in ("commit", "abort", "resume", "forget"):
        url = f"/operator/transactions/p1/{action}"
        assert (await client.post(url, json=ORDER)).status_code == 401
        assert (await client.post(url, json=ORDER, headers=cluster.as_user(7))).status_code == 401
        assert (await client.post(url, json={"operator": "ada"}, headers=headers)).status_code == 422
        assert (await client.post(url, headers=headers)).status_code == 422
        assert (await ask(cluster, "p1", action)).json()["code"] == "transaction_not_found"
    assert (await client.get("/operator/transactions/p1", headers=headers)).status_code == 404
    assert (await client.get("/operator/transactions/p1")).status_code == 401


# ---- with the decision ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("action", ["resume", "commit"])
async def test_an_operator_has_the_decision_told_again_once_the_participant_is_back(cluster: Any, action: str) -> None:
    shop, gid = await exhausted(cluster)
    cluster.network.heal()
    answer = await ask(cluster, gid, action)
    assert (answer.status_code, answer.json()["state"]) == (200, "decided")
    await shop.settle()
    await shop.audit()
    (row,) = await shop.decisions()
    assert (bool(row["heuristic"]), row["overruled"], row["epoch"]) == (False, None, 2)
    assert await orders_on_record(shop) == [(action, "ada", ORDER["reason"], "exhausted", "commit")]
    assert [made["action"] for made in (await read(cluster, gid))["interventions"]] == [action]
    assert (await ask(cluster, gid, action)).json()["code"] == "already_closed"


async def test_an_order_is_told_to_the_audit_trail_with_who_and_why(cluster: Any) -> None:
    shop, gid = await exhausted(cluster)
    await ask(cluster, gid, "resume")
    (told,) = await events_of(shop, "transaction.intervened")
    assert (told["gid"], told["action"], told["operator"], told["reason"]) == (gid, "resume", "ada", ORDER["reason"])
    assert (told["state_before"], told["decision_before"]) == ("exhausted", "commit")


# ---- without a decision ---------------------------------------------------------------------------------------------


async def test_an_operator_aborts_what_nobody_decided_and_that_is_a_heuristic_decision(cluster: Any) -> None:
    shop, gid = await undecided(cluster)
    (seen,) = await listed(cluster)
    assert seen["advice"].startswith("wait: gateway-1 is collecting the votes; its lease ends in ")
    assert (await ask(cluster, gid, "abort")).json()["decision"] == "abort"
    await shop.settle()
    await shop.audit()
    (row,) = await shop.decisions()
    assert (row["decision"], row["reason"], bool(row["heuristic"])) == ("abort", "operator", True)
    assert await orders_on_record(shop) == [("abort", "ada", ORDER["reason"], "preparing", None)]
    assert [told["reason"] for told in await events_of(shop, "payment.failed")] == ["operator"]


async def test_an_operator_commits_what_everybody_voted_yes_to(cluster: Any) -> None:
    shop, gid = await undecided(cluster)
    assert (await ask(cluster, gid, "commit")).json()["decision"] == "commit"
    await shop.settle()
    await shop.audit()
    assert bool((await shop.decisions())[0]["heuristic"])


async def test_what_somebody_cannot_commit_is_not_committed(cluster: Any) -> None:
    shop = await Shop(cluster, {**UNHURRIED, "channel.decline_share": 1.0}).open()
    cluster.network.refuse("payment", DECISION, times=1_000)
    gid = (await shop.pay(await shop.order())).json()["gid"]
    await state_reached(shop, "exhausted")
    refused = await ask(cluster, gid, "commit", against_decision=True)
    assert (refused.status_code, refused.json()["code"]) == (409, "cannot_commit")
    assert await orders_on_record(shop) == []


# ---- against the decision -------------------------------------------------------------------------------------------


async def test_against_a_durable_decision_an_operator_has_to_insist(cluster: Any) -> None:
    shop, gid = await exhausted(cluster)
    refused = await ask(cluster, gid, "abort")
    assert (refused.status_code, refused.json()["code"]) == (409, "contradicts_decision")
    (row,) = await shop.decisions()
    assert (row["state"], row["epoch"], bool(row["heuristic"])) == ("exhausted", 1, False)
    assert await orders_on_record(shop) == []


async def test_a_decision_against_the_protocols_splits_the_participants_and_everything_is_on_record(
    cluster: Any,
) -> None:
    shop, gid = await exhausted(cluster)
    cluster.network.heal()
    ordered = (await ask(cluster, gid, "abort", against_decision=True)).json()
    assert (ordered["decision"], ordered["overruled"], ordered["heuristic"]) == ("commit", "abort", True)

    async def payment_gave_up() -> object:
        return (await shop.votes("payment"))[gid]["outcome"] == "aborted"

    await cluster.eventually(payment_gave_up)
    assert (await shop.votes("order"))[gid]["outcome"] == "committed"  # the damage
    (row,) = await shop.decisions()
    assert (row["decision"], row["overruled"], bool(row["heuristic"])) == ("commit", "abort", True)
    advised = (await read(cluster, gid))["advice"]
    assert advised.startswith("heuristic damage: order has committed")
    # The damage is settled by hand; then the record can be closed.
    assert (await ask(cluster, gid, "forget")).json()["state"] == "closed"
    assert [action for action, *_ in await orders_on_record(shop)] == ["abort", "forget"]


async def test_a_participant_that_asks_after_an_overruling_hears_what_the_operator_said(cluster: Any) -> None:
    _, gid = await exhausted(cluster)
    await ask(cluster, gid, "abort", against_decision=True)
    reply = await cluster.call("gateway", "GET", f"/transactions/{gid}/outcome")
    assert reply.json["outcome"] == "abort"


# ---- forgetting -----------------------------------------------------------------------------------------------------


async def test_a_record_is_not_forgotten_while_somebody_is_or_may_be_in_doubt(cluster: Any) -> None:
    _, gid = await exhausted(cluster)
    refused = await ask(cluster, gid, "forget")
    assert (refused.status_code, refused.json()["code"]) == (409, "not_resolved")
    assert "payment is prepared" in refused.json()["detail"]
    cluster.network.refuse("payment", STANDINGS, times=20)
    assert "payment is unreachable" in (await ask(cluster, gid, "forget")).json()["detail"]


async def test_a_record_that_everybody_applied_is_forgotten_and_that_is_on_record(cluster: Any) -> None:
    shop, gid = await exhausted(cluster, **{"payment.orphan_interval_ms": 20})

    async def learned_by_asking() -> object:
        return (await shop.votes("payment"))[gid]["outcome"] == "committed"

    await cluster.eventually(learned_by_asking)
    assert (await shop.votes("payment"))[gid]["inquiries"] >= 1
    assert f"`paylab doubt forget {gid}`" in (await read(cluster, gid))["advice"]
    assert (await ask(cluster, gid, "forget")).json()["state"] == "closed"
    (row,) = await shop.decisions()
    assert (row["state"], row["decision"], bool(row["heuristic"])) == ("closed", "commit", True)
    assert (await ask(cluster, gid, "forget")).json()["code"] == "already_closed"


async def test_an_impossible_order_leaves_the_transaction_to_its_driver(cluster: Any) -> None:
    shop = await Shop(cluster).open()
    gid = (await shop.pay(await shop.order())).json()["gid"]
    await shop.settle()
    for action in ("commit", "abort", "resume", "forget"):
        assert (await ask(cluster, gid, action)).json()["code"] == "already_closed"
    assert (await shop.decisions())[0]["epoch"] == 1
    assert await orders_on_record(shop) == []
    assert await shop.balance() == OPENING_MINOR


# ---- advice: pure ---------------------------------------------------------------------------------------------------

NOW_MS = 1_000_000
YES = {"vote": "yes", "voted_at_ms": NOW_MS - 500}
ORDERED, PAID = Party("order", "committed", **YES), Party("payment", "committed", **YES)  # type: ignore[arg-type]
IN_DOUBT = Party("payment", "prepared", **YES)  # type: ignore[arg-type]


def case(*parties: Party, **columns: Any) -> Case:
    row = {
        "gid": "p1", "method": "card", "kind": "payment", "state": "decided", "decision": "commit", "reason": "",
        "epoch": 1, "owner": "gateway-1/3fe2", "lease_until_ms": NOW_MS + 3_000, "attempts": 4, "heuristic": False,
        "overruled": None, "begun_at_ms": NOW_MS - 301_000, "decided_at_ms": NOW_MS - 300_000,
    }  # fmt: skip
    return Case(SimpleNamespace(**{**row, **columns}), parties, NOW_MS)  # type: ignore[arg-type]


PREPARING = {"state": "preparing", "decision": None}
EXHAUSTED = {"state": "exhausted"}
OVERRULED = {"overruled": "abort", "heuristic": True}
LAPSED = {"lease_until_ms": NOW_MS - 4_000}
HELD, GONE = Party("order", "prepared", "yes"), Party("payment", "aborted")


@pytest.mark.parametrize(
    ("seen", "words"),
    [
        (case(ORDERED, IN_DOUBT), "wait: all voted yes, decision durable: commit is being delivered to payment"),
        (case(ORDERED, IN_DOUBT), "(try 5 by gateway-1)"),
        (case(ORDERED, IN_DOUBT, **LAPSED), "the lease of gateway-1 ended 4 s ago, another gateway goes on"),
        (case(ORDERED, PAID), "wait: everybody has applied commit, the record is about to be closed"),
        (case(ORDERED, PAID, **EXHAUSTED), "`paylab doubt forget p1` closes the record"),
        (case(ORDERED, IN_DOUBT, **EXHAUSTED), "commit is not acknowledged by payment for 5 min; payment answers"),
        (case(HELD, IN_DOUBT, **PREPARING), "wait: gateway-1 is collecting the votes; its lease ends in 3 s"),
        (case(HELD, IN_DOUBT, **PREPARING, **LAPSED), "look for `recovery` in the gateways' logs"),
        (case(ORDERED, GONE, **OVERRULED), "heuristic damage: order has committed, and the order to abort"),
        (case(ORDERED, GONE, **OVERRULED), "settle the difference by hand, then `paylab doubt forget p1`"),
        (case(ORDERED, IN_DOUBT, **OVERRULED), "wait until nobody is in doubt"),
        (case(HELD, IN_DOUBT, **OVERRULED), "overruled by an operator (the decision was commit): abort is being"),
        (case(HELD, IN_DOUBT, decision="abort", reason="declined"), "decision durable (declined): abort is being"),
        (case(ORDERED, PAID, state="closed"), "nothing: it is closed"),
    ],
)
def test_advice(seen: Case, words: str) -> None:
    assert words in advice(seen)
