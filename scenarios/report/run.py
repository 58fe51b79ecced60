"""A judged run, loaded from its folder, and the curves that its report draws."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy
import pandas

from scenarios import history as histories
from scenarios.checks import Verdict, in_doubt, latency, operations
from scenarios.checks.transactions import end_s
from scenarios.history import History
from scenarios.report import verdict as verdicts

PERCENTILES = ("p50", "p95", "p99")
OUTCOMES = ("ok", "fail", "unknown")


@dataclass(frozen=True)
class Run:
    """A run folder with its history and verdict."""

    folder: Path
    history: History
    verdict: Verdict

    @cached_property
    def end_s(self) -> float:
        """Where the time axis ends."""
        return end_s(self.history)

    @cached_property
    def operations(self) -> pandas.DataFrame:
        """The clients' operations; see `scenarios.checks.operations`."""
        return operations.operations(self.history)

    @cached_property
    def throughput(self) -> pandas.DataFrame:
        """Operations that ended in each second, a column an outcome."""
        table = self.operations
        seconds = numpy.floor(table["ended_s"]).astype("int64")
        counts = table.groupby([seconds, "outcome"]).size().unstack(fill_value=0)
        whole = range(max(1, int(numpy.ceil(self.end_s))))
        return counts.reindex(index=whole, columns=list(OUTCOMES), fill_value=0)

    @cached_property
    def latency(self) -> pandas.DataFrame:
        """Seconds that payments took, by the second in which they were meant to start: p50, p95, p99 of those ok."""
        table = latency.samples(self.history, "pay")
        seconds = numpy.floor(table["intended_s"]).astype("int64")
        curves = {
            name: {second: latency.statistic(values, name) for second, values in table["latency_s"].groupby(seconds)}
            for name in PERCENTILES
        }
        return pandas.DataFrame(curves, columns=list(PERCENTILES)).reindex(range(max(1, int(numpy.ceil(self.end_s)))))

    @cached_property
    def in_doubt(self) -> pandas.Series:
        """Transactions in doubt, ten samples a second."""
        return in_doubt.timeline(self.history)

    @cached_property
    def faults(self) -> pandas.DataFrame:
        """The faults that happened, in order: as in the history, and `label` (F1, F2, ..)."""
        faults = self.history["faults"].sort_values("planned_s", kind="stable").reset_index(drop=True)
        return faults.assign(label=[f"F{number}" for number in range(1, len(faults) + 1)])


def load(folder: Path) -> Run:
    """The judged run in `folder`. Raises HistoryError that names what is missing or damaged."""
    return Run(folder, histories.read(folder), verdicts.read(folder / verdicts.NAME))
