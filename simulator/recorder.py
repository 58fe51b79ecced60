"""The history tables: what clients saw, and what is in the databases at the end, as every world writes them.

Transactions, votes, orders, stock, postings and charges are read from the simulated databases after the run, as the
audit views are read in the real platform: nothing here listens to the code under test.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from settlement.protocol.records import CoordinatorPhase
from simulator.channel import ChannelStore
from simulator.coordinator_node import Transaction, TransactionStore
from simulator.events import AUDIT, Trail
from simulator.network import Reply
from simulator.orders import OrderStore
from simulator.participant_node import BarrierStore
from simulator.payments import PaymentStore

NOT_YET = float("nan")
COLUMNS: dict[str, tuple[str, ...]] = {
    "requests": (
        "intended_s", "started_s", "ended_s", "operation", "journey", "step", "status", "outcome", "error", "replica",
        "trace_id",
    ),
    "payments": (
        "operation", "kind", "key", "gid", "order_no", "amount_minor", "currency", "method", "intended_s", "started_s",
        "ended_s", "outcome", "error",
    ),
    "transactions": (
        "gid", "kind", "key", "role", "event", "value", "at_s", "epoch", "heuristic", "amount_minor", "currency",
        "method",
    ),
    "faults": ("id", "kind", "target", "planned_s", "started_s", "ended_s", "hits", "detail"),
    "resources": ("at_s", "process", "cpu_s_per_s", "rss_bytes"),
    "stations": (
        "name", "kind", "capacity", "utilisation", "queue_mean", "queue_max", "wait_mean_s", "wait_max_s",
        "demand_mean_s", "arrivals", "completions",
    ),
    "orders": ("order_no", "user_id", "status", "total_minor", "currency", "paid_gid", "refund_gid", "created_s"),
    "stock": ("goods_id", "initial_units", "available_units", "reserved_units", "sold_units"),
    "postings": ("posting_id", "gid", "account", "currency", "amount_minor", "layer", "posted_s"),
    "holds": (
        "gid", "payment_gid", "kind", "method", "channel", "out_trade_no", "amount_minor", "currency", "state",
    ),
    "charges": (
        "channel", "out_trade_no", "state", "authorized_minor", "captured_minor", "refunded_minor", "currency",
        "updated_s",
    ),
    "events": ("event_id", "type", "subject", "occurred_s", "recorded_s"),
    "generator": ("planned", "started", "dropped", "lag_p99_s", "cpu_s_per_s", "workers_lost"),
    "services": ("service", "replica", "event", "at_s"),
}  # fmt: skip

Row = dict[str, Any]


@dataclass
class Recorder:
    """What is written down while the run goes on."""

    requests: list[tuple[Any, ...]] = field(default_factory=list)
    payments: list[Row] = field(default_factory=list)
    services: list[Row] = field(default_factory=list)
    resources: list[Row] = field(default_factory=list)
    stations: list[Row] = field(default_factory=list)

    def request(
        self,
        intended_s: float,
        started_s: float,
        operation: str,
        journey: str,
        step: str,
        reply: Reply,
        outcome: str,
        error: str,
        ended_s: float,
    ) -> None:
        """One HTTP attempt of a client."""
        trace_id = f"{len(self.requests) + 1:032x}"
        self.requests.append(
            (
                intended_s,
                started_s,
                ended_s,
                operation,
                journey,
                step,
                reply.status,
                outcome,
                error,
                reply.replica,
                trace_id,
            )
        )


@dataclass(frozen=True)
class Databases:
    """What survives everything: one store a service."""

    gateway: TransactionStore
    order: OrderStore
    payment: PaymentStore
    channel: ChannelStore
    trail: Trail

    @property
    def untold(self) -> bool:
        """Whether audit has not heard of everything yet."""
        return any(outbox.pending.get(AUDIT) for outbox in (self.gateway.outbox, self.order.events))


def tables(rows: dict[str, list[Any]]) -> dict[str, pd.DataFrame]:
    """The rows of all history tables as frames."""
    return {name: _frame(rows[name], columns) for name, columns in COLUMNS.items()}


def _frame(rows: list[Any], columns: Iterable[str]) -> pd.DataFrame:
    """Rows as a frame. Column by column: pandas takes three times as long to find the columns of dicts."""
    names = list(columns)
    if rows and isinstance(rows[0], dict):
        return pd.DataFrame({name: [row[name] for row in rows] for name in names})
    return pd.DataFrame(rows, columns=names)


def all_rows(recorder: Recorder, databases: Databases, faults: list[Row], generator: Row) -> dict[str, list[Any]]:
    """The rows of all history tables, in a fixed order: by time where there is one, else by number."""
    return {
        "requests": recorder.requests,
        "payments": recorder.payments,
        "transactions": _transactions(databases),
        "faults": faults,
        "resources": recorder.resources,
        "stations": recorder.stations,
        "orders": [_order(order) for order in databases.order.orders.values()],
        "stock": [{"goods_id": goods_id, **vars(stock)} for goods_id, stock in databases.order.stock.items()],
        "postings": databases.payment.books.rows(),
        "holds": [_hold(hold) for hold in databases.payment.holds.values()],
        "charges": [_charge(charge) for charge in databases.channel.charges.values()],
        "events": [
            {
                "event_id": event_id,
                "type": event.type,
                "subject": event.subject,
                "occurred_s": event.occurred_s,
                "recorded_s": recorded_s,
            }
            for event_id, (event, recorded_s) in databases.trail.recorded.items()
        ],
        "generator": [generator],
        "services": recorder.services,
    }


def _transactions(databases: Databases) -> list[Row]:
    rows = [row for transaction in databases.gateway.rows.values() for row in _decisions(transaction)]
    rows += _fenced(databases.gateway)
    for role, barrier in (("order", databases.order.barrier), ("payment", databases.payment.barrier)):
        rows += _votes(role, barrier, databases.gateway)
    return sorted(rows, key=lambda row: (row["at_s"], row["gid"], row["role"], row["event"]))


def _about(transaction: Transaction) -> Row:
    payload = transaction.payload
    return {
        "gid": transaction.gid,
        "kind": transaction.kind,
        "key": transaction.key,
        "epoch": transaction.lease.epoch,
        "heuristic": transaction.record.heuristic,
        "amount_minor": payload.amount_minor,
        "currency": payload.currency,
        "method": payload.method,
    }


def _decisions(transaction: Transaction) -> list[Row]:
    about = {**_about(transaction), "role": "coordinator"}
    record = transaction.record
    rows = [{**about, "event": "begun", "value": "", "at_s": transaction.begun_s}]
    if record.decision is not None:
        rows.append({**about, "event": "decided", "value": str(record.decision), "at_s": transaction.decided_s})
    if record.phase is CoordinatorPhase.CLOSED:
        rows.append({**about, "event": "closed", "value": str(record.decision), "at_s": transaction.closed_s})
    if record.phase is CoordinatorPhase.EXHAUSTED:
        rows.append({**about, "event": "exhausted", "value": str(record.decision), "at_s": transaction.exhausted_s})
    return rows


def _fenced(gateway: TransactionStore) -> list[Row]:
    return [
        {
            **_about(gateway.rows[write.gid]), "role": "coordinator", "event": "fenced", "epoch": write.epoch,
            "value": "" if write.decision is None else str(write.decision), "at_s": write.at_s,
        }
        for write in gateway.fenced
    ]  # fmt: skip


def _votes(role: str, barrier: BarrierStore, gateway: TransactionStore) -> list[Row]:
    rows = []
    for gid, row in barrier.rows.items():
        about = {**_about(gateway.rows[gid]), "role": role, "epoch": 0, "heuristic": False}
        if row.record.vote is not None:
            rows.append({**about, "event": "vote", "value": str(row.record.vote), "at_s": row.voted_s})
        if row.inquiries:
            rows.append({**about, "event": "asked", "value": str(row.inquiries), "at_s": row.asked_s})
        if row.outcome_s is not None:
            rows.append({**about, "event": "applied", "value": str(row.record.phase), "at_s": row.outcome_s})
    return rows


def _order(order: Any) -> Row:
    return {name: getattr(order, name) for name in COLUMNS["orders"]}


def _hold(hold: Any) -> Row:
    channel = "" if hold.method == "balance" else hold.method
    return {**{name: getattr(hold, name) for name in COLUMNS["holds"] if name != "channel"}, "channel": channel}


def _charge(charge: Any) -> Row:
    return {name: getattr(charge, name) for name in COLUMNS["charges"]}
