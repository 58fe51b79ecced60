"""A metric over an axis, one line for each combination of the other axes, with intervals over the seeds."""

from pathlib import Path
from typing import Any

import pandas
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from scenarios.errors import LabError
from scenarios.fields import nearest
from scenarios.sweep.results import Results
from scenarios.thresholds import find_metric

LINES_MAX = 12
WIDTH_INCHES, HEIGHT_INCHES, DOTS_PER_INCH = 8.0, 4.8, 120


class CannotPlot(LabError):
    """A plot that was asked for and cannot be drawn; the message says why."""


def check(results_keys: tuple[str, ...], x: str, y: str) -> None:
    """Raise CannotPlot if `x` is not varied; `y` must be a metric, which ThresholdError says."""
    if x not in results_keys:
        names = ", ".join(results_keys) or "nothing"
        raise CannotPlot(f"{x} is not varied; {nearest(x, results_keys)}varied: {names}")
    find_metric(y)


def draw(results: Results, x: str, y: str, folder: Path) -> Path:
    """Write `plot-<x>-<y>.png` into `folder`; returns it. Raises CannotPlot."""
    if y not in results.metrics:
        raise CannotPlot(f"no variant measured {y}; measured: {', '.join(results.metrics)}")
    estimates = results.estimates(y)
    figure = Figure(figsize=(WIDTH_INCHES, HEIGHT_INCHES), layout="constrained")
    axes = figure.add_subplot()
    lines = _lines(estimates, [key for key in results.keys if key != x])
    for label, rows in lines[:LINES_MAX]:
        _line(axes, rows, x, label)
    axes.set_xlabel(x)
    axes.set_ylabel(f"{y} ({find_metric(y).unit})")
    axes.grid(alpha=0.3)
    axes.set_title(_title(estimates, lines), fontsize=9, loc="left")
    if len(lines) > 1:
        axes.legend(fontsize=8, frameon=False)
    path = folder / f"plot-{x}-{y}.png"
    FigureCanvasAgg(figure)
    figure.savefig(path, dpi=DOTS_PER_INCH)
    return path


def _lines(estimates: pandas.DataFrame, others: list[str]) -> list[tuple[str, pandas.DataFrame]]:
    """Label and rows of each combination of the other axes; a sample, where none repeats, is one cloud of points."""
    if not others or _is_sample(estimates, others):
        return [("", estimates)]
    groups = estimates.groupby(others, sort=False, dropna=False)
    return [
        (", ".join(f"{key.split('.')[-1]} {value}" for key, value in zip(others, values, strict=True)), rows)
        for values, rows in groups
    ]


def _is_sample(estimates: pandas.DataFrame, others: list[str]) -> bool:
    return len(estimates) > 1 and len(estimates[others].drop_duplicates()) == len(estimates)


def _line(axes: Axes, rows: pandas.DataFrame, x: str, label: str) -> None:
    measured: Any = rows.dropna(subset=["mean"])
    alone = measured[x].duplicated().any() or (not label and len(measured) > LINES_MAX)
    if pandas.api.types.is_numeric_dtype(measured[x]):
        measured = measured.sort_values(x)
    low, high = measured["mean"] - measured["low"], measured["high"] - measured["mean"]
    bars = [low.where(low < float("inf"), 0.0), high.where(high < float("inf"), 0.0)]  # one seed has no interval
    style = "." if alone else ".-"
    axes.errorbar(measured[x], measured["mean"], yerr=bars, fmt=style, capsize=2, linewidth=1.2, label=label)


def _title(estimates: pandas.DataFrame, lines: list[tuple[str, pandas.DataFrame]]) -> str:
    runs = int(estimates["runs"].max())
    text = f"mean of {runs} seeds with 95 % intervals" if runs > 1 else "one seed: no interval"
    return text + (f"; {LINES_MAX} of {len(lines)} lines are drawn" if len(lines) > LINES_MAX else "")
