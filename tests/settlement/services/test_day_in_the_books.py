"""A payment's way through the back office: nobody waits for it, and everything arrives when it is back."""

from __future__ import annotations

import csv
import io
from datetime import UTC, datetime
from typing import Any

from ..money import Shop

BACK_OFFICE = ("reconciliation", "clearing", "reporting")


async def test_a_day_is_cleared_reported_and_reconciled_by_services_that_were_down_when_it_was_earned(
    cluster: Any,
) -> None:
    shop = await Shop(cluster, {"reconciliation.grace_ms": 100, "reporting.retry_ms": 20}).open()
    operator = cluster.as_operator()
    orders = [await shop.order() for _ in range(3)]
    gids = []
    for order in orders:
        answer = await shop.pay(order)
        assert answer.status_code == 201, "no payment waits for the back office"
        gids.append(answer.json()["gid"])
    await shop.settle()
    assert (await shop.refund(gids[0], orders[0]["total_minor"])).status_code == 201
    await shop.settle()
    day = datetime.fromtimestamp(cluster.clock.now_ms() / 1_000, UTC).date().isoformat()
    for service in BACK_OFFICE:
        await shop.start(service)

    async def heard() -> bool:
        rows = await shop.rows("clearing", "SELECT kind, SUM(amount_minor) AS s FROM entries GROUP BY kind")
        return {row["kind"]: row["s"] for row in rows} == {
            "paid": sum(order["total_minor"] for order in orders),
            "refunded": orders[0]["total_minor"],
        }

    await cluster.eventually(heard, 15)
    closed = await cluster.http("clearing").post("/batches/close", json={"day": day}, headers=operator)
    assert closed.status_code == 200

    async def reported() -> bool:
        rows = await shop.rows("reporting", "SELECT COUNT(*) AS n FROM settled_batches")
        decided = await shop.rows("reporting", "SELECT COUNT(*) AS n FROM decisions")
        return rows[0]["n"] == len(closed.json()["batches"]) and decided[0]["n"] == 4

    await cluster.eventually(reported, 15)
    await shop.audit()  # what was paid out is still what customers paid
    asked = await cluster.http("reporting").post("/reports", json={"day": day, "kind": "clearing"}, headers=operator)
    content = f"/reports/{asked.json()['report_id']}/content"

    async def stored() -> Any:
        reply = await cluster.http("reporting").get(content, headers=operator)
        return reply if reply.status_code == 200 else None

    report = await cluster.eventually(stored)
    lines = list(csv.DictReader(io.StringIO(report.text)))
    kept = sum(order["total_minor"] for order in orders[1:])
    assert sum(int(line["gross_minor"]) - int(line["refunded_minor"]) for line in lines) == kept
    fees = await shop.rows("payment", "SELECT SUM(amount_minor) AS s FROM audit_postings WHERE account = 'income:fees'")
    assert fees[0]["s"] == sum(int(line["fee_minor"]) for line in lines) > 0

    cluster.clock.advance_ms(200)
    now_ms = cluster.clock.now_ms()
    period = {"channel": "card", "from_ms": now_ms - 600_000, "until_ms": now_ms}
    begun = await cluster.http("reconciliation").post("/runs", json=period, headers=operator)

    async def ended() -> Any:
        reply = await cluster.http("reconciliation").get(f"/runs/{begun.json()['run_id']}", headers=operator)
        return reply.json() if reply.json()["state"] != "running" else None

    run = await cluster.eventually(ended)
    assert (run["state"], run["matched"], run["found"]) == ("finished", 4, 0)
