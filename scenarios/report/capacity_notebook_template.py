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
# # How many replicas of what does this load need?
#
# The answer of `paylab capacity`, with its proof. The document itself is in the next (hidden) cell; everything below
# reads it.

# %% tags=["parameters"]
ANSWER = ""  # the text of answer.json

# %%
import json

import matplotlib.pyplot as plt
import pandas

from scenarios.report import capacity_plots, capacity_words

answer = json.loads(ANSWER)
pandas.set_option("display.max_colwidth", None)
print(capacity_words.question(answer["objective"]))
print(capacity_words.vector(answer["answer"]["replicas"]))
for line in capacity_words.headlines(answer):
    print(f"- {line}")

# %% [markdown]
# ## What one payment costs
#
# The demand table: visits, CPU a visit and a payment, and what the replicas bear by the utilisation law.

# %%
columns = ["process", "visits", "ms a visit", "ms a payment", "replicas", "busy", "one bears", "all bear"]
pandas.DataFrame(capacity_words.demands(answer), columns=columns).set_index("process")

# %%
for line in capacity_words.laws(answer):
    print(f"- {line}")


def draw(*names: str) -> None:
    """Some of the plots, one below the other."""
    _, every = plt.subplots(len(names), figsize=(9.6, 3.6 * len(names)), layout="constrained", squeeze=False)
    for axes, name in zip(every.flat, names, strict=True):
        capacity_plots.PLOTS[name][0](axes, answer, capacity_plots.PAPER)
    plt.show()


draw("demands", "saturation", "bounds")

# %% [markdown]
# ## The search, and the proof of what it found

# %%
draw("landscape", "states")

# %%
states = ["state", "p99 with its 95 % interval", "success", "runs", "met"]
pandas.DataFrame(capacity_words.states(answer), columns=states).set_index("state")

# %%
pandas.DataFrame(capacity_words.reasons(answer), columns=["process", "binds", "why not one fewer"]).set_index("process")

# %% [markdown]
# ## If demand changes

# %%
draw("sensitivity")

# %% [markdown]
# ## Taken for granted

# %%
for number, line in enumerate(answer["assumptions"], 1):
    print(f"{number}. {line}")
