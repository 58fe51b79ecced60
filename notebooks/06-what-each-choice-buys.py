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
HIT_SHARE, HIT_COST = 0.8, 0.3  # of reads and writes of a cart; what a hit costs, as a share of a miss
HONEST_PER_S, GREEDY_PER_S = 80, 100  # requests of one service by honest users together, and by a greedy one
USER_PER_S, ROOM = 10, 20  # the limiter's rate for a user, the queue's places
OUTAGE_LOAD, RETRY_BUDGET = 0.8, 0.3  # of the bottleneck's capacity; retries a call

# %%
from functools import partial

import matplotlib.pyplot as plt
import pandas as pd
from IPython.display import Markdown

from scenarios.study import Case, crowd, drawing, study, words
from settlement.topology import processes
from simulator import calibration
from simulator.analysis import compare
from simulator.capacity import Prices
from simulator.capacity.metastability import Bottleneck, Trouble, play

plt.rcParams.update(drawing.STYLE)
METRICS = ("latency.pay.p50", "latency.pay.p99", "cost.cpu_s_per_payment")
SERVED = {"honest.served": "honest users", "greedy.served": "the greedy one"}


def choice(*changes: str, **faster: float) -> Case:
    """The platform under a steady load of payments, with one thing changed."""
    load = f"load.stages=[{{rate: {RATE_PER_S}, for: {LOAD_S}s}}]"
    fixed = ("load.mix={pay: 1}", load, "load.pool=3000", "phases.warmup=2s", "phases.recovery=3s", "expect=[atomic]")
    return Case.of("baseline", *fixed, *changes, slower=faster)


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
    "carts from a cache": choice(cart=1 - HIT_SHARE * (1 - HIT_COST)),
    "the article's protocol": choice("platform.protocol=article"),
}
BASE, *OTHERS = choices
found = study(choices, METRICS, SEEDS, WORKERS)
replica_hour = Prices().of_replica(1.0)

order_s = calibration.load().demand("order", "POST /orders").cpu_s + calibration.load().commit_cpu_s
queue = crowd.Crowd(HONEST_PER_S, GREEDY_PER_S, service_s=3 * order_s)  # what an order brings the service in all
doors = {
    "no protection": queue,
    "a bounded queue": crowd.bounded(queue, ROOM),
    "a limit for each user": crowd.limited(queue, USER_PER_S),
    "both": crowd.bounded(crowd.limited(queue, USER_PER_S), ROOM),
}
protected = compare({name: partial(crowd.play, crowd=door) for name, door in doors.items()}, SEEDS, workers=WORKERS)


def after_outage(seed: int, *, shedding: bool) -> dict[str, float]:
    """Share of calls answered in time in the last ten seconds watched: is the outage over for the clients, too?"""
    trouble = Trouble(outage_s=5.0, watched_s=60.0, shedding=shedding)
    cell = play(Bottleneck(1, 3 * order_s), trouble, OUTAGE_LOAD, RETRY_BUDGET, seed)
    return {"goodput": sum(cell.goodput[-10:]) / 10}


outage = compare(
    {name: partial(after_outage, shedding=shedding) for name, shedding in (("queue", False), ("admission", True))},
    SEEDS,
)

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
    f"With a greedy user on one service, honest users are served in {door['no protection']} of their requests without "
    f"protection, in {door['a bounded queue']} with a bounded queue, in {door['a limit for each user']} with a limit "
    f"for each user. Long after an outage {words.percent(outage.estimate('queue', 'goodput'))} of the calls are "
    f"answered in time by a queue, {words.percent(outage.estimate('admission', 'goodput'))} with admission control."
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
# ## Queue, admission, limiter
#
# One service, honest users, and one who asks more than all of them together. An unbounded queue makes everybody late; a
# bounded one keeps those who find a place quick, and lets the greedy one take most places; a limit for each user takes
# away what was too much, from whom it came.

# %%
figure, (left, right) = plt.subplots(1, 2, figsize=(11, 3.2), sharey=True)
for number, (metric, name) in enumerate(SERVED.items()):
    shown = {door: protected.estimate(door, metric) for door in doors}
    drawing.points(left, shown, drawing.COLOURS[number], 100, name, 0.2 * (number - 0.5))
drawing.points(right, {door: protected.estimate(door, "honest.p99") for door in doors}, factor=1000)
right.set_xscale("log")
drawing.label(left, "Requests served in time, 95 % intervals", "per cent", "")
drawing.label(right, "p99 of honest users who were answered", "milliseconds", "")
left.legend(loc="center")
plt.show()

# %%
pd.DataFrame(
    {
        door: {
            "honest users served": words.percent(protected.estimate(door, "honest.served")),
            "difference": words.points(protected.difference(door, "honest.served")) if number else "",
            "greedy user served": words.percent(protected.estimate(door, "greedy.served")),
            "p99 of honest users": words.ms(protected.estimate(door, "honest.p99")),
        }
        for number, door in enumerate(doors)
    }
).T

# %% [markdown]
# ## After an outage
#
# Callers whose patience ends repeat, and a queue works on requests that nobody waits for any more, so a short outage
# may never end. Admission turns away at once what could not be answered in time.

# %%
figure, axes = plt.subplots(figsize=(8, 1.9))
drawing.points(axes, {name: outage.estimate(name, "goodput") for name in ("queue", "admission")}, factor=100)
drawing.label(axes, "Calls answered in time, long after the outage, 95 % intervals", "per cent", "")
axes.set_xlim(-2, 102)
plt.show()

# %% [markdown]
# ## Assumptions
#
# - Each process has a host of its own with one core; clients are elsewhere. Every process is paid for, busy or not.
# - Users and the back office are not on a payment's path in the model, so merging or splitting them changes what is
#   paid for and not how long a payment takes. Where processes share one machine their idle work counts, too.
# - The model has no cache: "carts from a cache" is the platform with a cheaper cart, at the hit share and cost of a hit
#   in the parameters. Neither has been measured here.
# - The model has no limiter and no admission: these parts play one service alone, with the platform's own token buckets
#   and retry budget, at the demand that an order brings it by the calibration.
# - Replicas are judged by latency here; what they buy when something fails stands in `03-availability-under-failure`.
# - Intervals are Student's t over the seeds. Differences are paired (common random numbers).
