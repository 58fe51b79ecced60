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
# # What happened to the payments while the gateway was dead?
#
# A run folder holds everything that happened as plain Parquet tables. This notebook opens one with pandas, asks what
# the verdict was, and draws the timeline: what the clients got, and how many payments hung between yes and done.

# %% tags=["parameters"]
RUN = ""  # a run folder; empty: the newest under runs/, or a small simulated run made for the purpose

# %%
import json
import subprocess
import sys
from pathlib import Path

import matplotlib.pyplot as plt
import pandas

from scenarios import history
from scenarios.checks import in_doubt, operations, recovery

ROOT = Path.cwd().parent if Path.cwd().name == "notebooks" else Path.cwd()


def newest(runs: Path) -> Path | None:
    """The newest finished run, by its name, which begins with its time."""
    finished = sorted(path.parent for path in runs.glob("*/verdict.json"))
    return finished[-1] if finished else None


def make(runs: Path) -> None:
    """A run of the simulated world: seconds of work, the same result every time."""
    paylab = Path(sys.executable).with_name("paylab")
    command = [str(paylab), "run", "coordinator-crash", "--world", "simulated", "--seed", "7", "--out", str(runs)]
    subprocess.run(command, check=False, capture_output=True)


if not RUN and newest(ROOT / "runs") is None:
    make(ROOT / "runs")
run = Path(RUN) if RUN else newest(ROOT / "runs")
if run is None:
    raise SystemExit("there is no run to read; make one: paylab run coordinator-crash --world simulated")

# %% [markdown]
# ## The verdict

# %%
verdict = json.loads((run / "verdict.json").read_text())
print(f"{verdict['scenario']} in {verdict['world']}, seed {verdict['seed']}: {verdict['verdict'].upper()}")
print(verdict["question"])
pandas.set_option("display.max_colwidth", None)
pandas.DataFrame(verdict["checks"])[["name", "verdict", "explanation"]]

# %% [markdown]
# ## The tables
#
# Two of them tell both sides of every payment: what the client was told, and what the platform recorded.

# %%
payments = pandas.read_parquet(run / "payments.parquet")
transactions = pandas.read_parquet(run / "transactions.parquet")
payments.groupby(["kind", "outcome"]).size().unstack(fill_value=0)

# %%
transactions.groupby(["role", "event", "value"]).size().rename("records").to_frame()

# %% [markdown]
# ## The timeline
#
# Each second's operations, by what became of them. A client that waits in vain makes every second of its waiting a
# failed one. Red bands are the faults, as they really happened.

# %%
played = history.read(run)
seconds = operations.by_second(played)
faults = played["faults"].dropna(subset=["started_s"])


def shade(axes: plt.Axes) -> None:
    """Mark when the faults were active."""
    for started_s, ended_s in zip(faults["started_s"], faults["ended_s"].fillna(played.plan.duration_s), strict=True):
        axes.axvspan(started_s, ended_s, color="tab:red", alpha=0.15, linewidth=0)
    axes.set_xlim(0, played.plan.duration_s)
    axes.set_xlabel("seconds from the start")
    axes.spines[["top", "right"]].set_visible(False)


figure, axes = plt.subplots(figsize=(9, 2.8), layout="constrained")
axes.bar(seconds.index, seconds["ok"], width=1, align="edge", label="ok")
failed, ok = seconds["failed"], seconds["ok"]
axes.bar(seconds.index, failed, width=1, align="edge", bottom=ok, color="tab:orange", label="failed")
axes.set_title("Operations per second", loc="left")
axes.legend(frameon=False, ncols=2, loc="upper right")
shade(axes)

# %% [markdown]
# ## In doubt
#
# From a participant's yes until it applies the outcome it may decide nothing by itself: goods and money are held. This
# is the price of two-phase commit, and what a dead coordinator makes expensive.

# %%
doubt = in_doubt.timeline(played)
figure, axes = plt.subplots(figsize=(9, 2.8), layout="constrained")
axes.fill_between(doubt.index, doubt, step="post", color="tab:purple", alpha=0.4, linewidth=0)
axes.step(doubt.index, doubt, where="post", color="tab:purple", linewidth=1)
axes.set_title("Transactions in doubt", loc="left")
shade(axes)

# %%
longest = in_doubt.intervals(played).nlargest(5, "duration_s")
longest[["role", "kind", "method", "from_s", "until_s", "duration_s"]].round(3).reset_index(drop=True)

# %% [markdown]
# ## How long until it was well again?
#
# From the moment each fault hit until success and time in doubt were back at what they are without faults.

# %%
pandas.DataFrame([vars(found) for found in recovery.recoveries(played)]).round(2)
