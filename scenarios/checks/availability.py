"""Availability, three ways: the success ratio flatters an outage (who waits asks less), time availability does not,
and user-uptime weighs both by what users lived through.

success  ok operations / all operations intended in the phase. Only ok is ok: a decline, a timeout and a 500 are
         all failures of what the client wanted.
time     seconds of the phase with at least 99 % success / seconds in which any operation ended or was failing.
user     user-uptime (Hauer et al., "Meaningful availability", NSDI 2020): uptime of all users / their up- and
         downtime. A user is one operation, from its intended start to its end; within it every step lasts until
         the next begins, and is up or down by its outcome.
burn     failures / the failures that a 99.9 % objective allows: 1 spends the budget exactly.
"""

import math

import pandas

from scenarios.checks.operations import by_second, operations
from scenarios.checks.remembered import remembered
from scenarios.history import History

GOOD_SECOND = 0.99
OBJECTIVE = 0.999


def success(history: History, start_s: float, end_s: float) -> float:
    """Share of operations intended in [start_s, end_s) that were ok; NaN if there were none."""
    table = operations(history)
    table = table[(table["intended_s"] >= start_s) & (table["intended_s"] < end_s)]
    return float((table["outcome"] == "ok").mean()) if len(table) else math.nan


def time(history: History, start_s: float, end_s: float) -> float:
    """Share of good seconds in [start_s, end_s), of those with any operation; NaN if there were none."""
    counts = by_second(history)
    counts = counts[(counts.index >= math.floor(start_s)) & (counts.index < end_s)]
    return float((counts["success"] >= GOOD_SECOND).mean()) if len(counts) else math.nan


def user(history: History, start_s: float, end_s: float) -> float:
    """User-uptime in [start_s, end_s); NaN if nobody was there."""
    spans = _spans(history)
    lived_s = (spans["until_s"].clip(upper=end_s) - spans["from_s"].clip(lower=start_s)).clip(lower=0)
    return float(lived_s[spans["up"]].sum() / lived_s.sum()) if lived_s.sum() > 0 else math.nan


def worst_window(history: History, start_s: float, end_s: float, window_s: float) -> tuple[float, float]:
    """Windowed user-uptime: the lowest of all windows of that length, and when that window starts (NaN if none)."""
    starts = [start_s + step for step in range(max(1, int(end_s - start_s - window_s) + 1))]
    found = [(user(history, start, min(end_s, start + window_s)), start) for start in starts]
    return min((pair for pair in found if not math.isnan(pair[0])), default=(math.nan, math.nan))


def error_budget_burn(history: History, start_s: float, end_s: float) -> float:
    """How many times over the error budget of the phase was spent."""
    return (1 - success(history, start_s, end_s)) / (1 - OBJECTIVE)


@remembered
def _spans(history: History) -> pandas.DataFrame:
    """The lives of all users: from_s, until_s, up. A step lasts from its intended start until the next step's."""
    requests = history["requests"][["operation", "intended_s", "ended_s", "outcome"]]
    if requests.empty:
        requests = operations(history)[["operation", "intended_s", "ended_s", "outcome"]]
    requests = requests.sort_values(["operation", "ended_s"], kind="stable")
    before = requests.groupby("operation")["ended_s"].shift()
    started = before.fillna(requests["intended_s"])
    return pandas.DataFrame({"from_s": started, "until_s": requests["ended_s"], "up": requests["outcome"] == "ok"})
