"""The platform's transactions, one row each: what the coordinator decided, what each participant voted and applied."""

import numpy
import pandas

from scenarios.checks.remembered import remembered
from scenarios.history import History

PARTICIPANTS = ("order", "payment")
"""Both take part in both kinds of transaction (payment and refund)."""

OUTCOME_OF_DECISION = {"commit": "committed", "abort": "aborted"}

NOTICE_S = 0.5
"""How long after a death its time may be taken: the engine of a busy machine notices late what killed a container."""


@remembered
def coordinated(history: History) -> pandas.DataFrame:
    """One row a gid that the coordinator knows, in order of beginning.

    Columns: gid, kind, key, amount_minor, currency, method, epoch, begun_s, decision ('' if undecided), decided_s,
    closed_s, exhausted_s, heuristic. A reversed decision keeps the last one here; atomicity sees the reversal itself.
    """
    rows = history["transactions"]
    rows = rows[rows["role"] == "coordinator"].sort_values("at_s", kind="stable")
    about = rows.groupby("gid", sort=False)
    columns = ["kind", "key", "amount_minor", "currency", "method"]
    table = about[columns].first().join(about[["epoch", "heuristic"]].max())
    table["begun_s"] = about["at_s"].min()
    for event in ("decided", "closed", "exhausted"):
        table[f"{event}_s"] = rows[rows["event"] == event].groupby("gid")["at_s"].first()
    decided = rows[rows["event"] == "decided"].groupby("gid")["value"].last()
    table["decision"] = decided.reindex(table.index).fillna("").astype(str)
    return table.reset_index()


@remembered
def participated(history: History) -> pandas.DataFrame:
    """One row a (gid, role) of the participants, with vote ('' if none), voted_s, outcome ('' if none), applied_s."""
    rows = history["transactions"]
    rows = rows[rows["role"] != "coordinator"].sort_values("at_s", kind="stable")
    votes, applied = rows[rows["event"] == "vote"], rows[rows["event"] == "applied"]
    key = ["gid", "role"]
    table = rows.groupby(key, sort=False)[["kind", "method"]].first()
    table["vote"], table["voted_s"] = votes.groupby(key)["value"].last(), votes.groupby(key)["at_s"].first()
    table["outcome"], table["applied_s"] = applied.groupby(key)["value"].last(), applied.groupby(key)["at_s"].first()
    for column in ("vote", "outcome"):
        table[column] = table[column].fillna("").astype(str)
    return table.reset_index()


def committed(history: History, kind: str | None = None) -> pandas.DataFrame:
    """The rows of `coordinated` that were committed, of one kind if `kind` says so."""
    table = coordinated(history)
    wanted = table["decision"] == "commit"
    return table[wanted & (table["kind"] == kind)] if kind else table[wanted]


@remembered
def end_s(history: History) -> float:
    """The last moment that the history knows of: the planned end, or the last event if that was later."""
    times = [history["transactions"]["at_s"], history["requests"]["ended_s"], history["payments"]["ended_s"]]
    latest = [float(column.max()) for column in times if len(column) and column.notna().any()]
    return max([history.plan.duration_s, *latest])


def overlaps_fault(
    history: History, start_s: pandas.Series, end_s: pandas.Series, grace_s: float = 0.0
) -> pandas.Series:
    """For each interval, whether a fault was active in it, or a service was down; faults last `grace_s` longer.

    They count from `NOTICE_S` before the time on record.
    """
    touched = numpy.zeros(len(start_s), dtype=bool)
    for began_s, ended_s in troubles(history):
        touched |= ((start_s < ended_s + grace_s) & (end_s >= began_s - NOTICE_S)).to_numpy()
    return pandas.Series(touched, index=start_s.index)


def troubles(history: History) -> list[tuple[float, float]]:
    """When something was wrong: the faults that did happen, and services that were down (also unplanned)."""
    last_s = end_s(history)
    faults = history["faults"].dropna(subset=["started_s"])
    windows = list(zip(faults["started_s"].tolist(), faults["ended_s"].fillna(last_s).tolist(), strict=True))
    for _, events in history["services"].sort_values("at_s", kind="stable").groupby("replica", sort=True):
        down_s: float | None = None
        for event, at_s in zip(events["event"], events["at_s"], strict=True):
            if event == "died":
                down_s = float(at_s)
            elif event in ("ready", "restarted") and down_s is not None:
                windows.append((down_s, float(at_s)))
                down_s = None
        if down_s is not None:
            windows.append((down_s, last_s))
    return windows
