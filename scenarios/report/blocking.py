"""What blocking cost several runs, on one plot: a line for each metric, on it a dot for each run.

So what real services did stands beside the simulator's prediction of it, metric by metric: durations on a logarithmic
axis, and below them how often somebody had to ask, to take over, or was refused.
"""

from collections.abc import Mapping, Sequence

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from scenarios.report import plots, wording
from scenarios.report.run import Run
from scenarios.thresholds import DURATION, find_metric

NAMES = {
    "in_doubt.p50": "in doubt, median",
    "in_doubt.p99": "in doubt, p99",
    "in_doubt.max": "in doubt, longest",
    "lock_hold.goods.p99": "goods held, p99",
    "lock_hold.money.p99": "money held, p99",
    "blocking.window": "blocking window",
    "orphans.inquiries": "participants had to ask",
    "takeovers.count": "transactions taken over",
    "fenced.count": "late writes refused",
}
SHORTEST_S = 0.001
"""Clocks are rounded to milliseconds, and a logarithmic axis has no zero."""
ROW_INCHES, LABEL_INCHES, AXIS_INCHES = 0.27, 1.75, 0.34
BESIDE = 0.5
"""Dots of runs that measured the same lie beside each other, within this share of a row."""

Metrics = Mapping[str, float | None]
"""Of one run; None: it did not end within it."""


def measured(runs: Sequence[Run]) -> list[str]:
    """The metrics that at least one of the runs has, in the order in which they are drawn."""
    return [metric for metric in NAMES if any(metric in run.verdict.metrics for run in runs)]


def draw(runs: Sequence[Run], width: float) -> str:
    """The plot as an <svg> element, `width` inches wide; at least one metric has to be `measured`."""
    metrics = [run.verdict.metrics for run in runs[: len(plots.RUN_COLOURS)]]
    names = measured(runs)
    durations = [name for name in names if find_metric(name).unit == DURATION]
    panels = [(part, part is durations) for part in (durations, [n for n in names if n not in durations]) if part]
    height = sum(len(part) * ROW_INCHES + AXIS_INCHES for part, _ in panels)
    with matplotlib.rc_context(plots.STYLE):
        figure, top = Figure(figsize=(width, height)), height
        figure.patch.set_visible(False)  # the page's own background shows
        for part, is_time in panels:
            tall = len(part) * ROW_INCHES
            left, top = LABEL_INCHES / width, top - tall - AXIS_INCHES
            axes = figure.add_axes((left, (top + AXIS_INCHES) / height, 0.975 - left, tall / height))
            _panel(axes, part, metrics, is_time=is_time, width=width)
        return plots.as_svg(figure)


def _panel(axes: Axes, names: Sequence[str], metrics: Sequence[Metrics], *, is_time: bool, width: float) -> None:
    finite = [value for each in metrics for name in names if (value := each.get(name)) is not None]
    _axis(axes, finite, is_time=is_time, width=width)
    _style(axes, names)
    for row, name in enumerate(names):
        axes.axhline(row, color=plots.COLOURS["grid"], linewidth=0.8, zorder=0)
        for number, each in enumerate(metrics):
            if name in each:
                _dot(axes, each[name], row + _shift(number, len(metrics)), plots.COLOURS[plots.RUN_COLOURS[number]])


def _shift(number: int, runs: int) -> float:
    return BESIDE * (number - (runs - 1) / 2) / runs


def _dot(axes: Axes, value: float | None, row: float, colour: str) -> None:
    """What never ended is an arrow at the end of the axis."""
    at, marker = (axes.get_xlim()[1], ">") if value is None else (max(value, axes.get_xlim()[0]), "o")
    axes.plot([at], [row], marker=marker, markersize=6, color=colour, clip_on=False, zorder=4)


def _axis(axes: Axes, values: Sequence[float], *, is_time: bool, width: float) -> None:
    axes.patch.set_visible(False)
    longest = max(values, default=1.0)
    if not is_time:
        axes.set_xlim(0, max(4.0, longest * 1.05))
        axes.xaxis.set_major_locator(MaxNLocator(max(3, int(width * plots.TICKS_PER_INCH / 2)), integer=True))
        return
    shortest = max(min(values, default=SHORTEST_S), SHORTEST_S)
    axes.set_xscale("log")
    axes.set_xlim(shortest / 1.3, max(longest, shortest * 10) * 1.3)
    axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 3.0) if width > plots.TICKS_PER_INCH * 4 else (1.0,)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, position: wording.seconds(value)))
    axes.xaxis.set_minor_formatter(NullFormatter())


def _style(axes: Axes, names: Sequence[str]) -> None:
    ink, grid = plots.COLOURS["ink"], plots.COLOURS["grid"]
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.set_yticks(range(len(names)), [NAMES[name] for name in names])
    axes.tick_params(colors=ink, length=0, pad=4)
    axes.tick_params(axis="y", pad=9)  # a dot at zero is as wide as that
    axes.tick_params(which="minor", length=0)
    axes.grid(axis="x", color=grid, linewidth=0.8)
    axes.set_axisbelow(True)
    for name, spine in axes.spines.items():
        spine.set_visible(name == "bottom")
        spine.set_color(grid)
