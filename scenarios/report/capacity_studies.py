"""Page, tables and plots of the studies beside the planner: autoscaler tuning, and the metastability map."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib
import numpy
from jinja2 import Environment, PackageLoader, StrictUndefined
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from scenarios.report import plots
from scenarios.report.capacity_plots import Palette, say_what
from simulator.capacity.autoscaling import PERIOD_S

Document = Mapping[str, Any]
Rows = list[tuple[str, ...]]
Draw = Callable[[Axes, Document, Palette], None]


@dataclass(frozen=True)
class Study:
    """How a study is told. `drawings`: (painter, what it shows)."""

    title: str
    question: str
    columns: Callable[[Document], Sequence[str]]
    sentences: Callable[[Document], Sequence[str]]
    drawings: tuple[tuple[Draw, str], ...]


def page(study: Study, document: Document, rows: Rows) -> str:
    """report.html of a study."""
    environment = Environment(
        loader=PackageLoader("scenarios.report", "."), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    return environment.get_template("capacity_study.html.j2").render(
        study=study,
        columns=study.columns(document),
        sentences=study.sentences(document),
        rows=rows,
        drawings=[(svg(draw, document), meaning) for draw, meaning in study.drawings],
        seed=document["seed"],
        figures=[],
    )


def svg(draw: Draw, document: Document) -> str:
    """One plot as an <svg> element that takes its colours from the page."""
    with matplotlib.rc_context(plots.STYLE):
        figure = Figure(figsize=(9.6, 3.6), layout="constrained")
        axes = figure.add_subplot()
        figure.patch.set_visible(False)
        axes.patch.set_visible(False)
        draw(axes, document, plots.COLOURS)
        return plots.as_svg(figure)


# -- autoscaling ----------------------------------------------------------------------------------------------------


def autoscale_rows(document: Document) -> Rows:
    """One row a tuning, the cheapest first."""
    return [
        (
            f"{'* ' if each == document['best'] else ''}{each['target']:.0%}", f"{each['stabilisation_s']:g} s",
            f"{each['slow']:.2%}", f"{each['worst_wait_s']:.2f} s", f"{each['replica_hours']:.2f}",
            f"{each['cost_per_million']:.3g}", str(each["replicas_most"]), str(each["changes"]),
        )
        for each in sorted(document["tunings"], key=lambda each: (each["replica_hours"], each["slow"]))
    ]  # fmt: skip


def _autoscale_sentences(document: Document) -> list[str]:
    found = document["best"]
    if found is None:
        return [f"No tuning keeps slow payments at or below {document['slow_max']:.2%}."]
    return [
        f"* Cheapest with at most {document['slow_max']:.2%} slower than {document['p99_s'] * 1000:g} ms: target "
        f"{found['target']:.0%}, stabilisation {found['stabilisation_s']:g} s."
    ]


def over_time(axes: Axes, document: Document, palette: Palette) -> None:
    """Replicas of the best, the cheapest and the dearest tuning, and the load."""
    found = sorted(document["tunings"], key=lambda each: each["replica_hours"])
    shown = {"cheapest": (found[0], "fail"), "dearest": (found[-1], "p50")}
    if document["best"]:
        shown["best"] = (document["best"], "run1")
    for name, (each, colour) in shown.items():
        label = f"{name}: {each['target']:.0%}, {each['stabilisation_s']:g} s"
        edges = numpy.arange(len(each["replicas"]) + 1) * PERIOD_S / 60
        axes.stairs(each["replicas"], edges, color=palette[colour], linewidth=1.5, label=label)
    load = axes.twinx()
    edges = numpy.append(0, numpy.cumsum([for_s for _, for_s in document["profile"]])) / 60
    rates = [rate_per_s for rate_per_s, _ in document["profile"]]
    load.stairs(rates, edges, fill=True, color=palette["grid"], alpha=0.5, linewidth=0)
    load.set_ylabel("payments/s (shaded)", color=palette["ink"])
    load.set_ylim(0, None)
    load.tick_params(colors=palette["ink"], length=0)
    load.spines[:].set_visible(False)
    axes.set_zorder(load.get_zorder() + 1)
    axes.set_ylim(0, None)
    say_what(axes, palette, "Replicas over time", "minutes", "replicas, all processes")
    axes.legend(loc="lower center", frameon=False, fontsize=8, labelcolor=palette["ink"])


def trade(axes: Axes, document: Document, palette: Palette) -> None:
    """Cost against slow payments, a line a stabilisation window."""
    windows = sorted({each["stabilisation_s"] for each in document["tunings"]})
    for window_s, colour in zip(windows, ("run1", "run2", "run3", "run4", "ok", "fail"), strict=False):
        line = [each for each in document["tunings"] if each["stabilisation_s"] == window_s]
        line.sort(key=lambda each: each["target"])
        cost, slow = [each["cost_per_million"] for each in line], [100 * each["slow"] for each in line]
        axes.plot(cost, slow, "o-", color=palette[colour], markersize=4, linewidth=1.2, label=f"{window_s:g} s")
        for each in line:
            axes.annotate(f"{each['target']:.0%}", (each["cost_per_million"], 100 * each["slow"]), xytext=(3, 4),
                          textcoords="offset points", fontsize=7, color=palette["ink"])  # fmt: skip
    axes.axhline(100 * document["slow_max"], linestyle="--", color=palette["fault"], linewidth=1)
    axes.set_ylim(0, None)
    say_what(axes, palette, "Slow payments against cost; at each dot its target utilisation",
             "price of a million payments", "payments too slow, %")  # fmt: skip
    axes.legend(title="stabilisation", loc="upper right", frameon=False, fontsize=8, labelcolor=palette["ink"])


AUTOSCALE = Study(
    "Autoscaler tuning",
    "Which autoscaler keeps payments quick while the load changes, at what cost?",
    lambda document: ("target", "stabilisation", "too slow", "worst wait", "replica hours", "a million", "most",
                      "changes"),
    _autoscale_sentences,
    (
        (over_time, "Kubernetes' algorithm for each process, every 15 s."),
        (trade, "To the left is cheaper, below is quicker. Dashed: what is tolerated."),
    ),
)  # fmt: skip


# -- metastability --------------------------------------------------------------------------------------------------


def metastability_rows(document: Document) -> Rows:
    """One row a load, a column a budget: seconds until it recovers, or that it stays down."""
    cells = {(cell["load"], cell["budget"]): cell for cell in document["cells"]}
    return [
        (f"{load:.0%}", *(_outcome(cells[load, budget], document["runs"]) for budget in document["budgets"]))
        for load in document["loads"]
    ]


def _budgets(document: Document) -> list[str]:
    """The columns' names; the budget in force is marked."""
    return [f"{budget:g}{'*' if budget == document['budget_in_force'] else ''}" for budget in document["budgets"]]


def _outcome(cell: Document, runs: int) -> str:
    if cell["recovered"] == runs:
        return f"{cell['recovery_s']:.0f} s"
    return "stays down" if not cell["recovered"] else f"{cell['recovered']} of {runs}"


def _metastability_sentences(document: Document) -> list[str]:
    trouble = document["trouble"]
    right = sum((not cell["recovered"]) == cell["stays_down_by_theory"] for cell in document["cells"])
    lines = [
        f"{document['replicas']} replicas of {document['bottleneck']} answer at most "
        f"{document['capacity_per_s']:.0f} calls/s; outage {trouble['outage_s']:g} s, patience "
        f"{trouble['timeout_s']:g} s, at most {trouble['attempts_max']} attempts.",
        f"* http.retry_budget_share in force is {document['budget_in_force']:g}.",
        "A cell: seconds after the outage until 95 % of the calls are answered in time for good "
        f"(watched {trouble['watched_s']:g} s).",
    ]
    if trouble["shedding"]:
        return [*lines, "What could not be answered in time is turned away at once."]
    return [*lines, f"Theory (stays down if load x (1 + budget) >= 1) agrees in {right} of {len(document['cells'])}."]


def heat(axes: Axes, document: Document, palette: Palette) -> None:
    """The map, with the line that theory draws."""
    loads, budgets = document["loads"], document["budgets"]
    worst_s = max([cell["recovery_s"] or 1.0 for cell in document["cells"]] + [1.0])
    for number, cell in enumerate(document["cells"]):
        row, column = divmod(number, len(budgets))
        up = cell["recovered"] == document["runs"]
        strength = 0.08 + 0.5 * (cell["recovery_s"] or 0.0) / worst_s if up else 0.75
        colour = palette["ok"] if up else palette["fail"]
        axes.add_patch(matplotlib.patches.Rectangle((column - 0.48, row - 0.46), 0.96, 0.92, color=colour,
                                                    alpha=strength, linewidth=0))  # fmt: skip
        axes.text(column, row, _outcome(cell, document["runs"]), ha="center", va="center", fontsize=8.5,
                  color=palette["ink"])  # fmt: skip
        if cell["stays_down_by_theory"] and not document["trouble"]["shedding"]:
            axes.text(column + 0.44, row + 0.36, "T", ha="right", va="center", fontsize=7, color=palette["ink"])
    axes.set_xticks(range(len(budgets)), _budgets(document))
    axes.set_yticks(range(len(loads)), [f"{load:.0%}" for load in loads])
    axes.set_xlim(-0.5, len(budgets) - 0.5)
    axes.set_ylim(-0.5, len(loads) - 0.5)
    say_what(axes, palette, "Seconds to recover after the outage; T: theory says that it stays down",
             "http.retry_budget_share: retries a call pays for; *: in force", "load, share of capacity")  # fmt: skip
    axes.grid(visible=False)


def goodput(axes: Axes, document: Document, palette: Palette) -> None:
    """Calls answered in time over the seconds, at a load that has both endings."""
    by_load = {load: [cell for cell in document["cells"] if cell["load"] == load] for load in document["loads"]}
    mixed = [load for load, cells in by_load.items() if len({bool(cell["recovered"]) for cell in cells}) == 2]
    load = mixed[len(mixed) // 2] if mixed else document["loads"][-1]
    colours = ("run4", "ok", "run1", "run3", "run2", "fail")
    for cell, colour in zip(by_load[load], colours, strict=False):
        axes.plot(100 * numpy.array(cell["goodput"]), color=palette[colour], linewidth=1.2, label=f"{cell['budget']:g}")
    trouble = document["trouble"]
    axes.axvspan(trouble["before_s"], trouble["before_s"] + trouble["outage_s"], color=palette["fault"], alpha=0.15)
    axes.set_ylim(0, 105)
    say_what(axes, palette, f"Calls answered in time at {load:.0%} load; shaded: the outage", "seconds",
             "% of calls, by their first attempt")  # fmt: skip
    axes.legend(title="budget", loc="lower right", frameon=False, fontsize=8, labelcolor=palette["ink"], ncols=2)


METASTABILITY = Study(
    "Metastability map",
    "Under which load and retry budget does a short outage never end?",
    lambda document: ("load \\ budget", *_budgets(document)),
    _metastability_sentences,
    (
        (heat, "Red: it stays down by itself, long after the outage has ended."),
        (goodput, "Whoever stays down is busy all the time, with calls that nobody waits for any more."),
    ),
)
