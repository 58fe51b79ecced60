"""A small builder of correct histories. A test takes one and breaks one thing.

    history = Run().payment("a").refund("a").build()

Payments come one a second, each decided 20 ms after it began and applied 10 ms later. Every record agrees: client,
coordinator, participants, ledger, order, stock and channel.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pandas

from scenarios.checks import CheckResult, judge_all
from scenarios.expectations import parse
from scenarios.history import History
from scenarios.plan import Arrival, LoadPlan, LoadStage, Phase, Plan, PlannedFault, PlatformPlan

CURRENCY, AMOUNT_MINOR, OPENING_MINOR = "CNY", 1_000, 1_000_000
Row = dict[str, Any]


def load_plan(kind: str = "open", stages: tuple[LoadStage, ...] = (LoadStage(0, 30, 1.0),)) -> LoadPlan:
    shares = {"pay": 0.7, "browse": 0.2, "refund": 0.1}
    methods = {"card": 0.5, "wallet": 0.3, "balance": 0.2}
    return LoadPlan(kind, 100, 5.0, 10.0, 0.0, stages, shares, methods)


class Run:
    """Collects the rows of a run. Every method returns the run itself; names of payments are stems of their keys."""

    def __init__(self, load_s: float = 30.0, duration_s: float = 40.0) -> None:
        self.rows: dict[str, list[Row]] = {}
        self.faults: list[PlannedFault] = []
        self.arrivals: list[Arrival] = []
        self.phases = [Phase("load", 0.0, load_s), Phase("baseline", 0.0, 10.0), Phase("recovery", load_s, duration_s)]
        self.load = load_plan(stages=(LoadStage(0.0, load_s, 1.0),))
        self.settings: dict[str, Any] = {}
        self.protocol = "two_phase"
        self.load_s, self.duration_s = load_s, duration_s
        self._stock = {
            "goods_id": 1,
            "initial_units": 100,
            "available_units": 100,
            "reserved_units": 0,
            "sold_units": 0,
        }
        self.add("stock", **self._stock)
        self.add("generator", planned=100, started=100, dropped=0, lag_p99_s=0.002, cpu_s_per_s=0.2, workers_lost=0)

    def add(self, table: str, **row: Any) -> Run:
        self.rows.setdefault(table, []).append(row)
        return self

    def payment(
        self,
        name: str,
        at_s: float = 1.0,
        method: str = "card",
        commit: bool = True,
        told: str = "",
        doubt_s: float = 0.01,
    ) -> Run:
        """A payment, told as it went unless `told` says otherwise, applied `doubt_s` after the decision."""
        gid, order_no = f"pay-{name}", f"order-{name}"
        self._client("pay", name, gid, at_s, method, told or ("ok" if commit else "fail"))
        self._transaction("payment", f"{name}-pay", gid, at_s, method, commit, doubt_s)
        status, paid_gid = ("paid", gid) if commit else ("pending", "")
        self.add(
            "orders", order_no=order_no, user_id=1, status=status, total_minor=AMOUNT_MINOR, currency=CURRENCY,
            paid_gid=paid_gid, refund_gid="", created_s=at_s,
        )  # fmt: skip
        self._money(gid, name, at_s, method, commit)
        if commit:
            self._move_stock(-1)
        return self

    def refund(self, name: str, at_s: float = 5.0, commit: bool = True) -> Run:
        """A refund of the committed payment `name`."""
        gid, paid = f"refund-{name}", f"pay-{name}"
        order = self._only("orders", "order_no", f"order-{name}")
        hold = self._only("holds", "gid", paid)
        self._client("refund", name, gid, at_s, hold["method"], "ok" if commit else "fail")
        self._transaction("refund", f"{name}-refund", gid, at_s, hold["method"], commit, 0.01)
        self.add("holds", **{**hold, "gid": gid, "payment_gid": paid, "kind": "refund", "state": "refunded"})
        if not commit:
            return self
        order.update(status="refunded", refund_gid=gid)
        source = self._source(hold["method"])
        self._entry(gid, at_s, "posted", {"merchant:settlement": -AMOUNT_MINOR, source: AMOUNT_MINOR})
        if hold["channel"]:
            self._only("charges", "out_trade_no", hold["out_trade_no"]).update(
                state="refunded", refunded_minor=AMOUNT_MINOR
            )
        self._move_stock(1)
        return self

    def grant(self) -> Run:
        """The opening balance of the one user."""
        return self._entry("grant-1", -5.0, "posted", {"equity:grants": -OPENING_MINOR, "user:1": OPENING_MINOR})

    def request(self, operation: str, at_s: float, lasts_s: float = 0.05, outcome: str = "ok", **changes: Any) -> Run:
        row: Row = {
            "intended_s": at_s, "started_s": at_s, "ended_s": at_s + lasts_s, "operation": operation,
            "journey": "browse", "step": "goods", "status": 200 if outcome == "ok" else 0, "outcome": outcome,
            "error": "", "replica": "order-0", "trace_id": "",
        }  # fmt: skip
        return self.add("requests", **{**row, **changes})

    def fault(self, kind: str = "kill", at_s: float = 10.0, until_s: float = 12.0, hits: int = 1) -> Run:
        """A fault that happened as planned."""
        name = f"f{len(self.faults) + 1}"
        self.faults.append(PlannedFault(name, kind, at_s, until_s, {}))
        return self.add(
            "faults", id=name, kind=kind, target="gateway-0", planned_s=at_s, started_s=at_s, ended_s=until_s,
            hits=hits, detail="",
        )  # fmt: skip

    def change(self, table: str, where: Callable[[Row], bool], **changes: Any) -> Run:
        """Break something: rows of `table` that match get other values. At least one has to match."""
        found = [row for row in self.rows[table] if where(row)]
        assert found, f"no such row in {table}"
        for row in found:
            row.update(changes)
        return self

    def drop(self, table: str, where: Callable[[Row], bool]) -> Run:
        """Break something: rows of `table` that match are lost. At least one has to match."""
        kept = [row for row in self.rows[table] if not where(row)]
        assert len(kept) < len(self.rows[table]), f"no such row in {table}"
        self.rows[table] = kept
        return self

    def event(self, like_gid: str, role: str, event: str, value: str, at_s: float, **changes: Any) -> Run:
        """One more record of a transaction, or, with another gid in `changes`, of one like it."""
        like = next(row for row in self.rows["transactions"] if row["gid"] == like_gid)
        changed = {"role": role, "event": event, "value": value, "at_s": at_s, "heuristic": False}
        return self.add("transactions", **{**like, **changed, **changes})

    def heard(self, subject: str, kind: str, at_s: float = 1.0) -> Run:
        """An event in the audit trail."""
        name = f"e{len(self.rows.get('events', []))}"
        return self.add("events", event_id=name, type=kind, subject=subject, occurred_s=at_s, recorded_s=at_s + 0.2)

    def plan(self) -> Plan:
        return Plan(
            "hand-written", 7, self.duration_s, self.load_s, 1, tuple(self.phases), tuple(self.arrivals),
            tuple(self.faults), self.load, PlatformPlan(protocol=self.protocol, settings=self.settings),
        )  # fmt: skip

    def build(self) -> History:
        tables = {name: pandas.DataFrame.from_records(rows) for name, rows in self.rows.items()}
        meta = {"question": "Does it hold?", "started_at": "2026-01-31T12:00:00Z"}
        return History(tables, self.plan(), "simulated", meta)

    def _client(self, kind: str, name: str, gid: str, at_s: float, method: str, outcome: str) -> None:
        self.add(
            "payments", operation=name, kind=kind, key=f"{name}-{kind}", gid="" if outcome == "unknown" else gid,
            order_no=f"order-{name}", amount_minor=AMOUNT_MINOR, currency=CURRENCY, method=method, intended_s=at_s,
            started_s=at_s, ended_s=at_s + 0.05, outcome=outcome, error="",
        )  # fmt: skip
        status = {"ok": 201, "fail": 402, "unknown": 0}[outcome]
        self.request(name, at_s, outcome=outcome, status=status, journey=kind, step=kind, replica="gateway-0")

    def _transaction(
        self, kind: str, key: str, gid: str, at_s: float, method: str, commit: bool, doubt_s: float
    ) -> None:
        common = {
            "gid": gid, "kind": kind, "key": key, "epoch": 0, "heuristic": False, "amount_minor": AMOUNT_MINOR,
            "currency": CURRENCY, "method": method,
        }  # fmt: skip
        decision, outcome = ("commit", "committed") if commit else ("abort", "aborted")
        votes = {"order": "yes", "payment": "yes" if commit else "no"}
        decided_s = at_s + 0.02
        self.add("transactions", **common, role="coordinator", event="begun", value="", at_s=at_s)
        for role, vote in votes.items():
            self.add("transactions", **common, role=role, event="vote", value=vote, at_s=at_s + 0.01)
        self.add("transactions", **common, role="coordinator", event="decided", value=decision, at_s=decided_s)
        for role in votes:
            self.add("transactions", **common, role=role, event="applied", value=outcome, at_s=decided_s + doubt_s)
        closed_s = decided_s + doubt_s + 0.01
        self.add("transactions", **common, role="coordinator", event="closed", value=decision, at_s=closed_s)
        self.heard(gid, f"{kind}.{'succeeded' if commit else 'failed'}", decided_s)

    def _money(self, gid: str, name: str, at_s: float, method: str, commit: bool) -> None:
        channel = "" if method == "balance" else method
        state = "captured" if commit else "voided"
        self.add(
            "holds", gid=gid, payment_gid="", kind="payment", method=method, channel=channel, out_trade_no=f"t-{name}",
            amount_minor=AMOUNT_MINOR, currency=CURRENCY, state=state,
        )  # fmt: skip
        source = self._source(method)
        self._entry(gid, at_s, "pending", {source: -AMOUNT_MINOR, f"hold:{gid}": AMOUNT_MINOR})
        self._entry(gid, at_s, "pending", {source: AMOUNT_MINOR, f"hold:{gid}": -AMOUNT_MINOR})
        if commit:
            self._entry(gid, at_s, "posted", {source: -AMOUNT_MINOR, "merchant:settlement": AMOUNT_MINOR})
        if channel:
            self.add(
                "charges", channel=channel, out_trade_no=f"t-{name}", state=state, authorized_minor=AMOUNT_MINOR,
                captured_minor=AMOUNT_MINOR if commit else 0, refunded_minor=0, currency=CURRENCY, updated_s=at_s,
            )  # fmt: skip

    def _entry(self, gid: str, at_s: float, layer: str, amounts: dict[str, int]) -> Run:
        for account, amount_minor in amounts.items():
            number = len(self.rows.get("postings", []))
            self.add(
                "postings", posting_id=f"p{number}", gid=gid, account=account, currency=CURRENCY,
                amount_minor=amount_minor, layer=layer, posted_s=at_s,
            )  # fmt: skip
        return self

    def _source(self, method: str) -> str:
        return "user:1" if method == "balance" else f"channel:{method}"

    def _move_stock(self, units: int) -> None:
        stock = self.rows["stock"][0]
        stock["available_units"] += units
        stock["sold_units"] -= units

    def _only(self, table: str, column: str, value: str) -> Row:
        (row,) = [row for row in self.rows[table] if row[column] == value]
        return row


def ordinary() -> Run:
    """A correct run with a bit of everything: methods, an abort, a refund, an unknown that committed, browsing."""
    run = Run().grant()
    run.payment("a", 1.0, "card").payment("b", 2.0, "wallet").payment("c", 3.0, "balance")
    run.payment("d", 4.0, "card", commit=False).payment("e", 5.0, "wallet", told="unknown")
    run.payment("f", 6.0, "card").refund("f", 8.0)
    for second in range(30):
        run.request(f"look-{second}", second + 0.1)
    return run


def judgement(run: Run, name: str) -> CheckResult:
    """What the check of this name says of the run; not all the rest that is measured for a whole verdict."""
    return judge_all(run.build(), [parse(name)])[0]
