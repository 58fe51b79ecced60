"""The coordinator's interpreter: take-overs, fencing, lost answers, and a crash at every point."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from sqlalchemy import text

from settlement.protocol.crashpoints import COORDINATOR_POINTS
from settlement.services.gateway.journal import GatewayJournal

from ..money import Pause, Shop, arm, crashed

PREPARE, DECISION = "/participant/prepare", "/participant/decision"


async def pay_in_background(shop: Shop, method: str = "card", **options: Any) -> asyncio.Task[Any]:
    order = await shop.order(method=method)
    return asyncio.create_task(shop.pay(order, method, **options))


async def drop(task: asyncio.Task[Any]) -> Any:
    """Whatever a client of a dead process got: perhaps an answer, perhaps nothing."""
    await asyncio.wait({task}, timeout=0.05)
    task.cancel()
    (outcome,) = await asyncio.gather(task, return_exceptions=True)
    return outcome


async def until(cluster: Any, condition: Callable[[], Any]) -> None:
    await cluster.eventually(lambda: condition(), within_s=10)


# ---- who may decide -------------------------------------------------------------------------------------------------


async def test_another_replica_finishes_what_a_dead_one_had_decided(cluster: Any) -> None:
    shop = await Shop(cluster).open()
    await shop.start("gateway", "gateway-1")
    dying = cluster.replica("gateway-0")
    arm(dying, "coordinator.decided.persist.after")
    paying = await pay_in_background(shop)
    await until(cluster, lambda: crashed(dying))
    await cluster.kill("gateway-0")
    await drop(paying)
    cluster.clock.advance_ms(2_100)
    await shop.settle()
    await shop.audit()
    (row,) = await shop.decisions()
    assert (row["decision"], row["epoch"]) == ("commit", 2)
    assert row["owner"].startswith("gateway-1/")
    replay = await shop.pay({**row, "total_minor": row["amount_minor"]}, key="key-1", gateway="gateway-1")
    assert replay.json()["status"] == "succeeded"


async def test_nobody_takes_over_before_the_lease_has_lapsed(cluster: Any) -> None:
    shop = await Shop(cluster).open()
    await shop.start("gateway", "gateway-1")
    dying = cluster.replica("gateway-0")
    arm(dying, "coordinator.preparing.persist.after")
    paying = await pay_in_background(shop)
    await until(cluster, lambda: crashed(dying))
    await cluster.kill("gateway-0")
    await drop(paying)
    (begun,) = await shop.decisions()
    told = await shop.pay({**begun, "total_minor": begun["amount_minor"]}, key="key-1", gateway="gateway-1")
    assert told.json()["code"] == "idempotency_key_in_use"
    cluster.clock.advance_ms(2_100)
    await shop.settle()
    await shop.audit()
    assert (await shop.decisions())[0]["decision"] == "abort"


async def test_a_restarted_replica_does_not_wait_for_its_own_lease(cluster: Any) -> None:
    shop = await Shop(cluster, {"gateway.lease_ms": 600_000}).open()
    dying = cluster.replica("gateway-0")
    arm(dying, "coordinator.decided.persist.after")
    paying = await pay_in_background(shop)
    await until(cluster, lambda: crashed(dying))
    await cluster.kill("gateway-0")
    await drop(paying)
    await shop.start("gateway", "gateway-0")
    await shop.settle()
    await shop.audit()
    assert (await shop.decisions())[0]["decision"] == "commit"


async def test_a_paused_coordinator_neither_decides_nor_answers_wrongly(
    cluster: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop = await Shop(cluster).open()
    sleepy = await shop.start("gateway", "gateway-1", **{"gateway.recovery_interval_ms": 60_000})
    pause = Pause(monkeypatch, sleepy, "coordinator.decided.persist.before")
    paying = await pay_in_background(shop, gateway="gateway-1")
    await pause.reached.wait()
    cluster.clock.advance_ms(2_100)

    async def reached() -> object:
        return (await shop.decisions())[0]["decision"] == "abort"

    await until(cluster, reached)
    pause.go_on.set()
    answer = await paying
    assert (answer.status_code, answer.json()["status"]) == (503, "failed")
    await shop.settle()
    await shop.audit()
    (row,) = await shop.decisions()
    assert (row["decision"], row["epoch"]) == ("abort", 2)


async def test_a_coordinator_that_oversleeps_unnoticed_may_still_decide(
    cluster: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop = await Shop(cluster, {"gateway.recovery_interval_ms": 60_000}).open()
    pause = Pause(monkeypatch, cluster.replica("gateway-0"), "coordinator.decided.persist.before")
    paying = await pay_in_background(shop)
    await pause.reached.wait()
    cluster.clock.advance_ms(60_000)
    pause.go_on.set()
    assert (await paying).json()["status"] == "succeeded"


async def test_an_overtaken_coordinator_closes_nothing(cluster: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    shop = await Shop(cluster).open()
    sleepy = await shop.start("gateway", "gateway-1", **{"gateway.recovery_interval_ms": 60_000})
    pause = Pause(monkeypatch, sleepy, "coordinator.closed.persist.before")
    paying = await pay_in_background(shop, gateway="gateway-1")
    assert (await paying).json()["status"] == "succeeded"
    await pause.reached.wait()
    cluster.clock.advance_ms(2_100)
    await shop.settle()
    closed_at_ms = (await shop.decisions())[0]["closed_at_ms"]
    pause.go_on.set()
    await asyncio.sleep(0)
    await shop.audit()
    assert (await shop.decisions())[0]["closed_at_ms"] == closed_at_ms


async def test_a_slow_replica_does_not_take_its_own_live_transaction_over(
    cluster: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop = await Shop(cluster).open()
    pause = Pause(monkeypatch, cluster.replica("gateway-0"), "coordinator.decided.persist.before")
    paying = await pay_in_background(shop)
    await pause.reached.wait()
    cluster.clock.advance_ms(10_000)
    recovered = asyncio.Event()
    claim = GatewayJournal.claim

    def watched(self: GatewayJournal, *arguments: Any) -> Any:
        recovered.set()
        return claim(self, *arguments)

    monkeypatch.setattr(GatewayJournal, "claim", watched)
    await recovered.wait()
    pause.go_on.set()
    assert (await paying).json()["status"] == "succeeded"
    assert (await shop.decisions())[0]["epoch"] == 1


async def test_a_write_that_fails_is_not_taken_for_a_decision(cluster: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    shop = await Shop(cluster).open()
    update, failed = GatewayJournal.update, []

    async def broken(self: GatewayJournal, *arguments: Any) -> bool:
        if not failed:
            failed.append(1)
            raise OSError("no space left on device")
        return await update(self, *arguments)

    monkeypatch.setattr(GatewayJournal, "update", broken)
    paying = await pay_in_background(shop)
    await until(cluster, lambda: failed)
    assert (await shop.decisions())[0]["decision"] is None
    cluster.clock.advance_ms(2_100)
    answer = await paying
    assert answer.json()["status"] == "failed"
    await shop.settle()
    await shop.audit()


# ---- lost messages --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("service", ["order", "payment"])
@pytest.mark.parametrize("method", ["card", "wallet", "balance"])
async def test_lost_acknowledgements_are_asked_for_again(cluster: Any, service: str, method: str) -> None:
    nobody_else_helps = {"http.retry_budget_share": 0.0, "order.orphan_interval_ms": 60_000}
    nobody_else_helps |= {"http.timeout_ms": 300, "payment.orphan_interval_ms": 60_000}
    shop = await Shop(cluster, nobody_else_helps).open()
    cluster.network.lose_reply(service, DECISION, times=15)
    paying = await pay_in_background(shop, method)
    assert (await paying).json()["status"] == "succeeded"
    await shop.settle()
    await shop.audit()


async def test_a_lost_vote_aborts_and_nothing_stays_held(cluster: Any) -> None:
    shop = await Shop(cluster).open()
    cluster.network.lose_reply("payment", PREPARE, times=10)
    paying = await pay_in_background(shop)
    answer = await paying
    assert (answer.status_code, answer.json()["status"]) == (503, "failed")
    await shop.settle()
    await shop.audit()
    assert [charge["state"] for charge in (await shop.charges()).values()] == ["voided"]


async def test_a_silent_participant_is_given_up_after_the_prepare_timeout(cluster: Any) -> None:
    shop = await Shop(cluster, {"gateway.prepare_timeout_ms": 150, "channel.latency_ms": 400}).open()
    paying = await pay_in_background(shop)
    answer = await paying
    assert (answer.status_code, answer.json()["code"]) == (503, "prepare_timeout")
    await shop.settle()
    await shop.audit()


async def test_a_lost_wallet_answer_commits_after_all(cluster: Any) -> None:
    shop = await Shop(cluster).open()
    cluster.network.lose_reply("channel", "/wallet/payments")
    paying = await pay_in_background(shop, "wallet")
    assert (await paying).json()["status"] == "succeeded"
    await shop.settle()
    await shop.audit()


# ---- a crash at every point -----------------------------------------------------------------------------------------


async def a_payment(shop: Shop) -> None:
    order = await shop.order()
    await shop.pay(order)


async def a_payment_then_an_inquiry(shop: Shop) -> None:
    await a_payment(shop)
    await until(shop.cluster, shop.settled)
    await inquire(shop, (await shop.decisions())[0]["gid"])


async def an_inquiry_about_nothing(shop: Shop) -> None:
    await inquire(shop, "never-heard-of")


async def an_inquiry_while_preparing(shop: Shop) -> None:
    shop.cluster.network.lose_reply("payment", PREPARE, times=10)
    paying = await pay_in_background(shop)
    await until(shop.cluster, shop.decisions)
    await inquire(shop, (await shop.decisions())[0]["gid"])
    await paying


async def a_payment_that_cannot_be_told(shop: Shop) -> None:
    shop.cluster.network.refuse("payment", DECISION, times=1_000)
    await a_payment(shop)

    async def reached() -> object:
        return (await shop.decisions())[0]["state"] == "exhausted"

    await until(shop.cluster, reached)
    await inquire(shop, (await shop.decisions())[0]["gid"])


async def a_payment_that_is_taken_over(shop: Shop) -> None:
    shop.cluster.network.refuse("payment", DECISION, times=1_000)
    await a_payment(shop)
    database = shop.cluster.replica("gateway-0").chassis.database
    async with database.transaction() as tx:
        await tx.execute(text("UPDATE transactions SET epoch = epoch + 1, owner = 'gateway-9/x', lease_until_ms = 0"))


async def inquire(shop: Shop, gid: str) -> None:
    await shop.cluster.call("gateway", "GET", f"/transactions/{gid}/outcome")


STORIES: dict[str, Callable[[Shop], Awaitable[None]]] = {
    "coordinator.initial.reply": an_inquiry_about_nothing,
    "coordinator.preparing.reply": an_inquiry_while_preparing,
    "coordinator.closed.reply": a_payment_then_an_inquiry,
    "coordinator.exhausted": a_payment_that_cannot_be_told,
    "coordinator.fenced": a_payment_that_is_taken_over,
}


@pytest.mark.parametrize("point", COORDINATOR_POINTS)
async def test_a_crash_anywhere_is_survived(cluster: Any, point: str) -> None:
    impatient = {"gateway.retry_attempts_max": 3} if point.startswith("coordinator.exhausted") else {}
    shop = await Shop(cluster, impatient).open()
    dying = cluster.replica("gateway-0")
    arm(dying, point)
    story = next((told for prefix, told in STORIES.items() if point.startswith(prefix)), a_payment)
    telling = asyncio.ensure_future(story(shop))
    await until(cluster, lambda: crashed(dying))
    cluster.network._losses.clear()
    await cluster.kill("gateway-0")
    await drop(telling)
    shop.settings.clear()
    await shop.start("gateway")
    for row in await shop.decisions():
        if row["state"] == "exhausted":
            path = f"/operator/transactions/{row['gid']}/resume"
            body = {"operator": "ada", "reason": "the gateway is back"}
            answer = await cluster.http("gateway").post(path, json=body, headers=cluster.as_operator())
            assert answer.status_code == 200
    await shop.settle()
    await shop.audit()
    order = await shop.order()
    assert (await shop.pay(order)).status_code == 201, "the platform works again"
    await shop.settle()
    await shop.audit()
