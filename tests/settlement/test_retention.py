"""Nothing grows for ever unless it must: what is old is dropped in small steps, what is money stays."""

from __future__ import annotations

import importlib
from typing import Any

import pytest
import sqlalchemy as sa

from settlement.chassis import dead_letters, inbox, outbox
from settlement.chassis.retention import BATCH
from settlement.services.configcenter.model import config_versions
from settlement.services.gateway.model import notifications
from settlement.services.reconciliation.model import differences, runs, statement_lines, statements
from settlement.services.risk.model import assessments
from settlement.settings import SETTINGS
from settlement.topology import SERVICES
from tests.mariadb_server import both_backends

from .money import Shop
from .services.backoffice import NOON_MS, ask, deliver, order_event

DAY_MS = 86_400_000

# Every table that no retention names, and why it may stay as it is.
KEPT = {
    "money, and what happened to it": {
        "gateway.transactions", "gateway.fenced_writes", "gateway.interventions", "order.orders",
        "order.participant_barrier", "payment.participant_barrier", "payment.payments", "payment.postings",
        "payment.payouts", "channel.charges", "channel.refunds", "channel.entries", "clearing.entries",
        "clearing.days", "clearing.batches", "reporting.decisions", "reporting.settled_batches", "reporting.reports",
        "reporting.report_files", "reconciliation.differences", "audit.records",
    },
    "at most one row a user, article, channel or the like": {
        "audit.chain_head", "cart.cart", "cart.cart_versions", "order.cart_turns", "order.goods", "order.stock",
        "payment.accounts", "risk.subjects", "usercenter.user", "reconciliation.schedules",
    },
    "only operators add rows": {"risk.rules", "risk.rule_versions", "channel.planted_lines"},
    "ends by itself": {
        "configcenter.registrations", "usercenter.captcha", "usercenter.failed_attempts", "chassis.outbox_events",
    },
}  # fmt: skip


def test_every_table_has_a_retention_or_a_reason() -> None:
    models = {name: importlib.import_module(f"settlement.services.{name}.model") for name in SERVICES}
    metadatas = [(name, model.metadata) for name, model in models.items()]
    metadatas += [("chassis", module.metadata) for module in (outbox, inbox, dead_letters)]
    tables = {f"{owner}.{table.name}" for owner, metadata in metadatas for table in metadata.sorted_tables}
    retentions = [(name, kept) for name, model in models.items() for kept in getattr(model, "RETENTION", ())]
    retentions += [("chassis", kept) for kept in (*inbox.RETENTION, *dead_letters.RETENTION)]
    swept = {f"{owner}.{kept.table.name}" for owner, kept in retentions}
    reasons = [name for names in KEPT.values() for name in names]
    assert tables - swept - set(reasons) == set(), "give it a RETENTION in its model.py, or a reason here"
    assert set(reasons) - tables == set()
    assert not swept & set(reasons)
    assert {kept.setting for _, kept in retentions} <= set(SETTINGS)


def test_an_assessment_is_kept_longer_than_any_rule_looks_back() -> None:
    from settlement.services.risk.schemas import WINDOW_S_MAX

    assert (SETTINGS["risk.kept_days"].minimum or 0) * 86_400 > WINDOW_S_MAX


async def _count(database: Any, table: sa.Table) -> int:
    return int((await database.read(sa.select(sa.func.count()).select_from(table)))[0][0])


@both_backends
async def test_what_is_old_goes_in_small_steps_and_what_is_not_stays(cluster: Any, monkeypatch: Any) -> None:
    chassis = (await cluster.start("cart")).chassis
    now_ms = cluster.clock.now_ms()
    ages_ms = [15 * DAY_MS] * (2 * BATCH + 1) + [13 * DAY_MS] * 3
    marks = [{"event_id": f"e{n}", "consumed_at_ms": now_ms - age_ms} for n, age_ms in enumerate(ages_ms)]
    await chassis.database.write(sa.insert(inbox.consumed), marks)
    run, steps = chassis.database.run, list[int]()

    async def watched(body: Any, **options: Any) -> Any:
        before = await _count(chassis.database, inbox.consumed)
        result = await run(body, **options)
        steps.append(before - await _count(chassis.database, inbox.consumed))
        return result

    monkeypatch.setattr(chassis.database, "run", watched)
    await cluster.replica("cart-0").sweeper.sweep()
    assert steps == [BATCH, BATCH, 1]
    assert await _count(chassis.database, inbox.consumed) == 3
    text = (await cluster.http("cart").get("/metrics")).text
    assert f'paylab_retention_dropped_rows_total{{table="consumed_events"}} {2 * BATCH + 1}.0' in text


@both_backends
async def test_a_key_is_forgotten_with_its_time_and_its_transaction_never(cluster: Any) -> None:
    shop = await Shop(cluster, {"gateway.idempotency_ttl_s": 60}).open()
    await shop.pay(await shop.order(), key="done")
    await shop.settle()
    cluster.network.refuse("payment", "/participant/decision", times=100_000)
    await shop.pay(await shop.order(), key="on-its-way")
    cluster.clock.advance_ms(61_000)
    gateway = cluster.replica("gateway-0")
    await gateway.sweeper.sweep()
    keys = await gateway.chassis.database.read(sa.text("SELECT idempotency_key FROM idempotency_keys"))
    assert [key for (key,) in keys] == ["on-its-way"]
    assert len(await shop.decisions()) == 2
    cluster.network.heal()
    await shop.settle(20)
    await shop.audit()


@both_backends
async def test_callbacks_that_are_done_go_and_those_that_are_due_stay(cluster: Any) -> None:
    database = (await cluster.start("gateway")).chassis.database
    old_ms = cluster.clock.now_ms() - 31 * DAY_MS
    row = {"url": "http://127.0.0.1:1/", "body": "{}", "attempts": 1, "last_error": None}
    far_ms = cluster.clock.now_ms() + DAY_MS
    states = {"a": ("delivered", old_ms), "b": ("given_up", old_ms), "c": ("due", far_ms), "d": ("delivered", far_ms)}
    rows = [{**row, "gid": gid, "state": state, "next_at_ms": at_ms} for gid, (state, at_ms) in states.items()]
    await database.write(sa.insert(notifications), rows)
    await cluster.replica("gateway-0").sweeper.sweep()
    assert [r.gid for r in await database.read(sa.select(notifications).order_by("gid"))] == ["c", "d"]


@both_backends
async def test_the_evidence_of_an_open_difference_stays(cluster: Any) -> None:
    database = (await cluster.start("reconciliation")).chassis.database
    old_ms = cluster.clock.now_ms() - 401 * DAY_MS
    period = {"channel": "card", "from_ms": 0, "until_ms": 1}
    nothing = dict.fromkeys(("lines", "matched", "pending", "found", "new"), 0)
    run = {**period, **nothing, "grace_ms": 0, "replica": "r", "state": "finished", "problem": ""}
    line = {"kind": "capture", "out_trade_no": "o", "amount_minor": 1, "currency": "CNY", "booked_at_ms": old_ms}
    for number in (1, 2):
        imported = {**period, "source": "pulled", "covers_until_ms": 1, "imported_at_ms": old_ms}
        await database.write(sa.insert(statements), {**imported, "statement_id": number})
        lines = [{**line, "statement_id": number, "entry_id": entry} for entry in range(3)]
        await database.write(sa.insert(statement_lines), lines)
        ended = {**run, "run_id": number, "statement_id": number, "started_at_ms": 1, "ended_at_ms": old_ms}
        await database.write(sa.insert(runs), ended)
    open_ = {"channel": "card", "identity": "i", "kind": "missing", "side": "theirs", "aspect": "", "currency": "CNY"}
    open_ |= {"out_trade_no": "o", "ours_state": "", "at_ms": 1, "statement_id": 2, "run_id": 2, "state": "open"}
    await database.write(sa.insert(differences), {**open_, "note": "", "resolved_by": "", "found_at_ms": 1})
    sweeper = cluster.replica("reconciliation-0").sweeper
    await sweeper.sweep()
    assert [await _count(database, table) for table in (statement_lines, statements, runs)] == [3, 1, 1]
    await database.write(sa.update(differences).values(state="resolved"))
    await sweeper.sweep()
    assert [await _count(database, table) for table in (statement_lines, statements, runs)] == [0, 0, 0]
    assert await _count(database, differences) == 1


@both_backends
async def test_settings_in_force_stay_however_old(cluster: Any) -> None:
    database = (await cluster.start("configcenter")).chassis.database
    old_ms = cluster.clock.now_ms() - 731 * DAY_MS
    row = {"document": "{}", "author": "", "comment": "", "created_at_ms": old_ms}
    numbers = [("dev", 1), ("dev", 2), ("prod", 1)]
    rows = [{**row, "profile": profile, "version": version} for profile, version in numbers]
    await database.write(sa.insert(config_versions), rows)
    await cluster.replica("configcenter-0").sweeper.sweep()
    found = await database.read(sa.select(config_versions.c.profile, config_versions.c.version).order_by("profile"))
    assert [tuple(row) for row in found] == [("dev", 2), ("prod", 1)]


async def test_assessments_dead_letters_and_minutes_have_their_time(cluster: Any) -> None:
    risk = (await cluster.start("risk", settings={"risk.kept_days": 100})).chassis
    row = {"user_id": 1, "order_no": "o", "amount_minor": 1, "currency": "CNY", "method": "card", "verdict": "allow"}
    now_ms = cluster.clock.now_ms()
    ages = [{**row, "payment_key": str(n), "fired": "[]", "assessed_at_ms": now_ms - n * DAY_MS} for n in (1, 101)]
    await risk.database.write(sa.insert(assessments), ages)
    letter = {"type": "x", "subject": "s", "data": "{}", "occurred_at_ms": 1, "traceparent": "", "error": ""}
    letters = [
        {**letter, "event_id": f"{dead}-{days}", "attempts": 1, "dead": dead, "failed_at_ms": now_ms - days * DAY_MS}
        for dead, days in ((0, 13), (0, 15), (1, 15), (1, 91))
    ]
    await risk.database.write(sa.insert(dead_letters.dead_letters), letters)
    await cluster.replica("risk-0").sweeper.sweep()
    assert [r.payment_key for r in await risk.database.read(sa.select(assessments.c.payment_key))] == ["1"]
    left = await risk.database.read(sa.select(dead_letters.dead_letters.c.event_id))
    assert sorted(row.event_id for row in left) == ["0-13", "1-15"]

    await cluster.start("statistics")
    recent_ms = now_ms - 3_600_000
    both = [order_event("created", "old", 1, NOON_MS), order_event("created", "new", 1, recent_ms)]
    await deliver(cluster, "statistics", *both)
    await cluster.replica("statistics-0").sweeper.sweep()
    summary = await ask(cluster, "statistics", "/statistics/summary", from_ms=0)
    assert summary["currencies"][0]["orders_created"] == 1


@pytest.mark.parametrize("name", ["events.consumed_kept_days", "events.dead_letters_kept_days"])
def test_marks_outlive_deliveries(name: str) -> None:
    """An outbox that waits for a week pages somebody long before; see the runbook."""
    assert (SETTINGS[name].minimum or 0) >= 7
