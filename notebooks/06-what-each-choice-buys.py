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
# # What does each choice of the architecture really buy?

# %% tags=["parameters"]
SEEDS = range(1, 9)
WORKERS = 2  # processes that simulate
RATE_PER_S = 60  # payments
LOAD_S = 12
HONEST_PER_S = 60  # payments of honest users together
GREEDY_PER_S = 1000  # looks at the goods of a greedy one
USER_PER_S, USER_BURST, ROOM = 10.0, 20, 20  # the limit for a user; what a replica does at once
OUTAGE_PER_S = 80  # payments around an outage
OUTAGE_LOAD_S = 24  # how long they come
OUTAGE_S = 5  # how long no order is made

# %%
from functools import partial

import matplotlib.pyplot as plt
import pandas as pd
from IPython.display import Markdown

from scenarios.study import Case, crowd, drawing, study, words
from settlement.settings import SETTINGS
from settlement.topology import processes
from simulator.analysis import compare
from simulator.capacity import Prices

plt.rcParams.update(drawing.STYLE)
METRICS = ("latency.pay.p50", "latency.pay.p99", "cost.cpu_s_per_payment")
SERVED = {"honest.served": "honest users", "greedy.served": "the greedy one"}


def choice(*changes: str, rate_per_s: float = RATE_PER_S, load_s: float = LOAD_S) -> Case:
    """The platform under a steady load of payments, with one thing changed."""
    load = f"load.stages=[{{rate: {rate_per_s}, for: {load_s}s}}]"
    fixed = ("load.mix={pay: 1}", load, "load.pool=5000", "phases.warmup=2s", "phases.recovery=3s", "expect=[atomic]")
    return Case.of("baseline", *fixed, *changes)


def setting(**values: object) -> list[str]:
    """Changes of the platform's settings: `limit__user_burst=20` is `limit.user_burst`."""
    return [f"platform.settings.{name.replace('__', '.')}={value}" for name, value in values.items()]


def processes_of(case: Case) -> int:
    """How many have to be paid for."""
    platform = case.scenario.platform
    groups = processes(platform.topology)
    return sum(max(platform.replicas.get(service, 1) for service in group) for group in groups)


choices = {
    "as it ships (compact)": choice(),
    "merged: users with orders": choice("platform.topology=merged"),
    "split: a process for each": choice("platform.topology=split"),
    "2 replicas of order": choice("platform.replicas={order: 2}"),
    "2 of order, payment, gateway": choice("platform.replicas={order: 2, payment: 2, gateway: 2}"),
    "carts without their cache": choice(*setting(degrade__cart_cache="always")),
    "risk is not asked": choice(*setting(gateway__risk_mode="off")),
    "the article's protocol": choice("platform.protocol=article"),
}
BASE, *OTHERS = choices
found = study(choices, METRICS, SEEDS, WORKERS)
replica_hour = Prices().of_replica(1.0)

open_doors = crowd.Crowd(HONEST_PER_S, GREEDY_PER_S, settings=crowd.NO_DOORS)
full = {"limit__concurrency_mode": "fixed", "limit__concurrency_max": ROOM}
each = {"limit__user_rate_per_s": USER_PER_S, "limit__user_burst": USER_BURST}
doors = {
    "no doors": open_doors,
    "a full replica turns away": crowd.behind(open_doors, **full),
    "a limit for each user": crowd.behind(open_doors, **each),
    "both": crowd.behind(open_doors, **full, **each),
    "as it ships": crowd.Crowd(HONEST_PER_S, GREEDY_PER_S),
}
protected = compare({name: partial(crowd.play, crowd=door) for name, door in doors.items()}, SEEDS, workers=WORKERS)

stuck = f"faults=[{{at: 4s, for: {OUTAGE_S}s, kind: pause, service: order}}]"
outages = {
    "without admission": choice(
        stuck, *setting(gateway__admission_mode="off", limit__concurrency_mode="off"),
        rate_per_s=OUTAGE_PER_S, load_s=OUTAGE_LOAD_S,
    ),
    "with admission": choice(stuck, rate_per_s=OUTAGE_PER_S, load_s=OUTAGE_LOAD_S),
}  # fmt: skip
outage = study(outages, ("served.after_faults",), SEEDS, WORKERS)

# %% tags=["answer"]
p99 = {name: found.difference(name, "latency.pay.p99") for name in OTHERS}
shown = [f"{name} ({words.change_ms(p99[name])})" for name in OTHERS if p99[name].differs_from_zero]
same = [name for name in OTHERS if not p99[name].differs_from_zero]
article = found.difference("the article's protocol", "latency.pay.p50")
door = {name: words.percent(protected.estimate(name, "honest.served")) for name in doors}
Markdown(
    f"**Answer.** At {RATE_PER_S} payments/s the p99 of a payment as it ships is "
    f"{words.ms(found.estimate(BASE, 'latency.pay.p99'))}. It is changed by {words.listed(shown)}. No difference is "
    f"shown for {words.listed(same)}: what those save or cost is processes and CPU. The article's protocol changes the "
    f"median by {words.change_ms(article)}, and loses money when something fails (`04-two-phase-commit-blocking`). "
    f"With a greedy user, honest users are served in {door['no doors']} of their payments without doors, in "
    f"{door['a full replica turns away']} if a full replica turns away, in {door['a limit for each user']} with a "
    f"limit for each user, in {door['as it ships']} as it ships. After an outage of the order service "
    f"{words.percent(outage.estimate('without admission', 'served.after_faults'))} of the payments are made in time "
    f"without admission, {words.percent(outage.estimate('with admission', 'served.after_faults'))} with it."
)

# %% [markdown]
# ## Each choice beside the platform as it ships
#
# The same customers at the same moments, seed by seed; only the differences are judged, with intervals that hold
# together (Bonferroni). An interval that contains zero shows no difference.

# %%
figure, (left, right) = plt.subplots(1, 2, figsize=(11, 3.6), sharey=True)
for axes, metric, name in ((left, "latency.pay.p99", "p99"), (right, "latency.pay.p50", "median")):
    drawing.points(axes, {other: found.difference(other, metric) for other in OTHERS}, factor=1000)
    axes.axvline(0, color=drawing.INK, linewidth=0.8)
    drawing.label(axes, f"Change of the {name} of a payment, 95 % intervals", "milliseconds", "")
plt.show()

# %%
pd.DataFrame(
    {
        name: {
            "p99": words.ms(found.estimate(name, "latency.pay.p99")),
            "p99, difference": words.change_ms(p99[name]) if name in p99 else "",
            "median": words.ms(found.estimate(name, "latency.pay.p50")),
            "CPU a payment": words.ms(found.estimate(name, "cost.cpu_s_per_payment")),
            "processes": processes_of(case),
            "an hour": f"{processes_of(case) * replica_hour:.2f}",
            "luck shared": f"{found.shared_luck(name, 'latency.pay.p99'):.2f}",
        }
        for name, case in choices.items()
    }
).T

# %% [markdown]
# ## Doors
#
# Honest users pay, and one account looks at goods more often than all of them together. Without doors everybody is
# late; a replica that turns away when it is full keeps those quick who get in, and asks nobody who they are; a limit
# for each user takes away what was too much, from whom it came.

# %%
figure, (left, right) = plt.subplots(1, 2, figsize=(11, 3.2), sharey=True)
for number, (metric, name) in enumerate(SERVED.items()):
    shown = {door: protected.estimate(door, metric) for door in doors}
    drawing.points(left, shown, drawing.COLOURS[number], 100, name, 0.2 * (number - 0.5))
drawing.points(right, {door: protected.estimate(door, "honest.p99") for door in doors}, factor=1000)
right.set_xscale("log")
drawing.label(left, "Served in time: payments and looks, 95 % intervals", "per cent", "")
drawing.label(right, "p99 of the payments that succeeded", "milliseconds", "")
left.legend(loc="center")
plt.show()

# %%
pd.DataFrame(
    {
        door: {
            "honest users served": words.percent(protected.estimate(door, "honest.served")),
            "difference": words.points(protected.difference(door, "honest.served")) if number else "",
            "greedy user served": words.percent(protected.estimate(door, "greedy.served")),
            "p99 of payments": words.ms(protected.estimate(door, "honest.p99")),
        }
        for number, door in enumerate(doors)
    }
).T

# %% [markdown]
# ## After an outage
#
# Callers whose patience ends repeat, and work is done for requests that nobody waits for any more, so the end of an
# outage is not the end of the trouble. Admission turns away at once what could not be decided in time.

# %%
figure, axes = plt.subplots(figsize=(8, 1.9))
drawing.points(axes, {name: outage.estimate(name, "served.after_faults") for name in outages}, factor=100)
drawing.label(axes, "Payments made in time, of those after the outage, 95 % intervals", "per cent", "")
axes.set_xlim(-2, 102)
plt.show()

# %%
budget = SETTINGS["http.retry_budget_share"].default
Markdown(
    f"More served with admission: {words.points(outage.difference('with admission', 'served.after_faults'))}. Services "
    f"retry within `http.retry_budget_share`, {budget} here; clients repeat until their deadline. Where more retries "
    f"would keep an outage from ever ending, `paylab capacity metastability` maps."
)

# %% [markdown]
# ## Assumptions
#
# - Each process has a host of its own with one core; clients are elsewhere. Every process is paid for, busy or not.
# - Users and the back office are not on a payment's path in the model, so merging or splitting them changes what is
#   paid for and not how long a payment takes. Where processes share one machine their idle work counts, too.
# - What a cached list of a cart spares, what a refusal costs and what a visit to risk costs was not measured: the model
#   assumes it, in the open (`docs/stress-des.md`). A payment changes its cart, so it reads it anew in any case.
# - Limits and caches are each replica's own, as without Redis. The greedy user is one account and does not come back.
# - Without admission, no replica turns away because it is full, either. An outage is a paused order service.
# - Replicas are judged by latency here; what they buy when something fails stands in `03-availability-under-failure`.
# - Intervals are Student's t over the seeds. Differences are paired (common random numbers).
