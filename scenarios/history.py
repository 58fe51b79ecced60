"""What happened in a run, as tables: the only thing that the checks read.

Every world writes the same tables with the same columns, so a check cannot know which world made them. Times are
seconds from the run's start (the first moment an arrival is possible; negative before it), money is integer minor
units. A text that is not known is '', a time that is not known is NaN; integers and booleans are always known.

On disk a history is one Parquet file a table, `plan.json`, and `history.json` with the world and the meta data.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import pandas
import pyarrow
import pyarrow.parquet

from scenarios.errors import LabError
from scenarios.plan import Plan

TEXT, TIME, TRUTH = pyarrow.string(), pyarrow.float64(), pyarrow.bool_()
INTEGER, SMALL = pyarrow.int64(), pyarrow.int32()

GENERATOR = "loadtests"
"""The load generator's name among the processes of a run."""

Column: TypeAlias = "pandas.Series[Any]"


def _schema(**columns: pyarrow.DataType) -> pyarrow.Schema:
    return pyarrow.schema(list(columns.items()))


SCHEMAS: dict[str, pyarrow.Schema] = {
    # One row an HTTP attempt of a client. status 0: no answer. outcome: ok | fail | unknown.
    "requests": _schema(
        intended_s=TIME, started_s=TIME, ended_s=TIME, operation=TEXT, journey=TEXT, step=TEXT, status=SMALL,
        outcome=TEXT, error=TEXT, replica=TEXT, trace_id=TEXT,
    ),
    # One row a client money operation, however many attempts it took. kind: pay | refund. gid '' if never told.
    "payments": _schema(
        operation=TEXT, kind=TEXT, key=TEXT, gid=TEXT, order_no=TEXT, amount_minor=INTEGER, currency=TEXT, method=TEXT,
        intended_s=TIME, started_s=TIME, ended_s=TIME, outcome=TEXT, error=TEXT,
    ),
    # The platform's own record. role: coordinator | order | payment.
    # event: begun | vote | asked | decided | applied | closed | exhausted | fenced | intervened.
    # value: yes | no | commit | abort | committed | aborted; of asked how often; of intervened also resume | forget;
    # of fenced (a write of somebody who had lost the transaction, under the old epoch) the decision it would have been.
    "transactions": _schema(
        gid=TEXT, kind=TEXT, key=TEXT, role=TEXT, event=TEXT, value=TEXT, at_s=TIME, epoch=SMALL, heuristic=TRUTH,
        amount_minor=INTEGER, currency=TEXT, method=TEXT,
    ),
    "faults": _schema(
        id=TEXT, kind=TEXT, target=TEXT, planned_s=TIME, started_s=TIME, ended_s=TIME, hits=INTEGER, detail=TEXT
    ),
    "resources": _schema(at_s=TIME, process=TEXT, cpu_s_per_s=TIME, rss_bytes=INTEGER),
    # One row a resource of the model, averaged over the whole run: hosts (a queue is the jobs beyond the cores), event
    # loops (kind process; a demand is the time that a piece of work occupies the loop) and pools of connections.
    # Real worlds leave it empty.
    "stations": _schema(
        name=TEXT, kind=TEXT, capacity=TIME, utilisation=TIME, queue_mean=TIME, queue_max=INTEGER, wait_mean_s=TIME,
        wait_max_s=TIME, demand_mean_s=TIME, arrivals=INTEGER, completions=INTEGER,
    ),
    "orders": _schema(
        order_no=TEXT, user_id=INTEGER, status=TEXT, total_minor=INTEGER, currency=TEXT, paid_gid=TEXT, refund_gid=TEXT,
        created_s=TIME,
    ),
    "stock": _schema(
        goods_id=INTEGER, initial_units=INTEGER, available_units=INTEGER, reserved_units=INTEGER, sold_units=INTEGER
    ),
    "postings": _schema(
        posting_id=TEXT, gid=TEXT, account=TEXT, currency=TEXT, amount_minor=INTEGER, layer=TEXT, posted_s=TIME
    ),
    # payment's `audit_payments`: what it holds or has taken for each transaction.
    "holds": _schema(
        gid=TEXT, payment_gid=TEXT, kind=TEXT, method=TEXT, channel=TEXT, out_trade_no=TEXT, amount_minor=INTEGER,
        currency=TEXT, state=TEXT,
    ),
    "charges": _schema(
        channel=TEXT, out_trade_no=TEXT, state=TEXT, authorized_minor=INTEGER, captured_minor=INTEGER,
        refunded_minor=INTEGER, currency=TEXT, updated_s=TIME,
    ),
    # The audit service's trail. subject: a gid, an order number and so on.
    "events": _schema(event_id=TEXT, type=TEXT, subject=TEXT, occurred_s=TIME, recorded_s=TIME),
    # One row. lag_p99_s: actual minus intended start.
    "generator": _schema(
        planned=INTEGER, started=INTEGER, dropped=INTEGER, lag_p99_s=TIME, cpu_s_per_s=TIME, workers_lost=SMALL
    ),
    # What real services recorded of the requests (see trace.sample_share): the simulated world leaves it empty.
    # attributes: a JSON object. parent_id: '' or one outside the run.
    "spans": _schema(
        trace_id=TEXT, span_id=TEXT, parent_id=TEXT, name=TEXT, kind=TEXT, service=TEXT, replica=TEXT, gid=TEXT,
        started_s=TIME, ended_s=TIME, failed=TRUTH, attributes=TEXT,
    ),
    # event: started | ready | died | restarted | stopped.
    "services": _schema(service=TEXT, replica=TEXT, event=TEXT, at_s=TIME),
}  # fmt: skip


class HistoryError(LabError):
    """A history that cannot be read or built: the message names the table or file and what is wrong with it."""


@dataclass(frozen=True)
class History:
    """All tables of one run (every name of SCHEMAS is present), the plan it played, and the world that played it.

    `meta` holds what is true of this run but is no event: `started_at` (UTC, ISO 8601), host, versions, log folder.
    """

    tables: dict[str, pandas.DataFrame]
    plan: Plan
    world: str
    meta: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        unknown = sorted(set(self.tables) - set(SCHEMAS))
        if unknown:
            raise HistoryError(f"unknown tables: {', '.join(unknown)}; a history has {', '.join(SCHEMAS)}")
        complete = {name: frame(name, self.tables.get(name, ())) for name in SCHEMAS}
        object.__setattr__(self, "tables", complete)

    def __getitem__(self, table: str) -> pandas.DataFrame:
        """The table called `table`, with exactly the columns of SCHEMAS[table]."""
        return self.tables[table]


def frame(name: str, rows: pandas.DataFrame | Iterable[Mapping[str, Any]]) -> pandas.DataFrame:
    """A table of SCHEMAS from rows or a loose frame: columns in order, right types, no missing texts.

    Raises HistoryError for missing or unknown columns and for values that do not fit.
    """
    schema = SCHEMAS[name]
    loose = rows if isinstance(rows, pandas.DataFrame) else pandas.DataFrame.from_records(list(rows))
    if loose.empty:
        empty: pandas.DataFrame = schema.empty_table().to_pandas()
        return empty
    missing, unknown = set(schema.names) - set(loose.columns), set(loose.columns) - set(schema.names)
    if missing or unknown:
        raise HistoryError(f"{name}: missing columns {sorted(missing)}, unknown columns {sorted(unknown)}")
    columns = {}
    for column in schema:
        try:
            columns[column.name] = _typed(loose[column.name], column.type)
        except (TypeError, ValueError) as error:
            raise HistoryError(f"{name}.{column.name}: {error}; expected {column.type}") from error
    return pandas.DataFrame(columns).reset_index(drop=True)


def _typed(values: Column, kind: pyarrow.DataType) -> Column:
    if kind == TEXT:
        texts: Column = values.astype(object).where(values.notna(), "").astype("str")
        return texts
    if kind == TIME:
        return values.astype("float64")
    if values.isna().any():
        raise ValueError("a value is missing")
    numbers: Column = values.astype({INTEGER: "int64", SMALL: "int32", TRUTH: "bool"}[kind])  # type: ignore[call-overload]
    return numbers


def history_sha256(history: History) -> str:
    """Hex digest of every value of every table, in order: the same digest means the same history, byte for byte."""
    digest = hashlib.sha256()
    for name in sorted(SCHEMAS):
        table = history[name]
        digest.update(f"{name} {len(table)}\n".encode())
        for column in SCHEMAS[name].names:
            digest.update(json.dumps([column, table[column].tolist()]).encode())
    return digest.hexdigest()


def write(history: History, folder: Path) -> None:
    """Save the tables, `plan.json` and `history.json` into the existing `folder`. Raises OSError as the disk does."""
    for name, table in history.tables.items():
        columns = pyarrow.Table.from_pandas(table, schema=SCHEMAS[name], preserve_index=False)
        pyarrow.parquet.write_table(columns.replace_schema_metadata(None), folder / f"{name}.parquet")
    (folder / "plan.json").write_text(history.plan.to_json(), encoding="utf-8")
    about = {"world": history.world, "meta": history.meta}
    (folder / "history.json").write_text(json.dumps(about, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def read(folder: Path) -> History:
    """The history saved in `folder`. Raises HistoryError that names the missing or damaged file."""
    about = json.loads(_text_of(folder / "history.json"))
    tables = {}
    for name in SCHEMAS:
        path = folder / f"{name}.parquet"
        try:
            tables[name] = pyarrow.parquet.read_table(path).to_pandas()
        except (OSError, pyarrow.ArrowException) as error:
            raise HistoryError(f"{path}: cannot be read: {error}") from error
    return History(tables, Plan.from_json(_text_of(folder / "plan.json")), about["world"], about["meta"])


def _text_of(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise HistoryError(f"{path}: cannot be read: {error.strerror}; is this a finished run's folder?") from error
