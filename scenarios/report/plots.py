"""The timeline of a run as inline SVG: throughput, latency, transactions in doubt.

Every colour is written as a stand-in and then replaced by a CSS variable, so that one drawing serves light and dark
pages and print. Texts stay texts, in the page's own font. Only the object interface of matplotlib is used.
"""

import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib
import numpy
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from scenarios.plan import Phase
from scenarios.report.run import OUTCOMES, PERCENTILES, Run
from scenarios.report.wording import seconds

RUN_COLOURS = ("run1", "run2", "run3", "run4")
COLOURS = {
    name: f"#0000{number:02x}"
    for number, name in enumerate(
        (
            "ink", "grid", "ok", "fail", "unknown", "p50", "p95", "p99", "doubt", "fault", "phase", "ready",
            *RUN_COLOURS,
        ), start=17,
    )
}  # fmt: skip
STYLE: Any = {"svg.fonttype": "none", "svg.hashsalt": "paylab", "font.family": "DejaVu Sans", "font.size": 9.0}
LINES = {"p50": "-", "p95": "--", "p99": "-"}
TICKS_PER_INCH = 1.6
CHARACTER_INCHES = 0.075


@dataclass(frozen=True)
class Limits:
    """Ends of the axes, shared by all runs of a report so that they can be compared by eye."""

    end_s: float
    operations: float
    latency_s: tuple[float, float]
    in_doubt: float


@dataclass(frozen=True)
class Size:
    """Width and height of a drawing in inches of 72 points; a point is a CSS pixel at full width."""

    width: float
    height: float


def limits(runs: Sequence[Run]) -> Limits:
    """Room for all curves of all runs."""
    slowest = max((float(run.latency.max().max()) for run in runs if run.latency.notna().any().any()), default=1.0)
    quickest = min((float(run.latency.min().min()) for run in runs if run.latency.notna().any().any()), default=0.01)
    return Limits(
        end_s=max(run.end_s for run in runs),
        operations=max(1.0, *(float(run.throughput.sum(axis="columns").max()) for run in runs)) * 1.08,
        latency_s=(quickest / 1.5, max(slowest, quickest * 5) * 1.5),
        in_doubt=max(4.0, *(float(run.in_doubt.max()) for run in runs)) * 1.08,
    )


def draw(curve: str, run: Run, size: Size, shared: Limits) -> str:
    """The `throughput`, `latency` or `in_doubt` of a run over time, as an <svg> element."""
    painter = {"throughput": _throughput, "latency": _latency, "in_doubt": _in_doubt}[curve]
    with matplotlib.rc_context(STYLE):
        figure, axes = _frame(run, size, shared)
        painter(axes, run, shared)
        return as_svg(figure)


def _throughput(axes: Axes, run: Run, shared: Limits) -> None:
    """Operations that ended in each second, by outcome, stacked."""
    curves = run.throughput
    bottom = numpy.zeros(len(curves))
    for outcome in OUTCOMES:
        top = bottom + curves[outcome].to_numpy()
        if outcome == "ok" or curves[outcome].any():
            edges = numpy.append(curves.index.to_numpy(), len(curves))
            axes.stairs(top, edges, baseline=bottom, fill=True, color=COLOURS[outcome], alpha=0.85, linewidth=0)
        bottom = top
    axes.set_ylim(0, shared.operations)
    axes.yaxis.set_major_locator(MaxNLocator(4, integer=True))


def _latency(axes: Axes, run: Run, shared: Limits) -> None:
    """Percentiles of the payments meant to start in each second, on a logarithmic axis."""
    axes.set_yscale("log")
    axes.set_ylim(*shared.latency_s)
    middle_s = run.latency.index.to_numpy() + 0.5
    for name in PERCENTILES:
        colour, width = COLOURS[name], 1.8 if name == "p99" else 1.4
        axes.plot(middle_s, run.latency[name], LINES[name], color=colour, linewidth=width, marker=".", markersize=3)
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, position: seconds(value)))
    axes.yaxis.set_minor_formatter(FuncFormatter(lambda value, position: ""))
    axes.tick_params(which="minor", left=False)


def _in_doubt(axes: Axes, run: Run, shared: Limits) -> None:
    """Transactions in doubt at each moment."""
    moments, counts = run.in_doubt.index.to_numpy(), run.in_doubt.to_numpy()
    axes.fill_between(moments, counts, step="post", color=COLOURS["doubt"], alpha=0.3, linewidth=0)
    axes.step(moments, counts, where="post", color=COLOURS["doubt"], linewidth=1.4)
    axes.set_ylim(0, shared.in_doubt)
    axes.yaxis.set_major_locator(MaxNLocator(4, integer=True))


def _frame(run: Run, size: Size, shared: Limits) -> tuple[Figure, Axes]:
    """An empty timeline: time axis, phases, faults, deaths and restarts."""
    figure = Figure(figsize=(size.width, size.height))
    left, strip = 0.62 / size.width, 0.24 / size.height
    bottom = 0.42 / size.height
    axes = figure.add_axes((left, bottom, 0.985 - left, 1 - bottom - 1.9 * strip))
    figure.patch.set_visible(False)  # the page's own background shows
    axes.patch.set_visible(False)
    axes.set_xlim(0, shared.end_s)
    axes.xaxis.set_major_locator(MaxNLocator(max(3, int(size.width * TICKS_PER_INCH))))
    axes.set_xlabel("seconds from the start", color=COLOURS["ink"], labelpad=2)
    axes.tick_params(colors=COLOURS["ink"], length=0, pad=4)
    axes.grid(axis="y", color=COLOURS["grid"], linewidth=0.8)
    axes.set_axisbelow(True)
    for name, spine in axes.spines.items():
        spine.set_visible(name == "bottom")
        spine.set_color(COLOURS["grid"])
    inches_per_s = size.width * (0.985 - left) / shared.end_s
    _phases(axes, run, inches_per_s)
    _faults(axes, run, inches_per_s)
    _services(axes, run)
    return figure, axes


def phases_shown(run: Run) -> list[Phase]:
    """The phases worth a mark, one after the other: those around the faults, or the steps of a load without faults."""
    named = {phase.name: phase for phase in run.history.plan.phases}
    stages = [phase for name, phase in named.items() if name.startswith("stage")]
    middle = (
        stages
        if not run.history.plan.faults and len(stages) > 1
        else [named[name] for name in ("baseline", "faults", "after") if name in named]
    )
    return [*_named(named, "warmup", middle), *middle, *_named(named, "recovery", middle)]


def _named(named: dict[str, Phase], name: str, middle: list[Phase]) -> list[Phase]:
    phase = named.get(name)
    clear = phase and not any(other.start_s < phase.end_s and other.end_s > phase.start_s for other in middle)
    return [phase] if phase and clear else []


def _phases(axes: Axes, run: Run, inches_per_s: float) -> None:
    across = axes.get_xaxis_transform()
    for phase in phases_shown(run):
        if phase.start_s > 0:
            axes.axvline(phase.start_s, color=COLOURS["phase"], linewidth=0.8, linestyle=(0, (1, 3)), ymax=1.0)
        label = _label(run, phase)
        if len(label) * CHARACTER_INCHES < (phase.end_s - phase.start_s) * inches_per_s:
            middle_s = (phase.start_s + min(phase.end_s, run.end_s)) / 2
            axes.text(
                middle_s, 1.14, label, transform=across, ha="center", va="bottom", fontsize=8, color=COLOURS["ink"]
            )


def _label(run: Run, phase: Phase) -> str:
    for stage in run.history.plan.load.stages:
        if phase.name.startswith("stage") and stage.start_s == phase.start_s:
            return f"{stage.rate_per_s:g}/s" if stage.rate_per_s else f"{stage.users}"
    return {"warmup": "warm-up"}.get(phase.name, phase.name)


def _faults(axes: Axes, run: Run, inches_per_s: float) -> None:
    across = axes.get_xaxis_transform()
    free_from_s = -1.0
    for fault in run.faults.dropna(subset=["started_s"]).to_dict("records"):
        until_s = fault["ended_s"] if fault["ended_s"] == fault["ended_s"] else run.end_s
        axes.axvspan(fault["started_s"], until_s, color=COLOURS["fault"], alpha=0.16, linewidth=0, zorder=0)
        axes.axvline(fault["started_s"], color=COLOURS["fault"], linewidth=1.0, zorder=1)
        if fault["started_s"] >= free_from_s:
            axes.text(
                fault["started_s"], 1.02, fault["label"], transform=across, ha="left", va="bottom", fontsize=8,
                color=COLOURS["fault"], fontweight="bold",
            )  # fmt: skip
            free_from_s = fault["started_s"] + 3.2 * CHARACTER_INCHES / inches_per_s


def _services(axes: Axes, run: Run) -> None:
    across = axes.get_xaxis_transform()
    events = run.history["services"]
    events = events[events["at_s"] > 0]  # not the start of the platform itself
    for event, marker, colour in (("died", "v", "fail"), ("ready", "^", "ready")):
        moments = events["at_s"][(events["event"] == event)].to_numpy()
        if len(moments):
            axes.scatter(
                moments, numpy.zeros(len(moments)), marker=marker, s=26, color=COLOURS[colour], transform=across,
                clip_on=False, zorder=5, linewidth=0,
            )  # fmt: skip


def as_svg(figure: Figure) -> str:
    """The drawing as an <svg> element that takes its colours, its font and its width from the page."""
    buffer = io.StringIO()
    canvas: Any = FigureCanvasSVG(figure)
    canvas.print_svg(buffer, metadata={"Date": None, "Creator": None})
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    for name, stand_in in COLOURS.items():
        text = text.replace(stand_in, f"var(--{name})")
    text = re.sub(r'<g id="[^"]*"', "<g", text)
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r"font: (\d+ )?([\d.]+)px [^;\"]*", r"font-weight: \1; font-size: \2px", text)
    text = text.replace("font-weight: ;", "")
    return re.sub(
        r'(<svg[^>]*?) width="[^"]*"', r"\1", re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", text, count=1), count=1
    )
