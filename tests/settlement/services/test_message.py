"""The message service as users and operators see it: every notice once, only one's own, kept for a while."""

from __future__ import annotations

from typing import Any

import pytest

from settlement.services.message.notices import amount_text

from .backoffice import NOON_MS, ask, decided, deliver, event, order_event

ALICE, BOB = 7, 8
DAY_MS = 86_400_000


async def inbox(cluster: Any, user_id: int = ALICE, **query: object) -> Any:
    reply = await cluster.http("message").get("/messages", params=query, headers=cluster.as_user(user_id))
    assert reply.status_code == 200, reply.text
    return reply.json()


async def kinds(cluster: Any, user_id: int = ALICE) -> list[str]:
    return [message["kind"] for message in (await inbox(cluster, user_id))["messages"]]


async def unread(cluster: Any, user_id: int = ALICE) -> int:
    reply = await cluster.http("message").get("/messages/unread", headers=cluster.as_user(user_id))
    count: int = reply.json()["unread"]
    return count


async def read(cluster: Any, message_id: object, user_id: int = ALICE) -> Any:
    return await cluster.http("message").post(f"/messages/{message_id}/read", headers=cluster.as_user(user_id))


async def test_a_user_is_told_of_everything_that_happens_to_an_order(cluster: Any) -> None:
    await cluster.start("message")
    await deliver(
        cluster,
        "message",
        order_event("created", "o-1", 1234),
        decided("payment.failed", "p1", reason="declined"),
        decided("payment.succeeded", "p2"),
        decided("refund.succeeded", "r1", payment_gid="p2"),
        decided("refund.failed", "r2", payment_gid="p2", reason="channel_unavailable"),
    )
    told = (await inbox(cluster))["messages"]
    assert [message["kind"] for message in reversed(told)] == [
        "order_created", "payment_failed", "payment_succeeded", "refund_succeeded", "refund_failed",
    ]  # fmt: skip
    assert "12.34 CNY" in told[-1]["text"]
    assert "declined" in told[-2]["text"]
    assert (told[-2]["gid"], told[-2]["amount_minor"], told[-2]["occurred_at_ms"]) == ("p1", 500, NOON_MS)


async def test_an_event_makes_one_message_however_often_it_comes(cluster: Any) -> None:
    await cluster.start("message", "message-0")
    await cluster.start("message", "message-1")
    paid = decided("payment.succeeded", "p1")
    for _ in range(3):
        assert await deliver(cluster, "message", paid, paid) == [paid["event_id"]] * 2
    assert await kinds(cluster) == ["payment_succeeded"]
    # Long after: the mark is forgotten, the message is not.
    cluster.clock.advance_ms(15 * DAY_MS)
    await cluster.replica("message-0").sweeper.sweep()
    await deliver(cluster, "message", paid)
    assert await kinds(cluster) == ["payment_succeeded"]


async def test_users_see_and_read_only_their_own(cluster: Any) -> None:
    await cluster.start("message")
    await deliver(cluster, "message", decided("payment.succeeded", "p1"))
    (message,) = (await inbox(cluster))["messages"]
    assert (await inbox(cluster, BOB))["messages"] == []
    refused = await read(cluster, message["id"], BOB)
    assert (refused.status_code, refused.json()["code"]) == (404, "message_not_found")
    assert (await read(cluster, 999)).status_code == 404
    assert (await unread(cluster), await unread(cluster, BOB)) == (1, 0)


async def test_reading_counts_once_and_keeps_its_time(cluster: Any) -> None:
    await cluster.start("message")
    await deliver(cluster, "message", decided("payment.succeeded", "p1"), decided("payment.succeeded", "p2"))
    newest = (await inbox(cluster))["messages"][0]
    assert newest["read_at_ms"] is None
    first = (await read(cluster, newest["id"])).json()
    cluster.clock.advance_ms(1_000)
    assert (await read(cluster, newest["id"])).json() == first
    assert await unread(cluster) == 1
    (left,) = (await inbox(cluster, unread=True))["messages"]
    assert left["gid"] == "p1"


async def test_pages_are_bounded_and_lead_to_the_end(cluster: Any) -> None:
    await cluster.start("message")
    await deliver(cluster, "message", *(decided("payment.succeeded", f"p{n}") for n in range(5)))
    seen, query = [], {"limit": 2}
    while True:
        page = await inbox(cluster, **query)
        assert len(page["messages"]) <= 2
        seen += [message["gid"] for message in page["messages"]]
        if page["next_before"] is None:
            break
        query["before"] = page["next_before"]
    assert seen == ["p4", "p3", "p2", "p1", "p0"]
    for wrong in ({"limit": 0}, {"limit": 101}, {"before": 0}, {"before": 2**63}, {"unread": "maybe"}):
        reply = await cluster.http("message").get("/messages", params=wrong, headers=cluster.as_user(ALICE))
        assert reply.status_code == 422, wrong


async def test_an_event_that_makes_no_sense_is_refused_and_holds_up_no_other(cluster: Any) -> None:
    await cluster.start("message")
    good, bad = decided("payment.succeeded", "p1"), event("payment.succeeded", "p2", user_id="nobody")
    assert await deliver(cluster, "message", bad, good) == [good["event_id"]]
    assert await kinds(cluster) == ["payment_succeeded"]


async def test_a_text_is_tried_again_until_it_arrives_or_is_given_up(cluster: Any) -> None:
    failing = await cluster.start("message", settings={"message.sms": "failing"})
    await deliver(cluster, "message", decided("payment.succeeded", "p1"))
    deliveries = await ask(cluster, "message", "/operator/deliveries")
    assert [(each["channel"], each["state"]) for each in deliveries["deliveries"][:1]] == [("inbox", "delivered")]

    async def attempts(count: int) -> Any:
        (sms,) = (await ask(cluster, "message", "/operator/deliveries", channel="sms"))["deliveries"]
        return sms if sms["attempts"] >= count else None

    assert (await cluster.eventually(lambda: attempts(1)))["last_error"] == "the provider refused"
    for count in (2, 3):
        cluster.clock.advance_ms(200_000)
        assert (await cluster.eventually(lambda count=count: attempts(count)))["state"] == "due"
    failing.chassis.settings.replace({"message.sms": "on"}, version=2)
    cluster.clock.advance_ms(200_000)
    arrived = await cluster.eventually(lambda: attempts(4))
    assert (arrived["state"], arrived["last_error"]) == ("delivered", None)
    assert (await ask(cluster, "message", "/operator/deliveries", state="due"))["deliveries"] == []

    failing.chassis.settings.replace({"message.sms": "failing"}, version=3)
    await deliver(cluster, "message", decided("payment.succeeded", "p2"))

    async def given_up() -> Any:
        cluster.clock.advance_ms(200_000)
        return (await ask(cluster, "message", "/operator/deliveries", state="given_up"))["deliveries"]

    (lost,) = await cluster.eventually(given_up, within_s=20.0)
    assert lost["attempts"] == 5


async def test_old_messages_are_dropped(cluster: Any) -> None:
    replica = await cluster.start("message", settings={"message.kept_days": 2})
    await deliver(cluster, "message", decided("payment.succeeded", "p1"))
    cluster.clock.advance_ms(DAY_MS)
    await deliver(cluster, "message", decided("payment.succeeded", "p2"))
    cluster.clock.advance_ms(DAY_MS + 1_000)
    await replica.sweeper.sweep()
    assert [message["gid"] for message in (await inbox(cluster))["messages"]] == ["p2"]
    assert len((await ask(cluster, "message", "/operator/deliveries"))["deliveries"]) == 1


@pytest.mark.parametrize(
    ("minor", "currency", "text"), [(5, "CNY", "0.05 CNY"), (1234, "EUR", "12.34 EUR"), (1234, "JPY", "1234 JPY")]
)
def test_amounts_are_written_as_people_write_them(minor: int, currency: str, text: str) -> None:
    assert amount_text(minor, currency) == text
