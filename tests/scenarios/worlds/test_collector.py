"""The collector against databases made by hand: what the services recorded must arrive as the history's tables."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from math import isnan
from pathlib import Path
from typing import Any

import pytest

from scenarios.history import SCHEMAS, frame
from scenarios.worlds.base import WorldError
from scenarios.worlds.collector import ResourceSampler, audit_tables, unresolved, without_past

START_MS = 1_700_000_000_000
VOTES = "gid, participant, kind, vote, reason, voted_at_ms, outcome, outcome_at_ms, inquiries, asked_at_ms"
VIEWS = {
    "gateway": {
        "audit_decisions": (
            "gid, kind, idempotency_key, user_id, order_no, payment_gid, amount_minor, currency, method, state,"
            " decision, reason, epoch, owner, begun_at_ms, decided_at_ms, closed_at_ms, retries, heuristic"
        ),
        "audit_fenced": "id, gid, owner, epoch, state, decision, fenced_at_ms",
        "audit_interventions": "id, gid, action, operator, reason, state_before, decision_before, intervened_at_ms",
    },
    "order": {
        "audit_votes": VOTES,
        "audit_orders": "order_no, user_id, status, total_minor, currency, paid_gid, refund_gid, created_at_ms",
        "audit_stock": "goods_id, initial_units, available_units, reserved_units, sold_units",
    },
    "payment": {
        "audit_votes": VOTES,
        "audit_postings": "posting_id, gid, account, currency, amount_minor, layer, posted_at_ms",
        "audit_payments": "gid, payment_gid, kind, method, channel, out_trade_no, amount_minor, currency, state",
    },
    "audit": {"audit_trail": "event_id, type, subject, occurred_at_ms, recorded_at_ms"},
    "channel": {
        "audit_charges": (
            "channel, out_trade_no, state, authorized_minor, captured_minor, refunded_minor, currency, updated_at_ms"
        )
    },
}


@pytest.fixture
def databases(tmp_path: Path) -> Path:
    for service, views in VIEWS.items():
        with closing(sqlite3.connect(tmp_path / f"{service}.sqlite")) as connection:
            for view, columns in views.items():
                connection.execute(f"CREATE TABLE {view} ({columns})")
    return tmp_path


def put(databases: Path, service: str, view: str, *values: object) -> None:
    with closing(sqlite3.connect(databases / f"{service}.sqlite")) as connection:
        connection.execute(f"INSERT INTO {view} VALUES ({', '.join('?' * len(values))})", values)
        connection.commit()


def decide(databases: Path, gid: str, state: str, decision: str | None, closed_at_ms: int | None) -> None:
    decided_at_ms = START_MS + 2_000 if decision else None
    put(
        databases, "gateway", "audit_decisions", gid, "payment", f"key-{gid}", 7, "o-1", None, 1299, "CNY", "card",
        state, decision, None, 3, "gateway-0", START_MS + 1_000, decided_at_ms, closed_at_ms, 0, 0,
    )  # fmt: skip


def test_a_committed_payment_becomes_its_events_in_order_and_in_seconds(databases: Path) -> None:
    decide(databases, "g1", "closed", "commit", START_MS + 2_500)
    vote = ("payment", "yes", None, START_MS + 1_500, "committed", START_MS + 2_250)
    put(databases, "order", "audit_votes", "g1", "order", *vote, 0, None)
    table = frame("transactions", audit_tables(databases, START_MS)["transactions"])
    assert list(zip(table.role, table.event, table.value, table.at_s, strict=True)) == [
        ("coordinator", "begun", "", 1.0),
        ("order", "vote", "yes", 1.5),
        ("coordinator", "decided", "commit", 2.0),
        ("order", "applied", "committed", 2.25),
        ("coordinator", "closed", "commit", 2.5),
    ]
    assert set(table.key) == {"key-g1"}
    assert set(table.amount_minor) == {1299}
    assert table.epoch.max() == 3


def test_an_empty_rollback_has_an_outcome_and_no_vote(databases: Path) -> None:
    rollback = ("refund", None, None, None, "aborted", START_MS + 900, 0, None)
    put(databases, "payment", "audit_votes", "g9", "payment", *rollback)
    rows = audit_tables(databases, START_MS)["transactions"]
    assert [(row["role"], row["event"], row["value"]) for row in rows] == [("payment", "applied", "aborted")]
    assert frame("transactions", rows).method.tolist() == [""]


def test_an_exhausted_coordinator_is_told(databases: Path) -> None:
    decide(databases, "g1", "exhausted", "commit", None)
    events = {row["event"] for row in audit_tables(databases, START_MS)["transactions"]}
    assert events == {"begun", "decided", "exhausted"}


def test_inquiries_fenced_writes_and_operators_orders_are_told(databases: Path) -> None:
    decide(databases, "g1", "closed", "commit", START_MS + 9_000)
    vote = ("payment", "yes", None, START_MS + 1_500, "committed", START_MS + 8_000, 2, START_MS + 6_500)
    put(databases, "order", "audit_votes", "g1", "order", *vote)
    put(databases, "gateway", "audit_fenced", 1, "g1", "gateway-0/1", 2, "decided", "abort", START_MS + 7_000)
    order = ("commit", "ada", "why", "decided", "commit", START_MS + 7_500)
    put(databases, "gateway", "audit_interventions", 1, "g1", *order)
    rows = audit_tables(databases, START_MS)["transactions"]
    told = {row["event"]: (row["role"], row["value"], row["at_s"], row["epoch"]) for row in rows}
    assert told["asked"] == ("order", "2", 6.5, 0)
    assert told["fenced"] == ("coordinator", "abort", 7.0, 2)
    assert told["intervened"] == ("coordinator", "commit", 7.5, 3)
    assert frame("transactions", rows).event.is_unique


def test_every_copied_table_fits_the_history(databases: Path) -> None:
    put(databases, "order", "audit_orders", "o-1", 7, "paid", 1299, "CNY", "g1", None, START_MS - 500)
    put(databases, "order", "audit_stock", 4, 100, 98, 0, 2)
    put(databases, "payment", "audit_postings", "p-1", "g1", "user:7", "CNY", -1299, "posted", START_MS + 100)
    put(databases, "payment", "audit_payments", "g1", None, "payment", "card", "card", "t-1", 1299, "CNY", "captured")
    put(databases, "channel", "audit_charges", "card", "t-1", "captured", 1299, 1299, 0, "CNY", None)
    tables = {name: frame(name, rows) for name, rows in audit_tables(databases, START_MS).items()}
    assert all(list(table.columns) == SCHEMAS[name].names for name, table in tables.items())
    assert tables["orders"].created_s[0] == -0.5
    assert tables["orders"].refund_gid[0] == ""
    assert isnan(tables["charges"].updated_s[0])
    assert tables["postings"].amount_minor[0] == -1299


def test_what_was_begun_before_the_run_is_left_out_with_all_that_it_moved() -> None:
    def moved(gid: str, at_s: float) -> dict[str, list[dict[str, Any]]]:
        return {
            "transactions": [{"gid": gid, "event": "begun", "at_s": at_s}, {"gid": gid, "event": "vote", "at_s": 1.0}],
            "postings": [{"gid": gid}],
            "holds": [{"gid": gid, "channel": "card", "out_trade_no": f"t-{gid}"}],
            "charges": [{"channel": "card", "out_trade_no": f"t-{gid}"}],
            "events": [{"subject": gid}],
            "orders": [{"paid_gid": gid, "refund_gid": None}],
            "stock": [{"goods_id": gid}],
        }

    old, new = moved("old", -0.5), moved("new", 0.0)
    left = without_past({name: old[name] + new[name] for name in old})
    assert left == {**new, "stock": old["stock"] + new["stock"]}


def test_unresolved_counts_open_decisions_and_votes_in_doubt(databases: Path) -> None:
    decide(databases, "g1", "preparing", None, None)
    decide(databases, "g2", "closed", "abort", START_MS + 3_000)
    put(databases, "order", "audit_votes", "g1", "order", "payment", "yes", None, START_MS + 1_500, None, None, 0, None)
    refusal = ("payment", "no", "out_of_stock", START_MS + 1_500, None, None, 0, None)
    put(databases, "order", "audit_votes", "g3", "order", *refusal)
    assert unresolved(databases) == {"gateway": 1, "order": 1}


def test_a_database_without_its_view_is_named(databases: Path) -> None:
    (databases / "channel.sqlite").unlink()
    with pytest.raises(WorldError, match=r"channel.*channel\.sqlite"):
        audit_tables(databases, START_MS)


def test_the_sampler_measures_processes_that_live_and_forgets_those_that_died() -> None:
    sampler = ResourceSampler()
    for at_s in (0.0, 0.1, 1.0, 2.0):  # the second is too early to be a sample
        sampler.step(at_s, [("other", os.getppid()), ("nobody", 2**22 + 1)])
    assert {row["process"] for row in sampler.rows} == {"other"}
    assert sorted({row["at_s"] for row in sampler.rows}) == [1.0, 2.0]
    assert all(row["rss_bytes"] > 1_000_000 and row["cpu_s_per_s"] >= 0 for row in sampler.rows)


def test_reading_a_finished_runs_databases_leaves_no_other_files(databases: Path) -> None:
    for path in databases.glob("*.sqlite"):
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("PRAGMA journal_mode = WAL")
    before = {path.name for path in databases.iterdir()}
    audit_tables(databases, START_MS)
    unresolved(databases)
    assert {path.name for path in databases.iterdir()} == before
