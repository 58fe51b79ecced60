"""What the model predicted against what was measured, metric by metric, with intervals on both sides.

Both worlds play the same plans, so their luck is the same: errors are taken plan by plan, and their spread over the
seeds is what the interval shows. Targets hold below 80 % utilisation; above, and for metrics without one, errors are
only shown.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from scenarios.calibrate.quiet import OTHERS_CORES_MAX
from scenarios.calibrate.windows import samples
from scenarios.checks import metrics
from scenarios.history import History
from simulator.analysis.estimates import Estimate, mean_of
from simulator.calibration import LAB

UTILISATION = "utilisation"
UTILISATION_MAX = 0.8


class Kind(StrEnum):
    """How an error is counted: as a share of the measured value, in points (shares of one), or in seconds."""

    RELATIVE = "relative"
    POINTS = "points"
    SECONDS = "seconds"


@dataclass(frozen=True)
class Metric:
    """A metric of the checks (or `utilisation`), how its error is counted, and the largest that is good enough."""

    name: str
    kind: Kind
    target: float | None = None


METRICS = (
    Metric("throughput.settled", Kind.RELATIVE, 0.03),
    Metric(UTILISATION, Kind.POINTS),
    Metric("latency.pay.mean", Kind.RELATIVE, 0.05),
    Metric("latency.pay.p50", Kind.RELATIVE),
    Metric("latency.pay.p95", Kind.RELATIVE),
    Metric("latency.pay.p99", Kind.RELATIVE, 0.10),
    Metric("availability.success", Kind.POINTS, 0.01),
    Metric("availability.time", Kind.POINTS, 0.01),
    Metric("in_doubt.max", Kind.SECONDS),
    Metric("recovery.time", Kind.SECONDS),
)


class Verdict(StrEnum):
    """Of one metric of one scenario.

    `shown`: there is no target, or it does not hold here. `disturbed`: other programs used the machine meanwhile, so
    what was measured is not what the platform does.
    """

    MET = "met"
    MISSED = "missed"
    SHOWN = "shown"
    UNKNOWN = "unknown"
    DISTURBED = "disturbed"


@dataclass(frozen=True)
class Row:
    """One metric of one scenario. The error is model minus reality, in the metric's kind."""

    scenario: str
    metric: Metric
    real: Estimate | None
    model: Estimate | None
    error: Estimate | None
    verdict: Verdict

    def to_json(self) -> dict[str, Any]:
        """For twin.json; what is infinite or was not measured is null."""
        return {
            "scenario": self.scenario, "metric": self.metric.name, "kind": self.metric.kind.value,
            "target": self.metric.target, "verdict": self.verdict.value, "real": _plain(self.real),
            "model": _plain(self.model), "error": _plain(self.error),
        }  # fmt: skip


@dataclass(frozen=True)
class Measured:
    """The metrics of one run by name; NaN: nothing to measure. `others_cores`: used by strangers meanwhile."""

    values: Mapping[str, float]
    others_cores: float = 0.0


def measured(history: History, cores: int, others_cores: float = 0.0) -> Measured:
    """All metrics of one run, whichever world it was."""
    values = {}
    for metric in METRICS:
        if metric.name == UTILISATION:
            values[metric.name] = utilisation(history, cores)
        else:
            values[metric.name] = metrics.measure(history, metric.name, *metrics.stretch(history, metric.name, None))
    return Measured(values, others_cores)


def utilisation(history: History, cores: int) -> float:
    """Share of the machine's cores that platform and load generator use during the load, without the lab itself."""
    load = history.plan.phase("load")
    table = samples(history)
    inside = table[(table["from_s"] >= load.start_s) & (table["at_s"] <= load.end_s) & (table["process"] != LAB)]
    if inside.empty:
        return math.nan
    return float(inside["cpu_s"].sum()) / (float(inside["at_s"].max() - inside["from_s"].min()) * cores)


def scorecard(scenario: str, real: Sequence[Measured], model: Sequence[Measured]) -> list[Row]:
    """A row a metric, from runs of the same plans in both worlds (pair by pair)."""
    used = [run.values[UTILISATION] for run in real]
    below = not any(value > UTILISATION_MAX for value in used)
    return [_row(scenario, metric, real, model, below) for metric in METRICS if _applies(metric, real, model)]


def verdict_of(rows: Sequence[Row]) -> str:
    """`fail` if a target was missed, else `invalid` if something was disturbed or not measured, else `pass`."""
    found = {row.verdict for row in rows}
    if Verdict.MISSED in found:
        return "fail"
    return "invalid" if found & {Verdict.UNKNOWN, Verdict.DISTURBED} else "pass"


def _applies(metric: Metric, real: Sequence[Measured], model: Sequence[Measured]) -> bool:
    return any(not math.isnan(run.values[metric.name]) for run in (*real, *model))


def _row(scenario: str, metric: Metric, real: Sequence[Measured], model: Sequence[Measured], below: bool) -> Row:
    pairs = [(ours.values[metric.name], theirs.values[metric.name]) for ours, theirs in zip(real, model, strict=True)]
    known = [pair for pair in pairs if all(math.isfinite(value) for value in pair)]
    if not known:
        return Row(scenario, metric, None, None, None, Verdict.UNKNOWN if metric.target else Verdict.SHOWN)
    error = mean_of([_error(metric.kind, ours, theirs) for ours, theirs in known])
    verdict = Verdict.SHOWN
    if metric.target is not None and any(run.others_cores > OTHERS_CORES_MAX for run in real):
        verdict = Verdict.DISTURBED
    elif metric.target is not None and below:
        verdict = Verdict.MET if abs(error.value) <= metric.target else Verdict.MISSED
    return Row(
        scenario, metric, mean_of([ours for ours, _ in known]), mean_of([theirs for _, theirs in known]), error, verdict
    )


def _error(kind: Kind, real: float, model: float) -> float:
    if kind is not Kind.RELATIVE:
        return model - real
    return (model - real) / real if real else math.copysign(math.inf, model) if model else 0.0


def _plain(estimate: Estimate | None) -> dict[str, float | None] | None:
    if estimate is None:
        return None
    named = {"value": estimate.value, "low": estimate.low, "high": estimate.high}
    return {name: value if math.isfinite(value) else None for name, value in named.items()}
