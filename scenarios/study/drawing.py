"""Plots for notebooks: points with their intervals, one look for all. Every axis is given its unit by `label`."""

from collections.abc import Mapping, Sequence
from math import isfinite
from typing import Any

import numpy
from matplotlib.axes import Axes

from simulator.analysis import Estimate

COLOURS = ("#14365c", "#c06a12", "#7a4fa3", "#0b7350", "#b03a2e", "#3f7fb5")
INK, GRID, LIMIT, DOUBTFUL = "#3d424c", "#e4e1db", "#b03a2e", "#a8adb5"
STYLE: dict[str, Any] = {
    "figure.dpi": 100, "figure.constrained_layout.use": True, "font.size": 10.0, "axes.titlesize": 11.0,
    "axes.titlelocation": "left", "axes.edgecolor": GRID, "axes.labelcolor": INK, "axes.titlecolor": INK,
    "xtick.color": INK, "ytick.color": INK, "axes.spines.top": False, "axes.spines.right": False, "axes.grid": True,
    "axes.axisbelow": True, "grid.color": GRID, "legend.frameon": False, "legend.fontsize": 9.0,
}  # fmt: skip
"""For `matplotlib.pyplot.rcParams.update`."""


def label(axes: Axes, title: str, across: str, up: str) -> None:
    """Title and axis labels, units included."""
    axes.set_title(title)
    axes.set_xlabel(across)
    axes.set_ylabel(up)


def line(axes: Axes, across: Sequence[float], found: Sequence[Estimate], name: str = "", colour: str = COLOURS[0],
         factor: float = 1.0, joined: bool = True) -> None:  # fmt: skip
    """Estimates over numbers, with intervals; `factor` turns the metric's unit into the axis'."""
    values, below, above = _bars(found, factor)
    axes.errorbar(
        list(across), values, yerr=[below, above], fmt="o-" if joined else "o", color=colour, markersize=5,
        linewidth=1.4, capsize=3, label=name or None,
    )  # fmt: skip


def points(axes: Axes, found: Mapping[str, Estimate], colour: str = COLOURS[0], factor: float = 1.0,
           name: str = "", offset: float = 0.0) -> None:  # fmt: skip
    """Named estimates below each other, the first on top; several calls beside each other by `offset` (of a row)."""
    values, below, above = _bars(list(found.values()), factor)
    rows = numpy.arange(len(found)) + offset
    axes.errorbar(
        values, rows, xerr=[below, above], fmt="o", color=colour, markersize=5, linewidth=1.6, capsize=3,
        label=name or None,
    )  # fmt: skip
    axes.set_yticks(range(len(found)), list(found))
    axes.set_ylim(len(found) - 0.5, -0.5)
    axes.grid(visible=False, axis="y")


def legend(axes: Axes) -> None:
    """Names beside the plot, where they hide nothing."""
    axes.legend(loc="upper left", bbox_to_anchor=(1.01, 1.0), borderaxespad=0.0)


def limit(axes: Axes, value: float, text: str, across: bool = True) -> None:
    """A dashed line that something should not cross, and what it is."""
    if across:
        axes.axhline(value, color=LIMIT, linestyle="--", linewidth=1)
        axes.annotate(text, (0.01, value), xycoords=("axes fraction", "data"), xytext=(0, 3),
                      textcoords="offset points", color=LIMIT, fontsize=9)  # fmt: skip
        return
    axes.axvline(value, color=LIMIT, linestyle="--", linewidth=1)
    axes.annotate(text, (value, 1.0), xycoords=("data", "axes fraction"), xytext=(3, -12), textcoords="offset points",
                  color=LIMIT, fontsize=9)  # fmt: skip


def table(axes: Axes, grid: Sequence[Sequence[float]], rows: Sequence[str], columns: Sequence[str],
          texts: Sequence[Sequence[str]], low: float = 0.0, high: float = 1.0) -> None:  # fmt: skip
    """A heat map with its figures written in; a cell of NaN is left empty."""
    shown = numpy.ma.masked_invalid(numpy.array(grid, dtype=float))
    axes.imshow(shown, cmap="RdYlGn", vmin=low, vmax=high, aspect="auto", alpha=0.8)
    axes.set_xticks(range(len(columns)), list(columns))
    axes.set_yticks(range(len(rows)), list(rows))
    axes.grid(visible=False)
    for row, line_of_texts in enumerate(texts):
        for column, text in enumerate(line_of_texts):
            axes.text(column, row, text, ha="center", va="center", fontsize=9, color="#1c1e23")


def _bars(found: Sequence[Estimate], factor: float) -> tuple[list[float], list[float], list[float]]:
    """Values and how far their intervals reach below and above; an end at infinity is not drawn."""
    values = [estimate.value * factor if isfinite(estimate.value) else numpy.nan for estimate in found]
    below = [_reach(estimate.value - estimate.low, factor) for estimate in found]
    above = [_reach(estimate.high - estimate.value, factor) for estimate in found]
    return values, below, above


def _reach(distance: float, factor: float) -> float:
    return max(0.0, distance * factor) if isfinite(distance) else 0.0
