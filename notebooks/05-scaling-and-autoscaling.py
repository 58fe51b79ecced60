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
# # How far does the platform scale, and what should an autoscaler aim at?

# %% tags=["parameters"]
SEEDS = range(1, 4)
WORKERS = 2  # processes that simulate
REPLICAS = (1, 2, 3, 4, 6)
USERS = 10  # at work for each replica, without a pause: enough to keep it busy
LOAD_S = 5  # the first two seconds are warm-up
PEAK_PER_S = 200  # payments, in the autoscaler's load
TARGETS = (0.4, 0.5, 0.6, 0.7, 0.8, 0.9)  # utilisation that the autoscaler aims at
WINDOWS_S = (0, 300)  # how long it remembers a higher recommendation
STARTUP_S = 30  # until a new replica serves
P99_S = 0.3  # a slower payment violates the objective
SLOW_MAX = 0.01  # share of payments that may

# %%
from functools import partial

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from IPython.display import Markdown

from scenarios.capacity.commands import METHODS
from scenarios.capacity.traffic import traffic_input
from scenarios.study import Case, drawing, study, words
from settlement.policies.autoscaler import Scaling
from settlement.topology import DEFAULT_TOPOLOGY
from simulator import calibration
from simulator.analysis import fit_scalability, mean_of
from simulator.capacity.autoscaling import PERIOD_S, REPLICAS_MAX, Profile, scaled
from simulator.capacity.demands import measure
from simulator.capacity.playing import stage_of
from simulator.capacity.question import Effort, Prices

plt.rcParams.update(drawing.STYLE)
SETTLED = "throughput.settled"
PATH = ("cart", "order", "payment", "gateway", "risk", "channel")  # what a payment visits; the banks grow with us


def saturated(services: tuple[str, ...], replicas: int, *, together: bool = False) -> Case:
    """As many users as it takes to keep `replicas` busy, without a pause between their payments."""
    return Case.of(
        "baseline",
        "load.kind=closed",
        "load.mix={pay: 1}",
        "load.think=0s",
        "load.pool=5000",
        f"load.stages=[{{users: {USERS * replicas}, for: {LOAD_S}s}}]",
        f"platform.replicas={{{', '.join(f'{service}: {replicas}' for service in services)}}}",
        "platform.settings.usercenter.argon2_memory_kib=64",
        "phases.warmup=2s",
        "phases.recovery=3s",
        "expect=[atomic]",
        together=together,
    )


WAYS = {
    "everything, a host for each": partial(saturated, PATH),
    "order alone, a host for each": partial(saturated, PATH[1:2]),
    "everything, on one machine": partial(saturated, PATH, together=True),
}
runs = study({(way, n): make(n) for way, make in WAYS.items() for n in REPLICAS}, (SETTLED,), SEEDS, WORKERS)
laws = {way: fit_scalability(REPLICAS, [runs.estimate((way, n), SETTLED).value for n in REPLICAS]) for way in WAYS}

traffic = {
    "mix": {"pay": 1},
    "methods": METHODS,
    "topology": DEFAULT_TOPOLOGY,
    "settings": {},
    "calibration": calibration.load(),
}
stage = stage_of(partial(traffic_input, traffic=traffic), DEFAULT_TOPOLOGY, 1.0, Effort())
demands = measure(stage, SEEDS[0])
profile = Profile.wave(PEAK_PER_S)


def aim(target: float, window_s: float) -> Scaling:
    return Scaling(target, 1, REPLICAS_MAX, period_s=PERIOD_S, stabilisation_s=window_s)


tunings = [aim(target, window_s) for window_s in WINDOWS_S for target in TARGETS]
tuned = {tuning: [scaled(profile, demands, tuning, P99_S, STARTUP_S, seed) for seed in SEEDS] for tuning in tunings}
replica_hour = Prices().of_replica(1.0)
slow = {tuning: mean_of([each.slow for each in found]) for tuning, found in tuned.items()}
cost = {
    tuning: mean_of([each.replica_hours * replica_hour / profile.payments * 1e6 for each in found])
    for tuning, found in tuned.items()
}
good = [tuning for tuning in tunings if slow[tuning].high <= SLOW_MAX]
best = min(good, key=lambda tuning: cost[tuning].value, default=None)

# %% tags=["answer"]
every, alone, shared = (laws[way] for way in WAYS)
first, last = (runs.estimate((next(iter(WAYS)), n), SETTLED) for n in (REPLICAS[0], REPLICAS[-1]))
dear = min(slow, key=lambda tuning: slow[tuning].value)
Markdown(
    f"**Answer.** With a host for every replica, {REPLICAS[-1] / REPLICAS[0]:g} times as many settle "
    f"{last.value / first.value:.1f} times as many payments: {words.number(first, 'payments/s')} with {REPLICAS[0]} of "
    f"each, {words.number(last, 'payments/s')} with {REPLICAS[-1]}; contention is {words.percent(every.alpha)}. "
    "More of the order service alone helps until the next one is the bottleneck, and on "
    f"one machine more replicas share the same cores: contention {words.percent(shared.alpha)}. "
    + (
        f"The autoscaler should aim at {best.target:.0%} and remember for {best.stabilisation_s:g} s: "
        f"{words.percent(slow[best])} of the payments are slower than {P99_S * 1000:g} ms, at "
        f"{words.number(cost[best])} a million."
        if best
        else f"No target keeps slow payments at or below {SLOW_MAX:.0%}; the best is {dear.target:.0%} with "
        f"{words.percent(slow[dear])}."
    )
)

# %% [markdown]
# ## Throughput against replicas
#
# Users who never pause keep the platform busy. Points are means over the seeds with their intervals, lines the fitted
# Universal Scalability Law (Gunther): contention bends the line, coherency would turn it down.

# %%
figure, axes = plt.subplots(figsize=(9.5, 4))
fine = np.linspace(1, REPLICAS[-1], 60)
for number, (way, law) in enumerate(laws.items()):
    found = [runs.estimate((way, n), SETTLED) for n in REPLICAS]
    drawing.line(axes, REPLICAS, found, way, drawing.COLOURS[number], joined=False)
    axes.plot(fine, [law.throughput(n) for n in fine], color=drawing.COLOURS[number], linewidth=1.2)
axes.plot(fine, [first.value * n for n in fine], ":", color=drawing.INK, linewidth=1, label="in proportion")
axes.set_ylim(0, None)
axes.set_xticks(REPLICAS)
drawing.label(axes, "Payments settled a second, and the fitted law", "replicas", "payments/s")
drawing.legend(axes)
plt.show()

# %%
pd.DataFrame(
    {
        way: {
            "one alone, payments/s (gamma)": words.number(law.gamma),
            "contention (alpha)": words.percent(law.alpha),
            "coherency (beta)": words.number(law.beta),
            "most measured, payments/s": words.number(
                max((runs.estimate((way, n), SETTLED) for n in REPLICAS), key=lambda each: each.value)
            ),
        }
        for way, law in laws.items()
    }
).T

# %% [markdown]
# ## The autoscaler: slow payments against cost
#
# Kubernetes' algorithm on a load that rises to its peak, stays, and falls. A high target is cheap and leaves no room
# while new replicas start; a long memory keeps replicas after the load has gone.

# %%
figure, (left, right) = plt.subplots(1, 2, figsize=(11, 3.6))
aims = [target * 100 for target in TARGETS]
for number, window_s in enumerate(WINDOWS_S):
    chosen = [tuning for tuning in tunings if tuning.stabilisation_s == window_s]
    name, colour = f"remembers for {window_s} s", drawing.COLOURS[number]
    drawing.line(left, aims, [slow[tuning] for tuning in chosen], name, colour, 100)
    drawing.line(right, aims, [cost[tuning] for tuning in chosen], name, colour)
drawing.limit(left, SLOW_MAX * 100, "allowed")
drawing.label(
    left, f"Payments slower than {P99_S * 1000:g} ms", "target utilisation, per cent", "per cent of all payments"
)
drawing.label(right, "What it costs", "target utilisation, per cent", "a million payments, any currency")
for axes in (left, right):
    axes.set_ylim(0, None)
drawing.legend(right)
plt.show()

# %%
figure, axes = plt.subplots(figsize=(9.5, 3.2))
moments = np.arange(len(tuned[tunings[0]][0].replicas)) * PERIOD_S / 60
ends = np.cumsum([for_s for _, for_s in profile.stages]) / 60
rates = [rate_per_s for rate_per_s, _ in profile.stages]
axes.step([0, *ends], [rates[0], *rates], color=drawing.GRID, linewidth=6, label="load")
beside = axes.twinx()
shown = [aim(target, WINDOWS_S[-1]) for target in (TARGETS[0], TARGETS[-1])]
for number, tuning in enumerate(shown):
    replicas = np.array([each.replicas for each in tuned[tuning]])
    colour = drawing.COLOURS[number]
    beside.step(moments, replicas.mean(axis=0), where="post", color=colour, label=f"target {tuning.target:.0%}")
    beside.fill_between(
        moments, replicas.min(axis=0), replicas.max(axis=0), step="post", color=colour, alpha=0.2, linewidth=0
    )
beside.grid(visible=False)
beside.set_ylim(0, None)
beside.set_ylabel("replicas of all processes")
axes.set_ylim(0, None)
drawing.label(axes, "Replicas follow the load; bands: all seeds", "minutes", "payments/s")
lines = [each for one in (axes, beside) for each in one.get_legend_handles_labels()[0]]
beside.legend(lines, [each.get_label() for each in lines], loc="upper right")
plt.show()

# %% [markdown]
# ## Assumptions
#
# - A process is one event loop and has no use for more than one core. Databases are no queue of their own.
# - Clients and, in the first part, banks are never the bottleneck. On the one machine the load generator shares its
#   cores, too.
# - The law is fitted to means by least squares; its intervals are those of the fit. A wall (another bottleneck) is no
#   contention, the law only describes it as such.
# - The autoscaler is the platform's own policy: Kubernetes' controller with its default tolerance and limits, one for
#   each process, reading CPU. Each process is played as a queue by recursion with the demands that a pilot run
#   measured; nobody gives up waiting.
# - Prices are those of the planner's defaults; every replica counts from the moment it is asked for.
# - The same seed is the same luck for every tuning and every number of replicas (common random numbers).
