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
# # How available do payments stay when replicas die, and how many may die?

# %% tags=["parameters"]
SEEDS = range(1, 6)
WORKERS = 2  # processes that simulate
REPLICAS_MAX = 3  # of each of the services that are killed
SERVICES = ("gateway", "order", "payment")
DOWN_S = 8  # how long killed replicas stay away
RATE_PER_S = 10
PATIENCE_S = 5  # a client gives up a payment after this, with all its retries
OBJECTIVE = 0.95  # share of the operations of a run, the outage included, that have to succeed
CATALOGUE = ("participant-crash", "coordinator-crash", "registry-outage", "slow-channel", "channel-lost-reply")

# %%
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from IPython.display import Markdown

from scenarios.checks import availability, operations
from scenarios.study import Case, drawing, history_of, study, words

plt.rcParams.update(drawing.STYLE)
WAYS = {
    "availability.success": "success ratio",
    "availability.time": "time availability",
    "availability.user": "user-uptime",
}
BURN = "availability.error_budget_burn"
HIT_S, LOAD_S = 6, 10 + DOWN_S


def platform(replicas: int) -> str:
    return f"platform.replicas={{{', '.join(f'{service}: {replicas}' for service in SERVICES)}}}"


def killed(service: str, replicas: int, dead: int) -> Case:
    kill = f"at: {HIT_S}s, kind: kill, service: {service}, restart_after: {DOWN_S}s"
    faults = ", ".join(f"{{{kill}, replica: {number}}}" for number in range(dead))
    load = f"load.stages=[{{rate: {RATE_PER_S}, for: {LOAD_S}s}}]"
    return Case.of("baseline", load, f"load.deadline={PATIENCE_S}s", f"faults=[{faults}]", platform(replicas))


def tolerated(service: str, replicas: int) -> int:
    """The most dead replicas with which the objective is shown to be met: the whole interval lies above it."""
    dead = 0
    while dead < replicas and deaths.estimate((service, replicas, dead + 1), "availability.success").low >= OBJECTIVE:
        dead += 1
    return dead


COUNTS = range(1, REPLICAS_MAX + 1)
grid = [(service, replicas, dead) for service in SERVICES for replicas in COUNTS for dead in range(1, replicas + 1)]
deaths = study({key: killed(*key) for key in grid}, (*WAYS, BURN), SEEDS, WORKERS)
stories = {(name, count): Case.of(name, platform(count)) for name in CATALOGUE for count in COUNTS}
catalogue = study(stories, (*WAYS, BURN), SEEDS, WORKERS)

# %% tags=["answer"]
most = {service: tolerated(service, REPLICAS_MAX) for service in SERVICES}
participant, coordinator = SERVICES[1], SERVICES[0]
Markdown(
    f"**Answer.** With {REPLICAS_MAX} replicas of each service, so many replicas of one may die at once and stay away "
    f"for {DOWN_S} s: {words.listed([f'{count} of {service}' for service, count in most.items()])}. "
    f"(At least {OBJECTIVE:.0%} of the operations of the run succeed then, the whole interval counted.) "
    f"With its only {participant} replica dead, "
    f"{words.percent(deaths.estimate((participant, 1, 1), 'availability.success'))} succeed; with one of two, "
    f"{words.percent(deaths.estimate((participant, 2, 1), 'availability.success'))}. "
    f"How it is counted matters as much: with the only {coordinator} dead the success ratio is "
    f"{words.percent(deaths.estimate((coordinator, 1, 1), 'availability.success'))}, because retries save whoever is "
    f"patient; but of the time that users lived through, only "
    f"{words.percent(deaths.estimate((coordinator, 1, 1), 'availability.user'))} was uptime."
)

# %% [markdown]
# ## How many failures are tolerated
#
# Replicas of one service are killed at the same moment, and come back together. Figures are the success ratio over
# the whole run, the outage included. What fails with one of two dead is what was under way on the dead one, and what
# is sent there until its callers have noticed.

# %%
figure, every = plt.subplots(1, len(SERVICES), figsize=(10, 2.6), sharey=True)
for axes, service in zip(every, SERVICES, strict=True):
    shown = [
        [deaths.estimate((service, n, k), "availability.success").value if k <= n else np.nan for k in COUNTS]
        for n in COUNTS
    ]
    texts = [[f"{value:.1%}" if value == value else "" for value in row] for row in shown]
    drawing.table(axes, shown, list(map(str, COUNTS)), list(map(str, COUNTS)), texts, low=0.3)
    drawing.label(axes, f"{service}: success ratio", "replicas killed", "replicas" if service == SERVICES[0] else "")
plt.show()

# %%
pd.DataFrame(
    [
        {"service": service, "replicas": n, "failures tolerated": tolerated(service, n)}
        for service in SERVICES
        for n in COUNTS
    ]
).pivot_table(index="service", columns="replicas", values="failures tolerated").astype(int)

# %% [markdown]
# ## Three ways to count
#
# The success ratio counts operations, time availability counts seconds, user-uptime (Hauer et al., NSDI 2020) weighs
# what users lived through. The same outage looks different in each.

# %%
shown = {
    f"{service}: {k} of {n} killed": (service, n, k) for service in SERVICES for n, k in ((1, 1), (2, 1)) if n in COUNTS
}
figure, axes = plt.subplots(figsize=(9, 3.4))
for number, (metric, name) in enumerate(WAYS.items()):
    found = {text: deaths.estimate(key, metric) for text, key in shown.items()}
    drawing.points(axes, found, drawing.COLOURS[number], 100, name, 0.22 * (number - 1))
drawing.label(axes, f"Availability of a run with {DOWN_S} s of outage, means with 95 % intervals", "per cent", "")
drawing.legend(axes)
plt.show()

# %% [markdown]
# ## The catalogue's faults, by number of replicas
#
# The scenarios that ship, each with more and more replicas of gateway, order and payment. Replicas help where a
# process is what fails; a slow or forgetful channel is the same for all of them.

# %%
figure, every = plt.subplots(1, 2, figsize=(11, 4.2), sharey=True)
for axes, (metric, name) in zip(every, list(WAYS.items())[::2], strict=True):
    for number, count in enumerate(COUNTS):
        found = {story: catalogue.estimate((story, count), metric) for story in CATALOGUE}
        replicas = f"{count} replica{'s' if count > 1 else ''}"
        drawing.points(axes, found, drawing.COLOURS[number], 100, replicas, 0.22 * (number - 1))
    drawing.label(axes, f"{name[0].upper()}{name[1:]}, 95 % intervals", "per cent", "")
drawing.legend(every[-1])
plt.show()

# %%
pd.DataFrame(
    {
        f"{count} replica{'s' if count > 1 else ''}": [
            words.number(catalogue.estimate((story, count), BURN)) for story in CATALOGUE
        ]
        for count in COUNTS
    },
    index=pd.Index(CATALOGUE, name="error budget of three nines: times spent in one run"),
)

# %% [markdown]
# ## The error budget while it burns
#
# Failures up to each moment, as multiples of what the objective of three nines allows for the whole run. Lines are
# means over some seeds, bands reach from the luckiest to the unluckiest one.


# %%
def burnt(history: object) -> pd.Series:
    counts = operations.operations(history).sort_values("ended_s")
    failed = (counts["outcome"] != "ok").cumsum() / (len(counts) * (1 - availability.OBJECTIVE))
    moments = np.arange(0.0, history.plan.duration_s, 0.5)
    place = np.searchsorted(counts["ended_s"].to_numpy(), moments, side="right")
    return pd.Series(np.concatenate([[0.0], failed.to_numpy()])[place], index=moments)


figure, axes = plt.subplots(figsize=(9, 3.4))
for number, count in enumerate(COUNTS):
    runs = pd.DataFrame({seed: burnt(history_of(stories[CATALOGUE[0], count], seed)) for seed in SEEDS[:4]})
    colour = drawing.COLOURS[number]
    axes.plot(runs.index, runs.mean(axis=1), color=colour, label=f"{count} replica{'s' if count > 1 else ''}")
    axes.fill_between(runs.index, runs.min(axis=1), runs.max(axis=1), color=colour, alpha=0.15, linewidth=0)
for number, fault in enumerate(stories[CATALOGUE[0], 1].scenario.faults):
    axes.axvline(fault.at_s, color=drawing.LIMIT, linewidth=0.8, label=None if number else "a fault begins")
drawing.label(axes, f"Error budget spent, {CATALOGUE[0]}", "seconds from the start", "times the run's budget")
drawing.legend(axes)
plt.show()

# %% [markdown]
# ## Assumptions
#
# - Every process has a host of its own: what is left of a service after a failure has the cores that it had before.
# - Replicas that are killed die at the same moment, the worst case, and independently of everything else. Databases,
#   network and the channel stay up, except where a scenario of the catalogue says otherwise.
# - Databases of a service outlive its replicas. Clients retry with the same key while their patience lasts.
# - The load is a Poisson stream, far below saturation: what is lost is lost to the failure and not to overload.
# - Runs are short, so an outage weighs far more here than in a month. For a month multiply by how often it happens.
# - Intervals are 95 %, Student's t over seeds. All cases met the same customers (common random numbers).
