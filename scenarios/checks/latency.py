"""Latency from the intended start, successes and failures apart, exact percentiles of all samples.

Measured from the actual start, a stall hides the requests that waited for it (coordinated omission). Successes and
failures are apart because a quick refusal would flatter the one and a timeout spoil the other.

`pay` and `refund` are the client's money operations with all their retries (`pay` from the arrival, so it includes the
checkout), `browse` is the whole journey; every other name is a step, and its samples are HTTP attempts.
"""

import math

import numpy
import pandas
from numpy.typing import NDArray

from scenarios.checks.operations import operations
from scenarios.checks.remembered import remembered
from scenarios.history import History

MONEY = ("pay", "refund")
WHOLE_JOURNEY = ("browse",)


@remembered
def samples(history: History, subject: str, failed: bool = False) -> pandas.DataFrame:
    """All samples of `subject`: intended_s, ended_s, latency_s. `failed`: those not ok instead of those ok."""
    if subject in MONEY:
        table = history["payments"]
        table = table[table["kind"] == subject]
    elif subject in WHOLE_JOURNEY:
        table = operations(history)
        table = table[table["journey"] == subject]
    else:
        table = history["requests"]
        table = table[table["step"] == subject]
    table = table[(table["outcome"] != "ok") == failed][["intended_s", "ended_s"]]
    return table.assign(latency_s=table["ended_s"] - table["intended_s"])


def statistic(latencies_s: "pandas.Series[float] | NDArray[numpy.float64]", name: str) -> float:
    """`mean`, `max` or a percentile like `p99` of latencies; NaN if there are none.

    A percentile is a latency that did occur: the smallest that at least that share of the samples does not exceed.
    """
    values = numpy.asarray(latencies_s)
    if not len(values):
        return math.nan
    if name in ("mean", "max"):
        return float(values.mean() if name == "mean" else values.max())
    return float(numpy.quantile(values, int(name[1:]) / 100, method="inverted_cdf"))


def latency(history: History, subject: str, name: str, failed: bool, start_s: float, end_s: float) -> float:
    """A statistic of the samples intended in [start_s, end_s), seconds."""
    return statistic(_latencies_s(history, subject, failed, start_s, end_s), name)


@remembered
def _latencies_s(history: History, subject: str, failed: bool, start_s: float, end_s: float) -> NDArray[numpy.float64]:
    table = samples(history, subject, failed)
    within = (table["intended_s"] >= start_s) & (table["intended_s"] < end_s)
    return table["latency_s"][within].to_numpy()
