"""Time in doubt: from a participant's yes until that participant applied the outcome. It holds stock and money
meanwhile.

What was never applied is in doubt until the end of the run. The coordinator's side is from its decision until the last
participant acknowledged it (`closed`): after it, nothing of the transaction is left to do.

A participant reserves with its vote, in one local transaction, and lets go when it applies the outcome. So the time in
doubt of the order service is how long goods were held, that of the payment service how long money was.
"""

import math

import numpy
import pandas

from scenarios.checks.latency import statistic
from scenarios.checks.remembered import remembered
from scenarios.checks.transactions import coordinated, end_s, participated
from scenarios.history import History


@remembered
def intervals(history: History) -> pandas.DataFrame:
    """One row a yes vote: gid, role, kind, method, from_s, until_s, resolved, duration_s."""
    table = participated(history)
    table = table[table["vote"] == "yes"]
    resolved = table["applied_s"].notna()
    until_s = table["applied_s"].fillna(end_s(history))
    # Clocks are rounded to milliseconds, so an outcome may seem to come just before the vote.
    duration_s = (until_s - table["voted_s"]).clip(lower=0.0)
    named = table[["gid", "role", "kind", "method"]].assign(from_s=table["voted_s"], until_s=until_s)
    return named.assign(resolved=resolved, duration_s=duration_s)


def coordinator_intervals(history: History) -> pandas.DataFrame:
    """One row a decision: gid, kind, decision, from_s (decided), until_s (closed), duration_s."""
    table = coordinated(history)
    table = table[table["decision"] != ""]
    until_s = table["closed_s"].fillna(end_s(history))
    named = table[["gid", "kind", "decision"]].assign(from_s=table["decided_s"], until_s=until_s)
    return named.assign(duration_s=until_s - table["decided_s"])


def in_doubt(history: History, name: str, start_s: float, stop_s: float, role: str = "") -> float:
    """A statistic of the durations of yes votes given in [start_s, stop_s), seconds; NaN if there were none.

    With a `role` of that participant's votes alone: how long what it reserved was held.
    """
    table = intervals(history)
    if role:
        table = table[table["role"] == role]
    within = (table["from_s"] >= start_s) & (table["from_s"] < stop_s)
    return statistic(table["duration_s"][within], name)


def count(history: History, start_s: float = -math.inf, stop_s: float = math.inf) -> int:
    """Transactions in doubt at any moment of an active fault within [start_s, stop_s)."""
    table = intervals(history)
    touched: set[str] = set()
    for began_s, ended_s in active_faults(history):
        low_s, high_s = max(began_s, start_s), min(ended_s, stop_s)
        touched |= set(table["gid"][(table["from_s"] < high_s) & (table["until_s"] > low_s) & (low_s < high_s)])
    return len(touched)


def active_faults(history: History) -> list[tuple[float, float]]:
    """When faults of the scenario were active, as they really happened."""
    faults = history["faults"].dropna(subset=["started_s"])
    return list(zip(faults["started_s"].tolist(), faults["ended_s"].fillna(end_s(history)).tolist(), strict=True))


def timeline(history: History, step_s: float = 0.1) -> pandas.Series:
    """Transactions in doubt at each moment of the run, one sample every `step_s`; index: seconds."""
    table = intervals(history).groupby("gid").agg(from_s=("from_s", "min"), until_s=("until_s", "max"))
    moments = numpy.arange(0.0, end_s(history) + step_s, step_s)
    begun = numpy.searchsorted(numpy.sort(table["from_s"].to_numpy()), moments, side="right")
    ended = numpy.searchsorted(numpy.sort(table["until_s"].to_numpy()), moments, side="right")
    return pandas.Series(begun - ended, index=pandas.Index(moments.round(6), name="at_s"), name="in_doubt")


def overdue(history: History, normal_s: float) -> pandas.DataFrame:
    """When transactions were in doubt for longer than `normal_s`: from_s, until_s of that excess."""
    table = intervals(history)
    table = table[table["duration_s"] > normal_s]
    return pandas.DataFrame({"from_s": table["from_s"] + normal_s, "until_s": table["until_s"]})
