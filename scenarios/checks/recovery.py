"""Recovery time: from the moment a fault hits until the platform is back at its baseline level, and stays there.

A second is *disturbed* if

- its success ratio is below that of the worst second of the baseline phase by more than 1 point (1.0 without a
baseline;
  a client that waits in vain makes every second of its waiting a failed one), or
- some transaction in it is overdue: in doubt for longer than the longest time in doubt of the baseline (at least
  0.5 s). A plain count of transactions in doubt would call every Poisson burst a relapse.

The recovery time of a fault is the end of the last disturbed second (or of the last overdue transaction, if that is
what disturbed it) between its hit and the next later fault's hit, or the end of the run, minus the moment of the hit:
0 if the clients and the participants never noticed, infinite if the very last moment is still disturbed. A
disturbance that is still on when the next fault hits counts for both. So a fault that lasts 5 s and hurts all the
time has a recovery time above 5 s.
"""

import math
from dataclasses import dataclass

import pandas

from scenarios.checks.in_doubt import intervals, overdue
from scenarios.checks.operations import by_second
from scenarios.checks.transactions import end_s
from scenarios.history import History

SLACK = 0.01
NORMAL_IN_DOUBT_S_MIN = 0.5


@dataclass(frozen=True)
class Recovery:
    """How one fault ended: `recovery_s` from its hit, and what was disturbed last ('' | 'success' | 'in doubt')."""

    fault: str
    kind: str
    target: str
    hit_s: float
    recovery_s: float
    last_disturbed: str


def recoveries(history: History) -> list[Recovery]:
    """One for each fault that did happen, in order."""
    faults = history["faults"].dropna(subset=["started_s"]).sort_values("started_s", kind="stable")
    disturbed = _disturbances(history)
    last_s = end_s(history)
    hits = faults["started_s"].tolist()
    found = []
    for fault in faults.to_dict("records"):
        hit_s = fault["started_s"]
        horizon_s = min((other for other in hits if other > hit_s), default=last_s)
        recovery_s, cause = _recovery(disturbed, hit_s, horizon_s, last_s)
        found.append(Recovery(fault["id"], fault["kind"], fault["target"], hit_s, recovery_s, cause))
    return found


def recovery_time(history: History, start_s: float = -math.inf, stop_s: float = math.inf) -> float:
    """The longest recovery of the faults that hit in [start_s, stop_s), seconds; NaN if none did."""
    times = [found.recovery_s for found in recoveries(history) if start_s <= found.hit_s < stop_s]
    return max(times, default=math.nan)


def _recovery(disturbed: pandas.DataFrame, hit_s: float, horizon_s: float, last_s: float) -> tuple[float, str]:
    touched = disturbed[(disturbed["until_s"] > hit_s) & (disturbed["from_s"] < horizon_s)]
    if touched.empty:
        return 0.0, ""
    latest = touched.sort_values("until_s", kind="stable").iloc[-1]
    if horizon_s >= last_s and latest["until_s"] >= last_s:
        return math.inf, str(latest["cause"])
    return min(float(latest["until_s"]), _calm_after(disturbed, horizon_s)) - hit_s, str(latest["cause"])


def _calm_after(disturbed: pandas.DataFrame, moment_s: float) -> float:
    """The end of what is disturbed at `moment_s`; `moment_s` itself if nothing is."""
    now = disturbed[(disturbed["from_s"] < moment_s) & (disturbed["until_s"] > moment_s)]
    return max(moment_s, float(now["until_s"].max())) if len(now) else moment_s


def _disturbances(history: History) -> pandas.DataFrame:
    """from_s, until_s, cause of everything worse than the baseline."""
    try:
        baseline = history.plan.phase("baseline")
        start_s, stop_s = baseline.start_s, baseline.end_s
    except KeyError:
        start_s = stop_s = 0.0
    seconds = by_second(history)
    usual = seconds[(seconds.index >= math.floor(start_s)) & (seconds.index + 1 <= stop_s)]["success"]
    level = (float(usual.min()) if len(usual) else 1.0) - SLACK
    failing = seconds.index[seconds["success"] < level].to_numpy(dtype=float)
    doubts = intervals(history)
    doubts = doubts[(doubts["from_s"] >= start_s) & (doubts["until_s"] < stop_s)]
    normal_s = max(NORMAL_IN_DOUBT_S_MIN, float(doubts["duration_s"].max()) if len(doubts) else 0.0)
    failed = pandas.DataFrame({"from_s": failing, "until_s": failing + 1.0, "cause": "success"})
    late = overdue(history, normal_s).assign(cause="in doubt")
    return pandas.concat([part for part in (failed, late) if len(part)] or [failed], ignore_index=True)
