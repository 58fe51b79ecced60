"""The database goes away in the middle of a commit: it happened or it did not, and nobody can say which.

A server cannot be made to do either at will, so the database of one replica is wrapped here. Whatever became of the
write, nobody is told anything that the records do not say, and everybody agrees in the end.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from settlement.chassis.database import CommitUnknown, ConnectionLost, Transaction

from ..money import Shop

Body = Callable[[Transaction], Awaitable[Any]]


class LosesOneCommit:
    """Lets the `nth` write of a replica end as unknown; `happened` says which of the two it was."""

    def __init__(self, replica: Any, nth: int, happened: bool) -> None:
        self._run = replica.chassis.database.run
        self._left = nth
        self._happened = happened
        self.lost = False

    async def run(self, body: Body, **options: Any) -> Any:
        self._left -= 1
        if self._left != 0:
            return await self._run(body, **options)
        self.lost = True
        if self._happened:
            await self._run(body, **options)
            raise CommitUnknown("lost the answer to COMMIT")

        async def undone(tx: Transaction) -> None:
            await body(tx)
            raise CommitUnknown("lost COMMIT itself")

        await self._run(undone, **options)
        return None


def loses(monkeypatch: pytest.MonkeyPatch, replica: Any, nth: int, happened: bool) -> LosesOneCommit:
    made = LosesOneCommit(replica, nth, happened)
    monkeypatch.setattr(replica.chassis.database, "run", made.run)
    return made


async def _paid(shop: Shop, method: str) -> None:
    """Pay and repeat with the same key, as a client does that was told `unknown`; judge what it was told."""
    order = await shop.order(method=method)
    told = await shop.pay(order, method, key="k")
    await shop.settle()
    await shop.audit()
    if told.json().get("code") != "outcome_unknown":
        (decision,) = await shop.decisions()
        assert (told.status_code == 201) == (decision["decision"] == "commit"), told.text
    again = await shop.pay(order, method, key="k")
    assert again.json().get("code") not in ("outcome_unknown", "idempotency_key_in_use")
    await shop.settle()
    await shop.audit()
    paid = [row for row in await shop.decisions() if row["decision"] == "commit"]
    assert len(paid) <= 1


# Of a gateway: begin, decide, close. (Its workers look before they open a transaction, so they are not counted.)
@pytest.mark.parametrize("happened", [True, False])
@pytest.mark.parametrize("nth", [1, 2, 3])
@pytest.mark.parametrize("method", ["card", "wallet"])
async def test_a_write_of_the_coordinator(
    cluster: Any, monkeypatch: pytest.MonkeyPatch, method: str, nth: int, happened: bool
) -> None:
    shop = await Shop(cluster).open()
    losing = loses(monkeypatch, cluster.replica("gateway-0"), nth, happened)
    await _paid(shop, method)
    assert losing.lost


async def test_a_decision_that_was_lost_is_read_again_at_once_and_one_epoch_up(
    cluster: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    patient = {"gateway.lease_ms": 600_000, "gateway.prepare_timeout_ms": 1_500}
    shop = await Shop(cluster, patient).open()
    loses(monkeypatch, cluster.replica("gateway-0"), 2, happened=True)
    told = await shop.pay(await shop.order())
    assert told.json()["status"] == "succeeded"
    await shop.settle()
    (decision,) = await shop.decisions()
    assert (decision["decision"], decision["epoch"]) == ("commit", 2), "nobody waited for the lease"


async def test_what_was_never_begun_is_told_as_unknown_and_may_be_repeated(
    cluster: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop = await Shop(cluster).open()
    loses(monkeypatch, cluster.replica("gateway-0"), 1, happened=False)
    order = await shop.order()
    told = await shop.pay(order, key="k")
    assert (told.status_code, told.json()["code"]) == (503, "outcome_unknown")
    assert await shop.decisions() == []
    assert (await shop.pay(order, key="k")).json()["status"] == "succeeded"
    await shop.settle()
    await shop.audit()


# Of a participant: its vote, and what it did with the decision.
@pytest.mark.parametrize("happened", [True, False])
@pytest.mark.parametrize("nth", [1, 2])
@pytest.mark.parametrize("service", ["order", "payment"])
@pytest.mark.parametrize("method", ["wallet", "balance"])
async def test_a_write_of_a_participant(
    cluster: Any, monkeypatch: pytest.MonkeyPatch, method: str, service: str, nth: int, happened: bool
) -> None:
    shop = await Shop(cluster).open()
    order = await shop.order(method=method)
    losing = loses(monkeypatch, cluster.replica(f"{service}-0"), nth, happened)
    told = await shop.pay(order, method)
    await shop.settle()
    await shop.audit()
    (decision,) = await shop.decisions()
    assert told.json()["status"] == ("succeeded" if decision["decision"] == "commit" else "failed")
    assert losing.lost


async def test_a_database_that_goes_away_is_told_at_once(cluster: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    shop = await Shop(cluster).open()
    order = await shop.order()

    async def away(*_arguments: Any, **_options: Any) -> Any:
        raise ConnectionLost("the server is gone")

    database = cluster.replica("gateway-0").chassis.database
    with monkeypatch.context() as patched:
        patched.setattr(database, "run", away)
        patched.setattr(database, "read", away)
        told = await shop.pay(order, key="k")
        assert (told.status_code, told.json()["code"]) == (503, "database_unavailable")
        assert told.headers["retry-after"] == "1"
    assert (await shop.pay(order, key="k")).json()["status"] == "succeeded", "and workers and requests carry on"
    await shop.settle()
    await shop.audit()
