"""Events that cannot be consumed: set aside, shown, replayed once or discarded; over HTTP and streams alike."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import sqlalchemy as sa

from tests.mariadb_server import both_backends

pytestmark = both_backends
NOTES = sa.text("SELECT text FROM notes")
Ask = Callable[..., Awaitable[Any]]


@pytest.fixture(params=["embedded", "redis"])
async def probe_service(request: pytest.FixtureRequest, cluster: Any, probe: Any) -> Any:
    """The probe with each way of carrying events in turn; an event is dead after two failures."""
    plan = {} if request.param == "embedded" else {"redis_url": request.getfixturevalue("redis_server").url}
    settings = {"events.attempts_max": 2, "events.claim_after_ms": 30, "outbox.poll_interval_ms": 10}
    await cluster.start("probe", settings=settings, **plan)
    return probe


async def happen(cluster: Any, *subjects: str) -> None:
    chassis = cluster.replica("probe-0").chassis
    async with chassis.database.transaction() as tx:
        for subject in subjects:
            await chassis.outbox.add(tx, type="probe.happened", subject=subject, data={"n": 1})


async def notes(cluster: Any) -> Counter[str]:
    return Counter(row.text for row in await cluster.replica("probe-0").chassis.database.read(NOTES))


async def ask(cluster: Any, method: str, path: str = "", **options: Any) -> Any:
    headers = cluster.as_operator()
    reply = await cluster.http("probe").request(method, f"/operator/dead-letters{path}", headers=headers, **options)
    assert reply.status_code == 200, reply.text
    return reply.json()


async def dead(cluster: Any) -> list[dict[str, Any]]:
    letters: list[dict[str, Any]] = (await ask(cluster, "GET"))["dead_letters"]
    return letters


async def poisoned(cluster: Any, probe: Any, *subjects: str) -> list[dict[str, Any]]:
    """These events happen and end as dead letters."""
    probe.poison.update(subjects)
    await happen(cluster, *subjects)

    async def all_dead() -> list[dict[str, Any]] | None:
        cluster.clock.advance_ms(600)  # past the pause between two deliveries
        letters = await dead(cluster)
        return letters if len(letters) == len(subjects) else None

    letters: list[dict[str, Any]] = await cluster.eventually(all_dead)
    return letters


async def test_a_poisoned_event_is_set_aside_and_replayed_once_it_is_mended(cluster: Any, probe_service: Any) -> None:
    [letter] = await poisoned(cluster, probe_service, "bad")
    await happen(cluster, "good")
    await cluster.eventually(lambda: _noted(cluster, "good"))
    assert (letter["subject"], letter["attempts"], letter["error"]) == ("bad", 2, "RuntimeError: poisoned")
    assert letter["data"] == {"n": 1}
    gauges = (await cluster.http("probe").get("/metrics")).text
    assert "paylab_dead_letters 1.0" in gauges

    failed = await ask(cluster, "POST", "/replay", json={"event_ids": "all"})
    assert (failed["replayed"], failed["left"]) == ([], 1)
    assert failed["failed"] == [{"event_id": letter["event_id"], "error": "RuntimeError: poisoned"}]
    assert (await dead(cluster))[0]["attempts"] == 3

    probe_service.poison.clear()
    replayed = await ask(cluster, "POST", "/replay", json={"event_ids": [letter["event_id"]]})
    assert replayed == {"replayed": [letter["event_id"]], "failed": [], "left": 0}
    again = await ask(cluster, "POST", "/replay", json={"event_ids": [letter["event_id"]]})
    assert again["replayed"] == []
    assert await notes(cluster) == Counter({"good": 1, "bad": 1})


async def _noted(cluster: Any, subject: str) -> bool:
    return (await notes(cluster))[subject] == 1


async def test_a_dead_letter_delivered_once_more_takes_effect_once(cluster: Any, probe_service: Any) -> None:
    [letter] = await poisoned(cluster, probe_service, "bad")
    probe_service.poison.clear()
    event = {key: letter[key] for key in ("event_id", "type", "subject", "data", "occurred_at_ms", "traceparent")}
    reply = await cluster.call("probe", "POST", "/events", json={"events": [event]})
    assert reply.json["accepted"] == [letter["event_id"]]
    assert (await ask(cluster, "POST", "/replay", json={"event_ids": "all"}))["left"] == 0
    assert await notes(cluster) == Counter({"bad": 1})


async def test_what_is_discarded_never_happens(cluster: Any, probe_service: Any) -> None:
    letters = await poisoned(cluster, probe_service, "a", "b", "c")
    one = await ask(cluster, "POST", "/discard", json={"event_ids": [letters[0]["event_id"], "unknown"]})
    assert one == {"discarded": 1, "left": 2}
    assert await ask(cluster, "POST", "/discard", json={"event_ids": "all"}) == {"discarded": 2, "left": 0}
    assert await notes(cluster) == Counter()


async def test_dead_letters_are_shown_page_by_page(cluster: Any, probe_service: Any) -> None:
    await poisoned(cluster, probe_service, "a", "b", "c")
    first = await ask(cluster, "GET", params={"limit": 2})
    rest = await ask(cluster, "GET", params={"limit": 2, "after": first["next_after"]})
    assert len(first["dead_letters"]) == 2
    assert rest["next_after"] is None
    shown = {letter["subject"] for page in (first, rest) for letter in page["dead_letters"]}
    assert shown == {"a", "b", "c"}


@pytest.mark.parametrize("body", [{}, {"event_ids": []}, {"event_ids": "some"}, {"event_ids": ["x" * 37]}, []])
async def test_a_choice_that_is_none_chooses_nothing(cluster: Any, probe: Any, body: object) -> None:
    await cluster.start("probe")
    for action in ("replay", "discard"):
        path = f"/operator/dead-letters/{action}"
        reply = await cluster.http("probe").post(path, json=body, headers=cluster.as_operator())
        assert reply.status_code == 422


async def test_a_database_that_is_away_makes_no_dead_letter(cluster: Any, probe: Any, monkeypatch: Any) -> None:
    replica = await cluster.start("probe", settings={"events.attempts_max": 1})
    database = replica.chassis.database

    asked: list[object] = []

    async def gone(body: object) -> None:
        asked.append(body)
        raise sa.exc.OperationalError("BEGIN", {}, Exception("server has gone away"))

    event = {"type": "probe.happened", "subject": "a", "data": {}, "occurred_at_ms": 1}
    events = [{"event_id": f"e{number}", **event} for number in range(50)]
    with monkeypatch.context() as patch:
        patch.setattr(database, "run", gone)
        reply = await cluster.call("probe", "POST", "/events", json={"events": events})
        assert reply.json["accepted"] == []
    assert len(asked) <= 3  # one that cannot be consumed for want of a database stands for all
    assert await dead(cluster) == []
    reply = await cluster.call("probe", "POST", "/events", json={"events": events})
    assert len(reply.json["accepted"]) == 50
