"""The plots of a planner's answer, each onto given axes: for the page (as SVG) and for the notebook.

Each reads the document of answer.json. Colours come as a palette, because the page replaces them by its own.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import matplotlib
import numpy
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from scenarios.report import plots
from simulator.capacity.laws import Bounds

Document = Mapping[str, Any]
Palette = Mapping[str, str]
PAPER: Palette = {
    "ink": "#5b616c", "grid": "#e4e1db", "ok": "#3f7fb5", "fail": "#d1495b", "unknown": "#e0a030", "p50": "#86a9c9",
    "p95": "#3f7fb5", "p99": "#14365c", "doubt": "#7a4fa3", "fault": "#b03a2e", "phase": "#8d929b", "ready": "#0b7350",
    "run1": "#14365c", "run2": "#c06a12", "run3": "#7a4fa3", "run4": "#0b7350",
}  # fmt: skip
PARTS = (("endpoints_s", "p50", "endpoints"), ("calls_s", "p95", "calls to others"),
         ("commits_s", "p99", "commits, events, background"))  # fmt: skip
PROCESSES = ("run1", "run2", "run3", "run4", "ok", "fail", "unknown")


def demands(axes: Axes, document: Document, palette: Palette) -> None:
    """What one payment costs each process, by what it is spent on."""
    rows = document["demand_table"][::-1]
    names, left = [row["process"] for row in rows], numpy.zeros(len(rows))
    for part, colour, label in PARTS:
        values = numpy.array([row[part] * 1000 for row in rows])
        axes.barh(names, values, left=left, color=palette[colour], label=label, height=0.6)
        left += values
    for name, total, row in zip(names, left, rows, strict=True):
        axes.text(total, name, f"  {total:.2f} ms, {row['visits']:.1f} visits", va="center", color=palette["ink"])
    axes.set_xlim(0, left.max() * 1.35)
    say_what(axes, palette, "Demand of one payment", "CPU milliseconds a payment", "")
    _legend(axes, palette, loc="lower right")


def saturation(axes: Axes, document: Document, palette: Palette) -> None:
    """Payments a second that so many replicas bear at most; a dot where the answer is."""
    replicas, rate = document["answer"]["replicas"], document["objective"]["rate_per_s"]
    for row, colour in zip(document["demand_table"], PROCESSES, strict=False):
        chosen = replicas[row["process"]]
        counts = range(1, min(len(row["saturation_per_s"]), max(replicas.values()) + 2) + 1)
        axes.plot(
            counts, row["saturation_per_s"][: len(counts)], color=palette[colour], linewidth=1.4, label=row["process"]
        )
        axes.plot([chosen], [row["saturation_per_s"][chosen - 1]], "o", color=palette[colour], markersize=7)
    axes.axhline(rate, color=palette["fault"], linestyle="--", linewidth=1)
    axes.annotate(f"asked: {rate:g}/s", (1, rate), xytext=(2, 3), textcoords="offset points", color=palette["fault"])
    axes.set_ylim(0, None)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    say_what(axes, palette, "What replicas bear; dots: the answer", "replicas", "payments/s")
    _legend(axes, palette, loc="upper left")


def bounds(axes: Axes, document: Document, palette: Palette) -> None:
    """Throughput against payments under way: asymptotes, knee, and where the answer works."""
    found = document["laws"]
    law = Bounds(**{name: found[name] for name in ("bottleneck", "capacity_per_s", "residence_s", "think_s")})
    end = 2.5 * max(law.knee, found["customers"])
    customers = numpy.linspace(0, end, 200)
    axes.plot(customers, customers / law.residence_s, ":", color=palette["phase"], linewidth=1)
    axes.axhline(law.capacity_per_s, linestyle=":", color=palette["phase"], linewidth=1)
    limit = [law.throughput_per_s_max(each) for each in customers]
    axes.plot(customers, limit, color=palette["p99"], linewidth=1.8, label="no more than this")
    axes.axvline(law.knee, color=palette["phase"], linewidth=0.8)
    axes.text(law.knee, 0, f" N* = {law.knee:.3g}", color=palette["ink"], va="bottom")
    axes.plot([found["customers"]], [document["objective"]["rate_per_s"]], "o", color=palette["run2"], markersize=8,
              label="the answer, simulated")  # fmt: skip
    axes.set_xlim(0, end)
    axes.set_ylim(0, law.capacity_per_s * 1.2)
    say_what(
        axes, palette, f"Asymptotic bounds; bottleneck: {law.bottleneck}", "payments under way, N", "payments/s, X"
    )
    _legend(axes, palette, loc="lower right")


def states(axes: Axes, document: Document, palette: Palette) -> None:
    """The p99 of every state of the answer, with its interval, against the objective."""
    best = document["answer"]
    found = [("whole", best["whole"], "ok")]
    found += [(f"{best['spares'][name]} {name} gone", judged, "doubt") for name, judged in best["degraded"].items()]
    found += [(f"{each['killed']} {each['process']} killed", each["after"], "unknown") for each in document["deaths"]]
    found = found[::-1]
    _points(axes, palette, [(name, judged["p99_s"], colour) for name, judged, colour in found])
    _objective(axes, document, palette)
    say_what(axes, palette, "p99 in every state that must hold, 95 % intervals", "p99, milliseconds", "")


def sensitivity(axes: Axes, document: Document, palette: Palette) -> None:
    """What 10 % more and less demand of each process do to the p99, common random numbers."""
    rows = [row for row in document["sensitivity"][::-1] if row["difference_s"]["value"] is not None]
    found = [
        (f"{row['process']} {row['factor'] - 1:+.0%}", row["difference_s"], "fail" if row["factor"] > 1 else "ready")
        for row in rows
    ]
    _points(axes, palette, found)
    axes.axvline(0, color=palette["phase"], linewidth=1)
    say_what(axes, palette, "Change of the p99 if a demand changes, 95 % intervals", "milliseconds", "")


def landscape(axes: Axes, document: Document, palette: Palette) -> None:
    """Replicas against p99: what was screened at its weakest, what was simulated, and the answer."""
    search, best = document["search"], document["answer"]
    extra = len(best["replicas"]) - len(document["demand_table"])
    points = [(sum(each["replicas"].values()) + extra, each["p99_s"]) for each in search["screened"] if each["p99_s"]]
    counts, screened_ms = [count for count, _ in points], [p99_s * 1000 for _, p99_s in points]
    label = "screened, with its spares gone"
    axes.scatter(counts, screened_ms, s=14, color=palette["p50"], label=label, linewidth=0)
    for meets, colour, label in ((True, "ready", "simulated, meets it"), (False, "fail", "simulated, misses it")):
        found = [each for each in search["simulated"] if each["meets"] is meets and each["p99_s"]["high"] is not None]
        if found:
            _bars(axes, found, palette[colour], label)
    axes.plot([best["replicas_total"]], [best["whole"]["p99_s"]["value"] * 1000], "*", color=palette["run2"],
              markersize=14, label="the answer, whole")  # fmt: skip
    _objective(axes, document, palette, across=True)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_ylim(0, axes.get_ylim()[1] * 1.3)  # room for the legend
    say_what(axes, palette, "Vectors by size and p99", "replicas", "p99, milliseconds")
    _legend(axes, palette, loc="upper right")


def _bars(axes: Axes, found: Sequence[Document], colour: str, label: str) -> None:
    middle = numpy.array([each["p99_s"]["value"] for each in found]) * 1000
    low = numpy.array([each["p99_s"]["low"] for each in found]) * 1000
    high = numpy.array([each["p99_s"]["high"] for each in found]) * 1000
    counts = [sum(each["replicas"].values()) for each in found]
    axes.errorbar(counts, middle, yerr=[middle - low, high - middle], fmt="s", markersize=4, capsize=3, color=colour,
                  linewidth=1, label=label)  # fmt: skip


def _points(axes: Axes, palette: Palette, found: Sequence[tuple[str, Mapping[str, float | None], str]]) -> None:
    for number, (_, estimate, colour) in enumerate(found):
        value, low, high = (estimate[name] for name in ("value", "low", "high"))
        if value is None or low is None or high is None:
            continue
        axes.plot([low * 1000, high * 1000], [number, number], color=palette[colour], linewidth=2)
        axes.plot([value * 1000], [number], "o", color=palette[colour], markersize=6)
    axes.set_yticks(range(len(found)), [name for name, _, _ in found])
    axes.set_ylim(-0.6, len(found) - 0.4)


def _objective(axes: Axes, document: Document, palette: Palette, across: bool = False) -> None:
    limit_ms = document["objective"]["p99_s"] * 1000
    (axes.axhline if across else axes.axvline)(limit_ms, color=palette["fault"], linestyle="--", linewidth=1)
    x, y = (0.01, limit_ms) if across else (limit_ms, 0.98)
    transform = axes.get_yaxis_transform() if across else axes.get_xaxis_transform()
    axes.text(x, y, f"objective {limit_ms:g} ms ", transform=transform, color=palette["fault"], fontsize=8,
              ha="left" if across else "right", va="bottom" if across else "top")  # fmt: skip


def say_what(axes: Axes, palette: Palette, title: str, across: str, up: str) -> None:
    """Title, units on the axes, and the frame that all plots share."""
    axes.set_title(title, loc="left", color=palette["ink"], fontsize=10)
    axes.set_xlabel(across, color=palette["ink"])
    axes.set_ylabel(up, color=palette["ink"])
    axes.tick_params(colors=palette["ink"], length=0)
    axes.grid(color=palette["grid"], linewidth=0.6)
    axes.set_axisbelow(True)
    for name, spine in axes.spines.items():
        spine.set_visible(name == "bottom")
        spine.set_color(palette["grid"])


def _legend(axes: Axes, palette: Palette, loc: str) -> None:
    axes.legend(loc=loc, frameon=False, fontsize=8, labelcolor=palette["ink"])  # type: ignore[call-overload, unused-ignore]


Draw = Callable[[Axes, Document, Palette], None]
PLOTS: dict[str, tuple[Draw, str]] = {
    "demands": (demands, "Measured in the pilot run: what the utilisation law D = U / X gives for each process."),
    "saturation": (saturation, "n replicas bear n / D payments a second, and no more."),
    "bounds": (bounds, "Beyond the knee somebody must wait, whatever the order of arrivals."),
    "landscape": (landscape, "Screening ranks and discards; only what was simulated counts."),
    "states": (states, "The answer has to hold with its spares gone. Killed: they died while it ran."),
    "sensitivity": (sensitivity, "Same arrivals and same luck with and without the change."),
}


def svg(draw: Draw, document: Document, width: float = 9.6, height: float = 3.4) -> str:
    """One plot as an <svg> element that takes its colours from the page."""
    with matplotlib.rc_context(plots.STYLE):
        figure = Figure(figsize=(width, height), layout="constrained")
        axes = figure.add_subplot()
        figure.patch.set_visible(False)
        axes.patch.set_visible(False)
        draw(axes, document, plots.COLOURS)
        return plots.as_svg(figure)
