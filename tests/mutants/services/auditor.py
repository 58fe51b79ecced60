"""From the audit views of a house to the checks of every run: the same judges as for `paylab run`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from scenarios.checks import NAMED, CheckResult, Outcome
from scenarios.checks.transactions import coordinated, participated
from scenarios.history import History
from scenarios.plan import LoadPlan, Plan, PlatformPlan
from scenarios.worlds.collector import audit_tables
from settlement.topology import DEFAULT_TOPOLOGY

from .customer import Operation
from .house import SETTINGS, House

CHECKS: Final = ("atomic", "money_conserved", "client_truth", "events_delivered")
IN_DOUBT = "SELECT 1 FROM audit_votes WHERE vote = 'yes' AND outcome IS NULL"
OPEN = "SELECT 1 FROM audit_decisions WHERE closed_at_ms IS NULL AND state <> 'exhausted'"
UNTOLD = "SELECT 1 FROM outbox_events WHERE subscriber = 'audit'"


def history_of(
    house: House, began_ms: int, operations: Sequence[Operation], troubles: Sequence[dict[str, Any]]
) -> History:
    """Everything that the services have written, what customers were told, and what went wrong meanwhile."""
    tables: dict[str, Any] = audit_tables(house.data, began_ms)
    tables["payments"] = [_told(operation, began_ms) for operation in operations]
    tables["faults"] = list(troubles)
    duration_s = (house.clock.now_ms() - began_ms) / 1_000
    settings = {"gateway.prepare_timeout_ms": SETTINGS["gateway.prepare_timeout_ms"]}
    plan = Plan(
        scenario="services", seed=0, duration_s=duration_s, load_s=duration_s, goods_count=3, phases=(), arrivals=(),
        faults=(), load=LoadPlan("open", 1, 5.0, 0.0, 0.0, (), {}, {}),
        platform=PlatformPlan(DEFAULT_TOPOLOGY, "two_phase", {}, settings),
    )  # fmt: skip
    return History(tables, plan, "services")


def _told(operation: Operation, began_ms: int) -> dict[str, Any]:
    began_s, ended_s = (operation.began_ms - began_ms) / 1_000, (operation.ended_ms - began_ms) / 1_000
    return {
        "operation": operation.key, "kind": operation.kind, "key": operation.key, "gid": operation.gid,
        "order_no": operation.order_no, "amount_minor": operation.amount_minor, "currency": operation.currency,
        "method": operation.method, "intended_s": began_s, "started_s": began_s, "ended_s": ended_s,
        "outcome": operation.outcome, "error": operation.error,
    }  # fmt: skip


def trouble_row(name: str, began_s: float, ended_s: float) -> dict[str, Any]:
    """A fault of the history."""
    return {
        "id": name, "kind": "crash_at", "target": name, "planned_s": began_s, "started_s": began_s, "ended_s": ended_s,
        "hits": 1, "detail": "",
    }  # fmt: skip


@dataclass(frozen=True)
class Wrong:
    """What a judge found, '' if nothing, and everything that the evidence names."""

    what: str = ""
    named: frozenset[str] = frozenset()

    def names(self, *names: str) -> bool:
        """Whether the evidence is about any of these."""
        return any(name in self.named for name in names if name)


def wrong(history: History) -> Wrong:
    """The first thing that the checks find."""
    for name in CHECKS:
        result = NAMED[name](history)
        if result.verdict is Outcome.FAIL:
            return Wrong(f"{name}: {_parts(result)}", _named(history, result.evidence))
    gid, role = closed_too_early(history)
    what = f"acknowledged: {role} acknowledged a decision before it had applied it"
    return Wrong(what, _named(history, [{"gid": gid}])) if gid else Wrong()


def _parts(result: CheckResult) -> str:
    return ", ".join(part.name for part in result.parts if part.violations) or result.explanation


def _named(history: History, evidence: Sequence[dict[str, Any]]) -> frozenset[str]:
    """All texts of the evidence, and the keys under which the transactions among them were begun."""
    texts = {value for row in evidence for value in row.values() if isinstance(value, str)}
    known = coordinated(history)
    return frozenset(texts | set(known[known["gid"].isin(texts)]["key"]))


def closed_too_early(history: History) -> tuple[str, str]:
    """(gid, participant) of one who has acknowledged and not yet applied: what is closed may be forgotten.

    All replicas of a house have one clock, so this can be asked here; of several machines it cannot.
    """
    closed = coordinated(history).set_index("gid")["closed_s"]
    applied = participated(history)
    for gid, role, applied_s in zip(applied["gid"], applied["role"], applied["applied_s"], strict=True):
        if gid in closed.index and not math.isnan(closed[gid]) and not applied_s <= closed[gid]:
            return gid, role
    return "", ""
