"""Client operations: what a client wanted, however many HTTP attempts it took. The unit of availability.

An operation is one journey of one client. It is ok if every step's last attempt was ok and every money operation of it
was told ok: a retry that succeeds is a success, and a journey that dies before it could pay is a failure.
"""

import math

import numpy
import pandas

from scenarios.checks.remembered import remembered
from scenarios.history import History

GRAVITY = {"ok": 0, "fail": 1, "unknown": 2}
WORDS = tuple(GRAVITY)


@remembered
def operations(history: History) -> pandas.DataFrame:
    """One row an operation: operation, journey, intended_s, ended_s, outcome (the gravest of its steps)."""
    requests, payments = history["requests"], history["payments"]
    # Polling asks the same question again; only its last answer counts, as with any other step that is tried again.
    last = requests.sort_values("ended_s", kind="stable").drop_duplicates(["operation", "step"], keep="last")
    money = payments.assign(journey=payments["kind"], step=payments["kind"])
    # The money operation's own outcome stands for its attempts: it alone knows how a retried payment ended.
    last = last[~_told(last, payments)]
    columns = ["operation", "journey", "intended_s", "ended_s", "outcome"]
    parts = pandas.concat([part for part in (last[columns], money[columns]) if len(part)] or [last[columns]])
    parts = parts.assign(gravity=parts["outcome"].map(GRAVITY).astype("int64"))
    about = parts.groupby("operation", sort=False)
    table = about.agg(intended_s=("intended_s", "min"), ended_s=("ended_s", "max"), gravity=("gravity", "max"))
    table["journey"] = _journeys(requests, payments).reindex(table.index)
    table["outcome"] = [WORDS[gravity] for gravity in table["gravity"]]
    return table.reset_index()[columns]


def _told(attempts: pandas.DataFrame, payments: pandas.DataFrame) -> pandas.Series:
    told = pandas.MultiIndex.from_frame(payments[["operation", "kind"]])
    asked = pandas.MultiIndex.from_frame(
        attempts[["operation", "step"]].assign(step=attempts["step"].replace({"poll": "pay"}))
    )
    return pandas.Series(asked.isin(told), index=attempts.index)


def _journeys(requests: pandas.DataFrame, payments: pandas.DataFrame) -> pandas.Series:
    money = payments[["operation", "kind"]].rename(columns={"kind": "journey"})
    return pandas.concat([requests[["operation", "journey"]], money]).groupby("operation")["journey"].first()


@remembered
def by_second(history: History) -> pandas.DataFrame:
    """Successful and failed operations of each second, indexed by the second (its start).

    A success counts in the second in which it ended. A failure counts in that second too, and in each one at whose
    start the client was already waiting in vain: a client that waits 5 s for nothing has 5 bad seconds, not one.
    """
    table = operations(history)
    ok: dict[int, int] = {}
    failed: dict[int, int] = {}
    for intended_s, ended_s, outcome in zip(table["intended_s"], table["ended_s"], table["outcome"], strict=True):
        last = math.ceil(ended_s) - 1 if ended_s > 0 else math.floor(ended_s)
        if outcome == "ok":
            ok[last] = ok.get(last, 0) + 1
            continue
        for second in range(min(math.ceil(intended_s), last), last + 1):
            failed[second] = failed.get(second, 0) + 1
    seconds = sorted(ok.keys() | failed.keys())
    columns = {"ok": [ok.get(second, 0) for second in seconds], "failed": [failed.get(second, 0) for second in seconds]}
    counts = pandas.DataFrame(columns, index=pandas.Index(seconds, name="second", dtype="int64"))
    counts["success"] = counts["ok"] / numpy.maximum(1, counts["ok"] + counts["failed"])
    return counts
