"""Time in doubt of several runs on one plot: how long yes votes waited for their outcome, as a distribution.

So the simulator's prediction stands beside what real services did. Each curve says which share of the votes had their
outcome within so many seconds; a dot marks the 99th percentile, the last step the longest wait.
"""

from collections.abc import Sequence
from typing import Any

import matplotlib
import numpy
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MultipleLocator, NullFormatter

from scenarios.checks.in_doubt import intervals
from scenarios.report import blocking, plots, wording
from scenarios.report.blocking import SHORTEST_S
from scenarios.report.run import Run

PERCENTILE = 0.99


def section(runs: Sequence[Run], names: Sequence[str], sizes: dict[str, plots.Size]) -> dict[str, Any] | None:
    """What the report says of blocking; None if nobody was in doubt in any of these runs, or there is only one."""
    waits = [numpy.sort(intervals(run.history)["duration_s"].clip(lower=SHORTEST_S).to_numpy()) for run in runs]
    drawn = [
        (name, wait, colour) for name, wait, colour in zip(names, waits, plots.RUN_COLOURS, strict=False) if len(wait)
    ]
    if len(runs) < 2 or not drawn:
        return None
    curves = [(wait, colour) for _, wait, colour in drawn]
    return {
        "legend": [(colour, f"{name} ({wording.plural(len(wait), 'vote')})") for name, wait, colour in drawn],
        "drawings": {size: _draw(curves, shape) for size, shape in sizes.items()},
        "costs_legend": list(zip(plots.RUN_COLOURS, names, strict=False)),
        "costs": {size: blocking.draw(runs, shape.width) for size, shape in sizes.items()},
        "figures": [
            {"name": blocking.NAMES[metric], "values": [wording.figure(run.verdict, metric) for run in runs]}
            for metric in blocking.measured(runs)
        ],
    }


def _draw(curves: Sequence[tuple[Any, str]], size: plots.Size) -> str:
    with matplotlib.rc_context(plots.STYLE):
        figure = Figure(figsize=(size.width, size.height))
        left, bottom = 0.62 / size.width, 0.46 / size.height
        axes = figure.add_axes((left, bottom, 0.975 - left, 0.94 - bottom))
        _style(figure, axes, min(float(wait[0]) for wait, _ in curves), max(float(wait[-1]) for wait, _ in curves))
        for number, (wait, colour) in enumerate(curves):
            _curve(axes, wait, plots.COLOURS[colour], "-" if number == 0 else "--")
        return plots.as_svg(figure)


def _curve(axes: Axes, wait: Any, colour: str, line: str) -> None:
    shares = numpy.arange(1, len(wait) + 1) / len(wait)
    axes.step(wait, shares, where="post", color=colour, linestyle=line, linewidth=1.6)
    late = int(numpy.ceil(PERCENTILE * len(wait))) - 1
    axes.plot([wait[late]], [shares[late]], marker="o", markersize=5, color=colour, clip_on=False, zorder=4)


def _style(figure: Figure, axes: Axes, shortest_s: float, longest_s: float) -> None:
    ink = plots.COLOURS["ink"]
    figure.patch.set_visible(False)  # the page's own background shows
    axes.patch.set_visible(False)
    axes.set_xscale("log")
    axes.set_xlim(shortest_s / 1.3, max(longest_s, shortest_s * 10) * 1.3)
    axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 3.0)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, position: wording.seconds(value)))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xlabel("time from a participant's yes to its applying the outcome", color=ink, labelpad=2)
    axes.set_ylim(0, 1.02)
    axes.yaxis.set_major_locator(MultipleLocator(0.25))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, position: f"{value:.0%}"))
    axes.tick_params(colors=ink, length=0, pad=4)
    axes.tick_params(which="minor", length=0)
    axes.grid(color=plots.COLOURS["grid"], linewidth=0.8)
    axes.set_axisbelow(True)
    for name, spine in axes.spines.items():
        spine.set_visible(name == "bottom")
        spine.set_color(plots.COLOURS["grid"])
