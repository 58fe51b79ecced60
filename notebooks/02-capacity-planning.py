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
# # How many replicas of what does a load need, and what does it cost?

# %% tags=["parameters"]
RATE = "200/s"  # payments
P99 = "300ms"  # of successful payments, from the client's intent, checkout included
AVAILABILITY = "99.9%"
FAILURES = 1  # replicas of any one process that may be gone meanwhile
PAYMENTS = 400  # measured in one replication
WORKERS = 2  # processes that simulate
SEED = 1

# %%
import matplotlib.pyplot as plt
import pandas as pd
from IPython.display import Markdown

from scenarios.capacity.commands import Asked, question_of
from scenarios.report import capacity_plots
from scenarios.report import capacity_words as said
from scenarios.study import drawing
from settlement.topology import DEFAULT_TOPOLOGY
from simulator.capacity import solve

plt.rcParams.update(drawing.STYLE)
pd.set_option("display.max_colwidth", None)


def no_news(text: str) -> None:
    """The planner tells how far it is; a notebook shows what came of it."""


asked = Asked(
    RATE, P99, AVAILABILITY, DEFAULT_TOPOLOGY, failures=FAILURES, payments=PAYMENTS, seed=SEED, workers=WORKERS
)
answer = solve(question_of(asked), no_news).to_json()
best, laws, room = answer["answer"], answer["laws"], answer["headroom"]


def draw(*names: str) -> None:
    """Some of the planner's plots, below each other."""
    _, every = plt.subplots(len(names), figsize=(9.5, 3.6 * len(names)), squeeze=False)
    for axes, name in zip(every.flat, names, strict=True):
        capacity_plots.PLOTS[name][0](axes, answer, capacity_plots.PAPER)
    plt.show()


# %% tags=["answer"]
process, change, _, difference, _ = said.effects(answer)[0]
strongest = answer["sensitivity"][0]["difference_s"]
is_shown = strongest["low"] is None or strongest["low"] * strongest["high"] > 0
most = "The p99 depends most on" if is_shown else "No demand is shown to matter; the largest difference is that of"
Markdown(
    f"**Answer.** {said.question(answer['objective'])} needs **{said.vector(best['replicas'])}**: "
    f"{best['replicas_total']} replicas, {best['cost_per_h']:.2f} an hour, {best['cost_per_million_payments']:.3g} a "
    f"million payments. The p99 is then {said.interval(best['whole']['p99_s'])}, availability "
    f"{said.share(best['availability'])}. What binds is {said.BINDING[answer['binding_constraint']]}; the "
    f"bottleneck is {laws['bottleneck']}, which bears {laws['capacity_per_s']:.0f} payments/s. There is headroom up to "
    f"{room['holds_per_s']:.0f} payments/s ({room['holds_per_s'] / answer['objective']['rate_per_s'] - 1:+.0%}) "
    f"with the worst failure that has to be borne. {most} "
    f"{process}: {change} of its demand changes the p99 by {difference}."
)

# %% [markdown]
# ## What one payment costs, and what it saturates
#
# A pilot run counts visits and CPU; by the utilisation law each process then bears so many payments and no more. Beyond
# the knee somebody has to wait, however lucky the order of arrivals.

# %%
columns = ["process", "visits", "ms a visit", "ms a payment", "replicas", "busy", "one bears", "all bear"]
pd.DataFrame(said.demands(answer), columns=columns).set_index("process")

# %%
draw("demands", "saturation", "bounds")

# %%
pd.DataFrame({"operational laws": said.laws(answer)})

# %% [markdown]
# ## Candidates: screened, simulated, found
#
# Thousands of replica vectors are ranked by a recursion; from the cheapest upwards they are simulated, until one is
# shown to meet the objective: the whole interval of its p99 lies below it, with its spares gone, too.

# %%
draw("landscape", "states")

# %%
columns = ["state", "p99 with its 95 % interval", "success", "runs", "met"]
pd.DataFrame(said.states(answer), columns=columns).set_index("state")

# %%
columns = ["option", "replicas", "cores", "an hour", "a million", "p99", "available"]
pd.DataFrame(said.option_rows([("answer", best), ("runner-up", answer["runner_up"])]), columns=columns).set_index(
    "option"
)

# %%
columns = ["process", "binds", "why not one fewer"]
pd.DataFrame(said.reasons(answer), columns=columns).set_index("process")

# %% [markdown]
# ## If a demand is not what we believe
#
# Each process' demand a tenth up and down, with the same customers and the same luck.

# %%
draw("sensitivity")

# %%
columns = ["process", "change", "p99", "difference", "still met"]
pd.DataFrame(said.effects(answer), columns=columns).set_index("process")

# %% [markdown]
# ## The planner's own list of what it took for granted

# %%
pd.DataFrame({"taken for granted": answer["assumptions"]}, index=range(1, len(answer["assumptions"]) + 1))

# %% [markdown]
# ## Assumptions
#
# - Those of the planner, in the list above: it writes them down as it uses them.
# - The calibration is the shipped one. For your machines calibrate (`paylab calibrate`) and ask the planner with
#   `--calibration`; `01-calibrate-and-validate` shows how far predictions were off.
# - Prices are the planner's defaults in any currency. A replica costs its core and itself, busy or not.
# - Replicas fail independently. A zone that fails, or a bad release, takes down several at once and is not in here.
# - The answer is a simulated one. `paylab capacity --confirm` plays it with real processes, given the cores.
