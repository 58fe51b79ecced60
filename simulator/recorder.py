"""The history tables: what clients saw, and what is in the databases at the end, as every world writes them.

Transactions, votes, orders, stock, postings and charges are read from the simulated databases after the run, as the
audit views are read in the real platform: nothing here listens to the code under test.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from operator import attrgetter, itemgetter
from typing import Any, cast

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
_CLOSED, _EXHAUSTED = CoordinatorPhase.CLOSED, CoordinatorPhase.EXHAUSTED
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
History = dict[str, list[Sequence[Any]]]
"""By table, its columns in the order of COLUMNS (no columns: no rows). Few of them are ever put together as rows."""


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
        return any(outbox.untold(AUDIT) for outbox in (self.gateway.outbox, self.order.events))


def tables(history: History) -> dict[str, pd.DataFrame]:
    """History tables as frames."""
    return {name: _frame(columns, COLUMNS[name]) for name, columns in history.items()}


def _frame(columns: list[Sequence[Any]], names: tuple[str, ...]) -> pd.DataFrame:
    """Columns as a frame, by way of Arrow: it finds out what is in them in half the time that pandas takes."""
    if not columns or not columns[0]:
        return pd.DataFrame([], columns=list(names))
    table = pyarrow.table([pyarrow.array(each) for each in columns], names=list(names))
    frame: pd.DataFrame = table.to_pandas(use_threads=False)  # to hand it to threads costs more than to do it
    return frame


def named(history: History) -> dict[str, list[Any]]:
    """The rows by the names of their columns; the many requests as tuples."""
    rows: dict[str, list[Any]] = {name: list(zip(*columns, strict=True)) for name, columns in history.items()}
    return {
        name: each if name == "requests" else [dict(zip(COLUMNS[name], row, strict=True)) for row in each]
        for name, each in rows.items()
    }


def history_of(
    recorder: Recorder, databases: Databases, faults: list[Row], generator: Row, names: Iterable[str] = COLUMNS
) -> History:
    """History tables, their rows in a fixed order: by time where there is one, else by number."""
    stock, holds, recorded = databases.order.stock, databases.payment.holds, databases.trail.recorded
    made: dict[str, Callable[[], list[Sequence[Any]]]] = {
        "requests": lambda: _turned(recorder.requests),
        "payments": lambda: _turned(recorder.payments),
        "transactions": lambda: _transactions(databases),
        "faults": lambda: _in_order("faults", faults),
        "resources": lambda: _turned(recorder.resources),
        "stations": lambda: _in_order("stations", recorder.stations),
        "orders": lambda: _of_each(databases.order.orders.values(), *COLUMNS["orders"]),
        "stock": lambda: [list(stock), *_of_each(stock.values(), *COLUMNS["stock"][1:])],
        "postings": lambda: databases.payment.books.columns(),
        "holds": lambda: _holds(holds.values()),
        "charges": lambda: _of_each(databases.channel.charges.values(), *COLUMNS["charges"]),
        "events": lambda: [
            list(recorded),
            *_of_each([event for event, _ in recorded.values()], "type", "subject", "occurred_s"),
            [recorded_s for _, recorded_s in recorded.values()],
        ],
        "generator": lambda: _in_order("generator", [generator]),
        "services": lambda: _turned(recorder.services),
    }
    return {name: made[name]() for name in names}


def _turned(rows: list[tuple[Any, ...]]) -> list[Sequence[Any]]:
    return list(zip(*rows, strict=True))


def _in_order(table: str, rows: list[Row]) -> list[Sequence[Any]]:
    return [[row[name] for row in rows] for name in COLUMNS[table]]


def _of_each(objects: Collection[Any], *attributes: str) -> list[Sequence[Any]]:
    """A column of each attribute."""
    return [list(map(attrgetter(name), objects)) for name in attributes]


def _holds(holds: Collection[Hold]) -> list[Sequence[Any]]:
    gid, payment_gid, kind, method = _of_each(holds, "gid", "payment_gid", "kind", "method")
    channel = ["" if each == "balance" else each for each in method]
    return [
        gid, payment_gid, kind, method, channel, *_of_each(holds, "out_trade_no", "amount_minor", "currency", "state")
    ]  # fmt: skip


_Change = tuple[float | None, str, str, str, str, int, bool, Transaction]
"""At what time, of which gid, by whom, what, to which value; epoch, whether heuristic; the transaction."""


def _transactions(databases: Databases) -> list[Sequence[Any]]:
    changes = [each for transaction in databases.gateway.rows.values() for each in _decisions(transaction)]
    changes += _fenced(databases.gateway)
    for role, barrier in (("order", databases.order.barrier), ("payment", databases.payment.barrier)):
        changes += _votes(role, barrier, databases.gateway)
    if not changes:
        return []
    _sort(changes)
    at_s, gid, role_, event, value, epoch, heuristic, about = zip(*changes, strict=True)
    kind, key = _of_each(about, "kind", "key")
    last = _of_each([each.payload for each in about], "amount_minor", "currency", "method")
    return [gid, kind, key, role_, event, value, at_s, epoch, heuristic, *last]


def _sort(changes: list[_Change]) -> None:
    """By time, then by gid, who and what. Numbers are sorted in a third of the time, and few are equal."""
    changes.sort(key=itemgetter(0))
    times_s = [cast(float, change[0]) for change in changes]
    shared_s = {time_s for time_s, following_s in pairwise(times_s) if time_s == following_s}
    for time_s in shared_s:
        at_once = slice(bisect_left(times_s, time_s), bisect_right(times_s, time_s))
        changes[at_once] = sorted(changes[at_once], key=itemgetter(1, 2, 3))


def _decisions(transaction: Transaction) -> list[_Change]:
    record, gid = transaction.record, transaction.gid
    last = transaction.lease.epoch, record.heuristic, transaction
    changes: list[_Change] = [(transaction.begun_s, gid, "coordinator", "begun", "", *last)]
    if record.decision is not None:
        changes.append((transaction.decided_s, gid, "coordinator", "decided", str(record.decision), *last))
    if record.phase is _CLOSED:
        changes.append((transaction.closed_s, gid, "coordinator", "closed", str(record.decision), *last))
    if record.phase is _EXHAUSTED:
        changes.append((transaction.exhausted_s, gid, "coordinator", "exhausted", str(record.decision), *last))
    return changes


def _fenced(gateway: TransactionStore) -> list[_Change]:
    changes: list[_Change] = []
    for write in gateway.fenced:
        row = gateway.rows[write.gid]
        said = "" if write.decision is None else str(write.decision)
        changes.append((write.at_s, row.gid, "coordinator", "fenced", said, write.epoch, row.record.heuristic, row))
    return changes


def _votes(role: str, barrier: BarrierStore, gateway: TransactionStore) -> list[_Change]:
    changes: list[_Change] = []
    for gid, row in barrier.rows.items():
        last = 0, False, gateway.rows[gid]
        if row.record.vote is not None:
            changes.append((row.voted_s, gid, role, "vote", str(row.record.vote), *last))
        if row.inquiries:
            changes.append((row.asked_s, gid, role, "asked", str(row.inquiries), *last))
        if row.outcome_s is not None:
            changes.append((row.outcome_s, gid, role, "applied", str(row.record.phase), *last))
    return changes
