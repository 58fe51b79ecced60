"""Blocking: what a coordinator that is away costs, and how others got past it.

Two-phase commit blocks: a participant that has voted yes can do nothing alone. The window is from the moment at which
a gateway replica died or was paused to the first end of a transaction that it left in doubt. What it left is what was
in doubt then and had to be taken over (each take-over raises the epoch by one, from 1).
"""

import math

import numpy
import pandas

from scenarios.checks.in_doubt import intervals
from scenarios.checks.result import Row
from scenarios.checks.transactions import coordinated
from scenarios.history import History

COORDINATOR_SERVICE = "gateway"


def windows(history: History) -> list[Row]:
    """One row for each time a coordinator was away and left something in doubt, longest window first.

    replica, away_s, left (transactions), window_s (infinite if none of them ended).
    """
    taken = coordinated(history)
    doubts = intervals(history)
    doubts = doubts[doubts["gid"].isin(taken["gid"][taken["epoch"] > 1])]
    found = []
    for replica, away_s in absences(history):
        left = doubts[(doubts["from_s"] <= away_s) & (doubts["until_s"] > away_s)]
        if left.empty:
            continue
        ends = left["until_s"][left["resolved"]]
        window_s = float(ends.min()) - away_s if len(ends) else math.inf
        row = {"replica": replica, "away_s": away_s, "left": int(left["gid"].nunique()), "window_s": window_s}
        found.append(row)
    return sorted(found, key=lambda row: -row["window_s"])


def absences(history: History) -> list[tuple[str, float]]:
    """When replicas of the gateway died or were paused, with their names."""
    events, faults = history["services"], history["faults"].dropna(subset=["started_s"])
    died = events[(events["service"] == COORDINATOR_SERVICE) & (events["event"] == "died")]
    paused = faults[(faults["kind"] == "pause") & faults["target"].str.startswith(f"{COORDINATOR_SERVICE}-")]
    return [
        *zip(died["replica"].tolist(), died["at_s"].tolist(), strict=True),
        *zip(paused["target"].tolist(), paused["started_s"].tolist(), strict=True),
    ]


def window(history: History, start_s: float = -math.inf, stop_s: float = math.inf) -> float:
    """The longest window of an absence that began in [start_s, stop_s), seconds; NaN if none left anything in doubt."""
    return max((row["window_s"] for row in windows(history) if start_s <= row["away_s"] < stop_s), default=math.nan)


def inquiries(history: History, start_s: float = -math.inf, stop_s: float = math.inf) -> int:
    """How often participants asked, about transactions that were first asked about in [start_s, stop_s)."""
    return sum(int(count) for count in _events(history, "asked", start_s, stop_s)["value"])


def takeovers(history: History, start_s: float = -math.inf, stop_s: float = math.inf) -> int:
    """How often transactions begun in [start_s, stop_s) changed hands."""
    table = coordinated(history)
    table = table[(table["begun_s"] >= start_s) & (table["begun_s"] < stop_s)]
    return int(numpy.maximum(0, table["epoch"].to_numpy() - 1).sum())


def contested(history: History, start_s: float = -math.inf, stop_s: float = math.inf) -> int:
    """Transactions whose former driver still wanted to write while the new one was not through with them."""
    closed_s = coordinated(history).set_index("gid")["closed_s"]
    late = _events(history, "fenced", start_s, stop_s)
    through = closed_s.reindex(late["gid"]).to_numpy(dtype=float) <= late["at_s"].to_numpy(dtype=float)
    return int(late["gid"][~through].nunique())


def fenced(history: History, start_s: float = -math.inf, stop_s: float = math.inf) -> int:
    """Writes in [start_s, stop_s) of replicas that had lost the transaction; every one was refused."""
    return len(_events(history, "fenced", start_s, stop_s))


def _events(history: History, name: str, start_s: float, stop_s: float) -> pandas.DataFrame:
    rows = history["transactions"]
    return rows[(rows["event"] == name) & (rows["at_s"] >= start_s) & (rows["at_s"] < stop_s)]
