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
# # How long does two-phase commit block when the coordinator dies, and what does it save?

# %% tags=["parameters"]
SEEDS = range(1, 7)
WORKERS = 2  # processes that simulate
RESTARTS_S = (0.5, 2, 4, 8)  # how long a dead gateway replica stays away
LEASES_S = (1, 4, 8)  # how long a replica owns a transaction without renewing
REPLICAS = (1, 2, 3)  # of the gateway
USUAL_LEASE_S = 3
LONG_RESTART_S = 8
RATE_PER_S = 20

# %%
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from IPython.display import Markdown

from scenarios.checks import in_doubt
from scenarios.study import Case, drawing, history_of, study, words

plt.rcParams.update(drawing.STYLE)
WINDOW = "blocking.window"
DOUBT = ("in_doubt.p50", "in_doubt.p99", "in_doubt.max")
HELD = ("lock_hold.goods.p99", "lock_hold.goods.max", "lock_hold.money.p99", "lock_hold.money.max")
LOST = ("losses.minor", "losses.orders", "latency.pay.p50", "latency.pay.p99")
PROTOCOLS = ("article", "two_phase")
STORIES = ("article-gateway-crash", "article-lost-confirm")
POINT = "coordinator.decided.persist.after"  # decided, and nobody has been told: the worst moment


def crash(restart_s: float, gateways: int, lease_s: float) -> Case:
    """The gateway dies once, between deciding and telling; 0 s: it does not die."""
    fault = f"{{at: 5s, kind: crash_at, service: gateway, point: {POINT}, restart_after: {round(restart_s * 1000)}ms}}"
    return Case.of(
        "coordinator-crash",
        f"faults=[{fault if restart_s else ''}]",
        "expect=[atomic, money_conserved, client_truth]",
        f"platform.replicas.gateway={gateways}",
        f"platform.settings.gateway.lease_ms={round(lease_s * 1000)}",
        "platform.settings.gateway.prepare_timeout_ms=900",  # below every lease
        f"load.stages=[{{rate: {RATE_PER_S}, for: 12s}}]",
        "phases.warmup=2s",
        "phases.recovery=15s",
    )


calm = {"no crash": crash(0, 1, USUAL_LEASE_S)}
lengths = [(away, USUAL_LEASE_S) for away in (*RESTARTS_S, LONG_RESTART_S)]
leases = [(LONG_RESTART_S, lease) for lease in LEASES_S]
crashes = {(away, count, lease): crash(away, count, lease) for away, lease in (*lengths, *leases) for count in REPLICAS}
quiet = study(calm, (*DOUBT, *HELD), SEEDS, WORKERS)
blocked = study(crashes, (WINDOW, *DOUBT, *HELD), SEEDS, WORKERS)
pairs = {
    story: study(
        {protocol: Case.of(story, f"platform.protocol={protocol}") for protocol in PROTOCOLS}, LOST, SEEDS, WORKERS
    )
    for story in STORIES
}

# %% tags=["answer"]
alone, many = ((LONG_RESTART_S, count, USUAL_LEASE_S) for count in (REPLICAS[0], REPLICAS[-1]))
lost = {story: pairs[story].estimate("article", "losses.orders") for story in STORIES}
Markdown(
    f"**Answer.** Usually a payment is in doubt for {words.ms(quiet.estimate('no crash', 'in_doubt.p50'))}. When "
    f"the only gateway dies for {LONG_RESTART_S} s between deciding and telling, what it left stays blocked for "
    f"{words.seconds(blocked.estimate(alone, WINDOW))}: its restart is all that helps. With {REPLICAS[-1]} replicas "
    f"the lease of {USUAL_LEASE_S} s ends it after {words.seconds(blocked.estimate(many, WINDOW))}, however long the "
    f"dead one stays away. That is the price; what it buys: under the article's own protocol the same kind of crash "
    f"leaves {words.number(lost[STORIES[0]])} orders with the wrong money in a run, and lost confirmations "
    f"{words.number(lost[STORIES[1]])}; under two-phase commit "
    f"{words.listed([words.number(pairs[story].estimate('two_phase', 'losses.orders')) for story in STORIES])}."
)

# %% [markdown]
# ## The window against the restart, and against the lease
#
# The blocking window lasts from the gateway's death to the first end of something that it left in doubt. Alone, a
# gateway has to be back (restart, start-up) before anybody can end it. With others, whichever comes first does: the
# restart, or the end of the dead one's lease and the next round of the recovery worker.

# %%
figure, (left, right) = plt.subplots(1, 2, figsize=(11, 3.8), sharey=True)
for number, count in enumerate(REPLICAS):
    name, colour = f"{count} gateway{'s' if count > 1 else ''}", drawing.COLOURS[number]
    found = [blocked.estimate((away, count, USUAL_LEASE_S), WINDOW) for away in RESTARTS_S]
    drawing.line(left, RESTARTS_S, found, name, colour)
    found = [blocked.estimate((LONG_RESTART_S, count, lease), WINDOW) for lease in LEASES_S]
    drawing.line(right, LEASES_S, found, name, colour)
drawing.limit(left, USUAL_LEASE_S, "the lease")
left.plot(RESTARTS_S, RESTARTS_S, ":", color=drawing.INK, linewidth=1, label="the restart alone")
right.plot(LEASES_S, LEASES_S, ":", color=drawing.INK, linewidth=1, label="lease or restart alone")
drawing.label(left, f"Lease of {USUAL_LEASE_S} s", "gateway away, seconds", "blocking window, seconds")
drawing.label(right, f"Gateway away for {LONG_RESTART_S} s", "lease, seconds", "")
for axes in (left, right):
    axes.set_ylim(0, None)
drawing.legend(right)
plt.show()

# %% [markdown]
# ## Time in doubt, and how long goods and money are held
#
# From its yes until it applies the outcome a participant may decide nothing, and holds what it reserved. Few payments
# are caught by a crash: median and even the 99th percentile may stay what they were, and the longest is the crash.

# %%
columns = {
    "no crash": (quiet, "no crash"),
    f"1 gateway, away {LONG_RESTART_S} s": (blocked, alone),
    f"{REPLICAS[-1]} gateways, away {LONG_RESTART_S} s": (blocked, many),
}
pd.DataFrame(
    {
        name: [words.ms(found.estimate(key, metric)) for metric in (*DOUBT, *HELD)]
        for name, (found, key) in columns.items()
    },
    index=pd.Index((*DOUBT, *HELD), name="mean of the runs with 95 % interval"),
)

# %%
figure, axes = plt.subplots(figsize=(9, 3.6))
everything = {**calm, **crashes}
for number, (name, (_, key)) in enumerate(columns.items()):
    times_s = np.sort(
        np.concatenate([in_doubt.intervals(history_of(everything[key], seed))["duration_s"] for seed in SEEDS[:4]])
    )
    left_over = 1 - np.arange(len(times_s)) / len(times_s)
    axes.step(times_s * 1000, left_over, where="post", color=drawing.COLOURS[number], linewidth=1.6, label=name)
axes.set_xscale("log")
axes.set_yscale("log")
drawing.label(axes, "Votes that are still in doubt after ...", "milliseconds since the yes", "share of all votes")
drawing.legend(axes)
plt.show()

# %% [markdown]
# ## What it buys: the article's protocol beside two-phase commit
#
# The same customers, the same crashes, the same lost answers; only the protocol differs. The article's flow keeps no
# durable decision and takes a missing confirmation for a failure, so money and orders part. Money is in minor units
# (hundredths), customers' and merchants' losses together.

# %%
figure, (left, right) = plt.subplots(1, 2, figsize=(11, 2.8), sharey=True)
for number, protocol in enumerate(PROTOCOLS):
    for axes, metric, factor in ((left, "losses.orders", 1), (right, "losses.minor", 0.01)):
        found = {story: pairs[story].estimate(protocol, metric) for story in STORIES}
        drawing.points(axes, found, drawing.COLOURS[number], factor, protocol, 0.2 * (number - 0.5))
drawing.label(left, "Orders with the wrong money", "orders in a run", "")
drawing.label(right, "Money in the wrong place", "CNY in a run", "")
drawing.legend(right)
plt.show()

# %%
pd.DataFrame(
    {
        story: {
            "orders lost by the article, a run": words.number(pairs[story].estimate("article", "losses.orders")),
            "minor units lost by the article, a run": words.number(pairs[story].estimate("article", "losses.minor")),
            "two-phase commit, difference in orders": words.number(
                pairs[story].difference("two_phase", "losses.orders")
            ),
            "two-phase commit, difference in the median payment": words.change_ms(
                pairs[story].difference("two_phase", "latency.pay.p50")
            ),
        }
        for story in STORIES
    }
)

# %% [markdown]
# ## Assumptions
#
# - The gateway dies at the worst moment, once a run: its decision is durable and nobody has been told.
# - Databases outlive the processes; a decision that was durable is found again.
# - Every process has a host of its own; starting one takes what the calibration says.
# - The channel always answers. Wallets are asked last, cards hold, balances are our own ledger.
# - Both protocols run the shipped code of the platform in virtual time, with the same luck (common random numbers).
# - Intervals are Student's t over the seeds. A window that never ended within a run would show as no end.
