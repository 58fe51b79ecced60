# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---
# %% [markdown]
# # Is the twin right: how far are its predictions from what was measured?

# %% tags=["parameters"]
CALIBRATION = ""  # a document that `paylab calibrate` wrote; empty: the shipped one, with which the twin predicted
TWIN = "data/twin.json"  # what `paylab twin --json` printed; data/README.md says how both were made
SCENARIOS = ()  # held-out scenarios to look at; none named: all
DEAREST = 12  # so many routes are drawn, those with the greatest demand first

# %%
import json
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from IPython.display import Markdown

from scenarios.calibrate.quiet import OTHERS_CORES_MAX
from scenarios.study import drawing, words
from scenarios.twin.scorecard import METRICS, Kind
from simulator.analysis import Estimate
from simulator.calibration import shipped_text

plt.rcParams.update(drawing.STYLE)
HERE = Path("notebooks") if Path("notebooks").is_dir() else Path()
calibration = json.loads(Path(CALIBRATION).read_text() if CALIBRATION else shipped_text())
twin = json.loads((HERE / TWIN).read_text())
METRIC = {metric.name: metric for metric in METRICS}
UNITS = {Kind.RELATIVE: ("per cent", 100), Kind.POINTS: ("points", 100), Kind.SECONDS: ("seconds", 1)}
TITLES = {
    "throughput.settled": "payments settled/s",
    "latency.pay.mean": "mean latency",
    "latency.pay.p99": "p99",
    "availability.success": "success ratio",
    "availability.time": "time availability",
}
TIMES = [metric.name for metric in METRICS if metric.name.startswith("latency.")]


def estimate(found: dict[str, float | None] | None) -> Estimate | None:
    """A figure of the document; an end that is not known is infinite."""
    if not found or found["value"] is None:
        return None
    low, high = (found["low"], found["high"])
    count = len(twin["seeds"])
    return Estimate(found["value"], -np.inf if low is None else low, np.inf if high is None else high, count)


pd.set_option("display.max_rows", None, "display.max_colwidth", None)
rows = pd.DataFrame([row for row in twin["rows"] if not SCENARIOS or row["scenario"] in SCENARIOS])
for column in ("real", "model", "error"):
    rows[column] = [estimate(found) for found in rows[column]]
scenarios = list(dict.fromkeys(rows["scenario"]))

# %% tags=["answer"]
others = calibration["others_cores"]
counts = rows["verdict"].value_counts()
targets = rows[rows["target"].notna()]
median = {
    name: np.median([abs(each.value) for each in rows[rows["metric"] == name]["error"] if each is not None])
    for name in METRIC
    if METRIC[name].target and METRIC[name].kind is Kind.RELATIVE
}
quiet = "a quiet machine" if others <= OTHERS_CORES_MAX else f"a machine of which others used {others:.1f} cores"
errors = words.listed([f"{error:.0%} of {name}" for name, error in median.items()])
runs = f"{len(twin['seeds'])} {'run' if len(twin['seeds']) == 1 else 'runs'}"
Markdown(
    f"**Answer.** On {len(scenarios)} scenarios that calibration had not seen, {runs} of each: of "
    f"{len(targets)} predictions with a target {counts.get('met', 0)} met it, {counts.get('missed', 0)} missed it, and "
    f"{counts.get('disturbed', 0)} get no verdict because other programs used the machine meanwhile. The median "
    f"errors, disturbed runs included, are {errors}. The calibration was made on {quiet} of {calibration['cores']}; "
    f"{len(calibration['unidentified'])} notes of its own say which figures the experiments do not tell apart."
)

# %% [markdown]
# ## What was calibrated
#
# What a visit costs, without the calls and commits that it makes, with its interval. `accounts`: told by the operating
# system's CPU accounts; `spans`: always together with others, so divided by the spans' own times.

# %%
demands = pd.DataFrame(
    [
        {"service": service, "route": route, **figures}
        for service, routes in calibration["endpoints"].items()
        for route, figures in routes.items()
        if "interval_ms" in figures
    ]
).sort_values("cpu_ms", ascending=False)
drawn = demands.head(DEAREST)
figure, axes = plt.subplots(figsize=(9.5, 0.34 * len(drawn) + 0.9))
drawing.points(
    axes,
    {
        f"{row.service} {row.route}": Estimate(row.cpu_ms, *row.interval_ms, count=2)
        for row in drawn.itertuples(index=False)
    },
)
axes.set_xlim(0, None)
drawing.label(axes, "CPU of a visit, 95 % intervals", "milliseconds", "")
plt.show()

# %%
shared = {
    "a hop": "hop",
    "CPU of a call": "call_cpu",
    "CPU of a commit": "commit_cpu",
    "waiting for a commit": "commit_wait",
    "CPU of a client's request": "client_cpu",
    "CPU of a client's journey": "journey_cpu",
}
pd.DataFrame(
    [
        {"what": name, "ms": calibration[f"{key}_ms"], "95 % interval": str(calibration["intervals_ms"][key])}
        for name, key in shared.items()
    ]
).set_index("what")

# %%
pd.DataFrame({"not identified, in the calibration's own words": calibration["unidentified"]})

# %% [markdown]
# ## Predicted against measured
#
# Every held-out scenario, played in both worlds with the same plan. On the diagonal the prediction is what was
# measured; dotted lines are a tenth off.

# %%
figure, axes = plt.subplots(figsize=(6.4, 5.2))
ends = []
for number, name in enumerate(TIMES):
    found = rows[(rows["metric"] == name) & rows["real"].notna() & rows["model"].notna()]
    real, model = ([each.value * 1000 for each in found[column]] for column in ("real", "model"))
    bars = [
        [
            [each.value - each.low if np.isfinite(each.low) else 0 for each in found[column]],
            [each.high - each.value if np.isfinite(each.high) else 0 for each in found[column]],
        ]
        for column in ("real", "model")
    ]
    axes.errorbar(
        real, model, xerr=np.array(bars[0]) * 1000, yerr=np.array(bars[1]) * 1000, fmt="o", markersize=5, capsize=2,
        linewidth=0.8, color=drawing.COLOURS[number], label=name,
    )  # fmt: skip
    ends += [*real, *model]
span = np.array([min(ends) * 0.7, max(ends) * 1.4])
axes.plot(span, span, color=drawing.INK, linewidth=1)
for factor in (0.9, 1.1):
    axes.plot(span, span * factor, ":", color=drawing.INK, linewidth=0.8)
axes.set_xscale("log")
axes.set_yscale("log")
axes.set_xlim(*span)
axes.set_ylim(*span)
drawing.label(axes, "Latency of payments, 95 % intervals", "measured, milliseconds", "predicted, milliseconds")
drawing.legend(axes)
plt.show()

# %% [markdown]
# ## Errors against their targets
#
# Model minus reality; the band is the target. Targets hold below the utilisation that the scorecard names, on a machine
# that was quiet: grey runs were disturbed by other programs and get no verdict.

# %%
shown = [metric for metric in METRICS if metric.target]
figure, every = plt.subplots(1, len(shown), figsize=(13, 0.4 * len(scenarios) + 1.3), sharey=True)
for axes, metric in zip(every, shown, strict=True):
    unit, factor = UNITS[metric.kind]
    found = rows[(rows["metric"] == metric.name)].set_index("scenario")["error"]
    nothing = Estimate(np.nan, np.nan, np.nan, 0)
    disturbed = set(rows["scenario"][(rows["metric"] == metric.name) & (rows["verdict"] == "disturbed")])
    for wanted, colour in ((set(scenarios) - disturbed, drawing.COLOURS[0]), (disturbed, drawing.DOUBTFUL)):
        drawing.points(
            axes,
            {name: found.get(name) or nothing if name in wanted else nothing for name in scenarios},
            colour,
            factor,
        )
    axes.axvspan(-metric.target * factor, metric.target * factor, color=drawing.COLOURS[3], alpha=0.15, linewidth=0)
    axes.axvline(0, color=drawing.INK, linewidth=0.8)
    drawing.label(axes, TITLES[metric.name], unit, "")
plt.show()

# %%
table = rows.copy()
for column in ("real", "model"):
    table[column] = [words.number(each) if each else "" for each in table[column]]
table["error"] = [
    f"{each.value * UNITS[METRIC[metric].kind][1]:+.3g} {UNITS[METRIC[metric].kind][0]}" if each else ""
    for each, metric in zip(rows["error"], rows["metric"], strict=True)
]
table["target"] = ["" if pd.isna(target) else f"{target:.0%}" for target in rows["target"]]
table.set_index(["scenario", "metric"])[["real", "model", "error", "target", "verdict"]]

# %% [markdown]
# ## Assumptions
#
# - Both documents are results that ship (`data/README.md` says how and on what machine); a real platform cannot be
#   played here. Make your own with `paylab calibrate` and `paylab twin --json`, and name them in the parameters.
# - Calibration and twin were made on one and the same machine. What strangers on it did, the twin does not know: runs
#   that they disturbed get no verdict.
# - Nothing but the calibration is fitted; no scenario has a figure of its own.
# - Errors are taken seed by seed, both worlds having played the same plan; intervals are Student's t over the seeds,
#   and a single seed has none.
# - A p99 of a short run is the latency of one or two payments: a wide interval is no bad luck.
