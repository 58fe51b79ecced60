"""report.html of a twin: predicted against measured latency on one plot, and the whole scorecard."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import matplotlib
from jinja2 import Environment, PackageLoader, StrictUndefined
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter

from scenarios.report import plots
from scenarios.report.wording import seconds
from scenarios.twin.playing import Twin, by_scenario
from scenarios.twin.scorecard import UTILISATION, Kind, Row, Verdict
from simulator.analysis.estimates import Estimate

# Metric -> name on the plot and its colour there.
DRAWN = {"latency.pay.mean": ("mean", "run1"), "latency.pay.p50": ("p50", "run2"), "latency.pay.p95": ("p95", "run3"),
         "latency.pay.p99": ("p99", "run4")}  # fmt: skip
WORST = {
    "throughput.settled": "worst throughput error",
    "latency.pay.mean": "worst mean error",
    "latency.pay.p99": "worst p99 error",
    "availability.success": "worst availability error",
}
SIDE_INCHES = 4.6
SHORTEST_S = 0.001
TONES = {
    Verdict.MET: "pass",
    Verdict.MISSED: "fail",
    Verdict.SHOWN: "plain",
    Verdict.UNKNOWN: "unknown",
    Verdict.DISTURBED: "invalid",
}


@dataclass(frozen=True)
class Line:
    """A row of the scorecard in words."""

    metric: str
    real: str
    model: str
    error: str
    target: str
    verdict: str
    tone: str


def page(twin: Twin) -> str:
    """The whole document."""
    environment = Environment(
        loader=PackageLoader("scenarios.report", "."), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    verdicts = [row.verdict for row in twin.rows]
    return environment.get_template("twin.html.j2").render(
        twin=twin,
        verdict=twin.verdict,
        figures=[(name, worst(twin.rows, metric)) for metric, name in WORST.items()],
        counts=[(verdict.value, verdicts.count(verdict)) for verdict in Verdict if verdict in verdicts],
        plot=draw(twin.rows) if any(row.metric.name in DRAWN for row in twin.rows) else "",
        legend=[(name, colour) for name, colour in DRAWN.values()],
        groups=[(name, [line(row) for row in rows]) for name, rows in by_scenario(twin.rows).items()],
    )


def worst(rows: Sequence[Row], metric: str) -> str:
    """The largest error of a metric in any scenario in which its target holds."""
    held = [row for row in rows if row.metric.name == metric and row.error and row.verdict is not Verdict.SHOWN]
    gravest = max(held, key=lambda row: abs(row.error.value) if row.error else 0.0, default=None)
    return error(gravest).split(" ±")[0] if gravest else "-"


def line(row: Row) -> Line:
    """A row in words."""
    return Line(
        row.metric.name,
        amount(row, row.real),
        amount(row, row.model),
        error(row),
        target(row),
        row.verdict.value,
        TONES[row.verdict],
    )


def amount(row: Row, estimate: Estimate | None) -> str:
    """A figure and half its interval, in the metric's unit."""
    if estimate is None:
        return "-"
    shown = _figure(row, estimate.value)
    return shown if math.isinf(estimate.low) else f"{shown} ± {_figure(row, estimate.half_width)}"


def error(row: Row) -> str:
    """The error and half its interval: percent, points or seconds."""
    if row.error is None:
        return "-"
    scale, unit = {Kind.RELATIVE: (100, "%"), Kind.POINTS: (100, "pt"), Kind.SECONDS: (1, "s")}[row.metric.kind]
    shown = f"{scale * row.error.value:+.1f} {unit}"
    return shown if math.isinf(row.error.low) else f"{shown} ± {scale * row.error.half_width:.1f}"


def target(row: Row) -> str:
    """What the error may be, if there is a target."""
    if row.metric.target is None:
        return ""
    return f"{100 * row.metric.target:g} {'%' if row.metric.kind is Kind.RELATIVE else 'pt'}"


def draw(rows: Sequence[Row]) -> str:
    """Predicted against measured latencies, a dot a scenario and statistic; on the diagonal there is no error."""
    shown = [row for row in rows if row.metric.name in DRAWN and row.real and row.model]
    values = [value for row in shown for value in (_value(row.real), _value(row.model))]
    ends = (min(values, default=SHORTEST_S) / 1.6, max(values, default=1.0) * 1.6)
    with matplotlib.rc_context(plots.STYLE):
        figure = Figure(figsize=(SIDE_INCHES, SIDE_INCHES))
        figure.patch.set_visible(False)  # the page's own background shows
        axes = figure.add_axes((0.14, 0.12, 0.84, 0.86))
        _frame(axes, ends)
        for row in shown:
            colour = plots.COLOURS[DRAWN[row.metric.name][1]]
            _dot(axes, row, colour)
        return plots.as_svg(figure)


def _frame(axes: Axes, ends: tuple[float, float]) -> None:
    axes.patch.set_visible(False)
    for axis, name in ((axes.xaxis, "measured"), (axes.yaxis, "predicted")):
        axis.set_label_text(name, color=plots.COLOURS["ink"])
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlim(*ends)
    axes.set_ylim(*ends)
    axes.plot(ends, ends, color=plots.COLOURS["ink"], linewidth=0.8)
    # Ten percent either way: the widest of the targets.
    axes.fill_between(ends, [0.9 * end for end in ends], [1.1 * end for end in ends],
                      color=plots.COLOURS["phase"], alpha=0.25, linewidth=0)  # fmt: skip
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(FuncFormatter(lambda value, position: seconds(value)))
        axis.set_minor_formatter(NullFormatter())
    axes.tick_params(colors=plots.COLOURS["ink"], length=0, which="both")
    axes.grid(color=plots.COLOURS["grid"], linewidth=0.8)
    for spine in axes.spines.values():
        spine.set_color(plots.COLOURS["grid"])


def _dot(axes: Axes, row: Row, colour: str) -> None:
    real, model = row.real, row.model
    assert real is not None  # noqa: S101 - the caller chose those that have both
    assert model is not None  # noqa: S101 - as above
    for estimate, other, across in ((real, model, True), (model, real, False)):
        if math.isfinite(estimate.low):
            low_high = (max(estimate.low, SHORTEST_S), estimate.high)
            (axes.hlines if across else axes.vlines)(other.value, *low_high, color=colour, linewidth=0.9, alpha=0.6)
    axes.plot([real.value], [model.value], marker="o", markersize=5, color=colour, linewidth=0, zorder=4)


def _value(estimate: Estimate | None) -> float:
    return max(estimate.value, SHORTEST_S) if estimate else SHORTEST_S


def _figure(row: Row, value: float) -> str:
    name = row.metric.name
    if name == UTILISATION or row.metric.kind is Kind.POINTS:
        return f"{100 * value:.1f} %"
    return f"{value:.1f}/s" if name.startswith("throughput") else _time(value)


def _time(value_s: float) -> str:
    return f"{value_s:.2f} s" if abs(value_s) >= 1 else f"{1000 * value_s:.0f} ms"
