"""From the databases to the history: reads the audit views, and samples what the processes use.

The views are the contract between platform and lab (plain SQL, independent of the code under test). Reading them takes
a connection that cannot write, and is possible while the services run as well as from an old run's folder. Times there
are epoch milliseconds; here they become seconds from the run's start.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import psutil

from scenarios.worlds.base import WorldError
from settlement.topology import PARTICIPANTS

Row = dict[str, Any]

SAMPLE_INTERVAL_S = 0.5

DECISIONS = """SELECT gid, kind, idempotency_key, amount_minor, currency, method, state, decision, epoch, heuristic,
    begun_at_ms, decided_at_ms, closed_at_ms FROM audit_decisions ORDER BY begun_at_ms, gid"""
VOTES = """SELECT gid, kind, vote, voted_at_ms, outcome, outcome_at_ms, inquiries, asked_at_ms
    FROM audit_votes ORDER BY gid"""
FENCED = "SELECT gid, epoch, decision AS value, fenced_at_ms AS at_ms FROM audit_fenced ORDER BY id"
INTERVENTIONS = "SELECT gid, action AS value, intervened_at_ms AS at_ms FROM audit_interventions ORDER BY id"

# Table of the history: service, view, the columns it has under the same name, then (time column, its name there)...
COPIED: dict[str, tuple[str, str, tuple[str, ...], tuple[tuple[str, str], ...]]] = {
    "orders": (
        "order", "audit_orders",
        ("order_no", "user_id", "status", "total_minor", "currency", "paid_gid", "refund_gid"),
        (("created_s", "created_at_ms"),),
    ),
    "stock": (
        "order", "audit_stock", ("goods_id", "initial_units", "available_units", "reserved_units", "sold_units"), (),
    ),
    "postings": (
        "payment", "audit_postings",
        ("posting_id", "gid", "account", "currency", "amount_minor", "layer"),
        (("posted_s", "posted_at_ms"),),
    ),
    "holds": (
        "payment", "audit_payments",
        ("gid", "payment_gid", "kind", "method", "channel", "out_trade_no", "amount_minor", "currency", "state"), (),
    ),
    "charges": (
        "channel", "audit_charges",
        ("channel", "out_trade_no", "state", "authorized_minor", "captured_minor", "refunded_minor", "currency"),
        (("updated_s", "updated_at_ms"),),
    ),
    "events": (
        "audit", "audit_trail", ("event_id", "type", "subject"),
        (("occurred_s", "occurred_at_ms"), ("recorded_s", "recorded_at_ms")),
    ),
}  # fmt: skip

UNRESOLVED = {
    "gateway": "SELECT count(*) FROM audit_decisions WHERE closed_at_ms IS NULL AND state <> 'exhausted'",
    **dict.fromkeys(PARTICIPANTS, "SELECT count(*) FROM audit_votes WHERE vote = 'yes' AND outcome IS NULL"),
}


def audit_tables(databases: Path, start_ms: int) -> dict[str, list[Row]]:
    """Rows of `transactions` and of every copied view, ready for `History`. Raises WorldError naming the database."""
    tables = {name: _copy(databases, start_ms, *source) for name, source in COPIED.items()}
    decisions = list(_read(databases, "gateway", DECISIONS))
    votes = {role: list(_read(databases, role, VOTES)) for role in PARTICIPANTS}
    around = {
        "fenced": list(_read(databases, "gateway", FENCED)),
        "intervened": list(_read(databases, "gateway", INTERVENTIONS)),
    }
    return without_past({**tables, "transactions": transaction_rows(decisions, votes, around, start_ms)})


def without_past(tables: dict[str, list[Row]]) -> dict[str, list[Row]]:
    """Only what was begun from second zero on: a platform that a run was attached to has a past of its own.

    Whole transactions go, with all that they moved, so what is left adds up as before.
    """
    past = {row["gid"] for row in tables["transactions"] if row["event"] == "begun" and row["at_s"] < 0}
    trades = {(row["channel"], row["out_trade_no"]) for row in tables.get("holds", []) if row["gid"] in past}
    gone: dict[str, Callable[[Row], bool]] = {
        **dict.fromkeys(("transactions", "postings", "holds"), lambda row: row["gid"] in past),
        "events": lambda row: row["subject"] in past,
        "charges": lambda row: (row["channel"], row["out_trade_no"]) in trades,
        "orders": lambda row: row["paid_gid"] in past or row["refund_gid"] in past,
    }
    return {
        name: [row for row in rows if not gone[name](row)] if past and name in gone else rows
        for name, rows in tables.items()
    }


def transaction_rows(
    decisions: list[Row], votes: Mapping[str, list[Row]], around: Mapping[str, list[Row]], start_ms: int
) -> list[Row]:
    """One row for everything that a coordinator or participant recorded, in order of time.

    `around` has what happened around the protocol, by event: gid, value, at_ms and perhaps an epoch of its own.
    """
    begun = {row["gid"]: row for row in decisions}
    rows = [event for row in decisions for event in _coordinator_events(row, start_ms)]
    rows += [
        _coordinator_event(begun[row["gid"]], name, row["value"], row["at_ms"], start_ms)
        | {"epoch": row.get("epoch", begun[row["gid"]]["epoch"])}
        for name, found in around.items()
        for row in found
    ]
    for role, cast in votes.items():
        rows += [event for row in cast for event in _participant_events(row, role, begun.get(row["gid"], {}), start_ms)]
    return sorted(rows, key=lambda row: (row["at_s"], row["gid"], row["role"]))


def unresolved(databases: Path) -> dict[str, int]:
    """How many transactions each service still has to finish, services with none left out."""
    counts = {service: _count(databases, service, query) for service, query in UNRESOLVED.items()}
    return {service: count for service, count in counts.items() if count}


def _coordinator_events(row: Row, start_ms: int) -> Iterator[Row]:
    def event(name: str, value: str | None, at_ms: int | None) -> Row:
        return _coordinator_event(row, name, value, at_ms, start_ms)

    yield event("begun", "", row["begun_at_ms"])
    if row["decision"]:
        yield event("decided", row["decision"], row["decided_at_ms"])
    if row["state"] == "exhausted":
        yield event("exhausted", row["decision"], row["decided_at_ms"])
    if row["closed_at_ms"] is not None:
        yield event("closed", row["decision"], row["closed_at_ms"])


def _coordinator_event(row: Row, name: str, value: str | None, at_ms: int | None, start_ms: int) -> Row:
    return {
        **_common(row), "key": row["idempotency_key"], "kind": row["kind"], "role": "coordinator", "event": name,
        "value": value or "", "at_s": _seconds(at_ms, start_ms), "epoch": row["epoch"],
        "heuristic": bool(row["heuristic"]),
    }  # fmt: skip


def _participant_events(row: Row, role: str, begun: Row, start_ms: int) -> Iterator[Row]:
    def event(name: str, value: str, at_ms: int | None) -> Row:
        return {
            **_common(begun), "gid": row["gid"], "key": begun.get("idempotency_key", ""), "kind": row["kind"],
            "role": role, "event": name, "value": value, "at_s": _seconds(at_ms, start_ms), "epoch": 0,
            "heuristic": False,
        }  # fmt: skip

    if row["vote"]:  # none after an empty rollback
        yield event("vote", row["vote"], row["voted_at_ms"])
    if row["inquiries"]:
        yield event("asked", str(row["inquiries"]), row["asked_at_ms"])
    if row["outcome"]:
        yield event("applied", row["outcome"], row["outcome_at_ms"])


def _common(row: Row) -> Row:
    """What a transaction is about; a participant's record of a transaction that no coordinator knows has none of it."""
    return {
        "gid": row.get("gid", ""), "amount_minor": row.get("amount_minor", 0),
        "currency": row.get("currency", ""), "method": row.get("method", ""),
    }  # fmt: skip


def _copy(
    databases: Path, start_ms: int, service: str, view: str, columns: tuple[str, ...],
    moments: tuple[tuple[str, str], ...],
) -> list[Row]:  # fmt: skip
    wanted = [*columns, *(source for _, source in moments)]
    rows = _read(databases, service, f"SELECT {', '.join(wanted)} FROM {view}")  # noqa: S608 - our own constants
    return [
        {name: _seconds(row.pop(source), start_ms) for name, source in moments} | {name: row[name] for name in columns}
        for row in rows
    ]


def _seconds(at_ms: int | None, start_ms: int) -> float:
    return float("nan") if at_ms is None else (at_ms - start_ms) / 1000


def _count(databases: Path, service: str, query: str) -> int:
    return int(next(iter(next(_read(databases, service, query)).values())))


def _read(databases: Path, service: str, query: str) -> Iterator[Row]:
    path = databases / f"{service}.sqlite"
    try:
        # Not mode=ro: such a connection leaves its -wal and -shm files behind when it is the last one.
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=rw", uri=True, timeout=5.0)) as connection:
            connection.execute("PRAGMA query_only = ON")
            connection.row_factory = sqlite3.Row
            yield from [dict(row) for row in connection.execute(query)]
    except sqlite3.Error as error:
        raise WorldError(f"cannot read the audit views of {service} in {path}: {error}") from error


class ResourceSampler:
    """CPU seconds per second and resident bytes of every process it is given, about twice a second."""

    def __init__(self) -> None:
        self.rows: list[Row] = []
        self._processes: dict[int, psutil.Process] = {}
        self._seen: dict[int, tuple[float, float]] = {}  # pid: (monotonic seconds, CPU seconds)
        self._next_s = float("-inf")

    def step(self, at_s: float, pids: Iterable[tuple[str, int]]) -> None:
        """Sample if it is time to; `pids` are (process name, pid) of what lives now."""
        if at_s < self._next_s:
            return
        self._next_s = at_s + SAMPLE_INTERVAL_S
        for name, pid in pids:
            self._sample(at_s, name, pid)

    def _sample(self, at_s: float, name: str, pid: int) -> None:
        try:
            process = self._processes.get(pid) or self._processes.setdefault(pid, psutil.Process(pid))
            with process.oneshot():
                times, rss_bytes = process.cpu_times(), process.memory_info().rss
        except psutil.NoSuchProcess:
            return
        now_s, cpu_s = time.monotonic(), times.user + times.system
        before_s, before_cpu_s = self._seen.get(pid, (now_s, cpu_s))
        self._seen[pid] = (now_s, cpu_s)
        if now_s > before_s:  # the first sample of a process only sets the mark
            rate = (cpu_s - before_cpu_s) / (now_s - before_s)
            self.rows.append({"at_s": at_s, "process": name, "cpu_s_per_s": rate, "rss_bytes": rss_bytes})
