"""The history tables: what clients saw, and what is in the databases at the end, as every world writes them.

Transactions, votes, orders, stock, postings and charges are read from the simulated databases after the run, as the
audit views are read in the real platform: nothing here listens to the code under test.
"""

from dataclasses import dataclass, field
from operator import attrgetter, itemgetter
from typing import Any

import pandas as pd
import pyarrow

from settlement.protocol.records import CoordinatorPhase
from simulator.channel import ChannelStore
from simulator.coordinator_node import Transaction, TransactionStore
from simulator.events import AUDIT, Trail
from simulator.network import Reply
from simulator.orders import OrderStore
from simulator.participant_node import BarrierStore
from simulator.payments import Hold, PaymentStore

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
Rows = dict[str, list[tuple[Any, ...]]]
"""By table, the values of each row in the order of COLUMNS."""


@dataclass
class Recorder:
    """What is written down while the run goes on."""

    requests: list[tuple[Any, ...]] = field(default_factory=list)
    payments: list[tuple[Any, ...]] = field(default_factory=list)
    services: list[tuple[Any, ...]] = field(default_factory=list)
    resources: list[tuple[Any, ...]] = field(default_factory=list)
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


def tables(rows: Rows) -> dict[str, pd.DataFrame]:
    """The rows of all history tables as frames."""
    return {name: _frame(rows[name], columns) for name, columns in COLUMNS.items()}


def _frame(rows: list[tuple[Any, ...]], columns: tuple[str, ...]) -> pd.DataFrame:
    """Rows as a frame, by way of Arrow: it finds out what is in a column in half the time that pandas takes."""
    if not rows:
        return pd.DataFrame([], columns=list(columns))
    arrays = [pyarrow.array(values) for values in zip(*rows, strict=True)]
    frame: pd.DataFrame = pyarrow.table(arrays, names=list(columns)).to_pandas()
    return frame


def named(rows: Rows) -> dict[str, list[Any]]:
    """The same rows by the names of their columns; the many requests stay as they are."""
    return {
        name: each if name == "requests" else [dict(zip(COLUMNS[name], row, strict=True)) for row in each]
        for name, each in rows.items()
    }


def all_rows(recorder: Recorder, databases: Databases, faults: list[Row], generator: Row) -> Rows:
    """The rows of all history tables, in a fixed order: by time where there is one, else by number."""
    return {
        "requests": recorder.requests,
        "payments": recorder.payments,
        "transactions": _transactions(databases),
        "faults": _in_order("faults", faults),
        "resources": recorder.resources,
        "stations": _in_order("stations", recorder.stations),
        "orders": [_order(order) for order in databases.order.orders.values()],
        "stock": [
            (goods_id, each.initial_units, each.available_units, each.reserved_units, each.sold_units)
            for goods_id, each in databases.order.stock.items()
        ],
        "postings": databases.payment.books.rows(),
        "holds": [_hold(hold) for hold in databases.payment.holds.values()],
        "charges": [_charge(charge) for charge in databases.channel.charges.values()],
        "events": [
            (event_id, event.type, event.subject, event.occurred_s, recorded_s)
            for event_id, (event, recorded_s) in databases.trail.recorded.items()
        ],
        "generator": _in_order("generator", [generator]),
        "services": recorder.services,
    }


def _in_order(table: str, rows: list[Row]) -> list[tuple[Any, ...]]:
    return [tuple(row[name] for name in COLUMNS[table]) for row in rows]


_AT_S, _GID, _ROLE, _EVENT = (COLUMNS["transactions"].index(name) for name in ("at_s", "gid", "role", "event"))


def _transactions(databases: Databases) -> list[tuple[Any, ...]]:
    rows = [row for transaction in databases.gateway.rows.values() for row in _decisions(transaction)]
    rows += _fenced(databases.gateway)
    for role, barrier in (("order", databases.order.barrier), ("payment", databases.payment.barrier)):
        rows += _votes(role, barrier, databases.gateway)
    return sorted(rows, key=itemgetter(_AT_S, _GID, _ROLE, _EVENT))


def _about(transaction: Transaction) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    """The first and the last columns of all rows about a transaction."""
    payload = transaction.payload
    return (
        (transaction.gid, transaction.kind, transaction.key),
        (payload.amount_minor, payload.currency, payload.method),
    )


def _decisions(transaction: Transaction) -> list[tuple[Any, ...]]:
    record = transaction.record
    first, last = _about(transaction)
    last = (transaction.lease.epoch, record.heuristic, *last)
    rows = [(*first, "coordinator", "begun", "", transaction.begun_s, *last)]
    if record.decision is not None:
        decision = str(record.decision)
        rows.append((*first, "coordinator", "decided", decision, transaction.decided_s, *last))
    if record.phase is CoordinatorPhase.CLOSED:
        rows.append((*first, "coordinator", "closed", str(record.decision), transaction.closed_s, *last))
    if record.phase is CoordinatorPhase.EXHAUSTED:
        rows.append((*first, "coordinator", "exhausted", str(record.decision), transaction.exhausted_s, *last))
    return rows


def _fenced(gateway: TransactionStore) -> list[tuple[Any, ...]]:
    rows = []
    for write in gateway.fenced:
        row = gateway.rows[write.gid]
        first, last = _about(row)
        said = "" if write.decision is None else str(write.decision)
        rows.append((*first, "coordinator", "fenced", said, write.at_s, write.epoch, row.record.heuristic, *last))
    return rows


def _votes(role: str, barrier: BarrierStore, gateway: TransactionStore) -> list[tuple[Any, ...]]:
    rows: list[tuple[Any, ...]] = []
    for gid, row in barrier.rows.items():
        first, last = _about(gateway.rows[gid])
        last = (0, False, *last)
        if row.record.vote is not None:
            rows.append((*first, role, "vote", str(row.record.vote), row.voted_s, *last))
        if row.inquiries:
            rows.append((*first, role, "asked", str(row.inquiries), row.asked_s, *last))
        if row.outcome_s is not None:
            rows.append((*first, role, "applied", str(row.record.phase), row.outcome_s, *last))
    return rows


_order = attrgetter(*COLUMNS["orders"])
_charge = attrgetter(*COLUMNS["charges"])


def _hold(hold: Hold) -> tuple[Any, ...]:
    channel = "" if hold.method == "balance" else hold.method
    return (
        hold.gid, hold.payment_gid, hold.kind, hold.method, channel, hold.out_trade_no, hold.amount_minor,
        hold.currency, hold.state,
    )  # fmt: skip
