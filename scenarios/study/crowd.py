"""A crowd: users who pay, and a greedy one who looks at goods more often than all of them together.

The whole model is played, with its doors as the settings put them; each process has a host of its own. What the greedy
one asks for loads the order service, which the others pay through.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from math import inf
from typing import Any

import numpy as np
import pandas as pd

from scenarios.study.playing import OWN_HOSTS
from settlement.settings import normalized
from simulator import calibration
from simulator.inputs import Arrival, Load, SimulationInput
from simulator.model import simulate

GREEDY = 1_000_000
"""The account of the greedy user."""
POOL = 5_000
CALM_S = 5.0
METHODS = ("card", "wallet", "balance")

NO_DOORS: Mapping[str, Any] = {
    "limit.user_rate_per_s": 0.0,
    "limit.concurrency_mode": "off",
    "gateway.admission_mode": "off",
}
"""Settings that let everybody in."""


@dataclass(frozen=True)
class Crowd:
    """`honest_per_s` payments a second by many, `greedy_per_s` looks at the goods by one, for `load_s`.

    A payment that takes longer than `patience_s` was not served in time. `settings` are the platform's.
    """

    honest_per_s: float
    greedy_per_s: float
    patience_s: float = 1.0
    load_s: float = 6.0
    settings: Mapping[str, Any] = field(default_factory=dict)


def behind(crowd: Crowd, **settings: Any) -> Crowd:
    """The same crowd before other doors: `limit__user_burst=20` is the setting `limit.user_burst`."""
    named = {name.replace("__", "."): value for name, value in settings.items()}
    return replace(crowd, settings={**crowd.settings, **named})


def play(seed: int, *, crowd: Crowd) -> dict[str, float]:
    """Shares served in time, and the p99 of payments that were. Equal seeds meet the same requests."""
    tables = simulate(_input(seed, crowd))
    paid = tables["payments"]
    took_s = (paid["ended_s"] - paid["intended_s"]).where(paid["outcome"] == "ok", inf)
    answered_s = took_s[took_s < inf]
    asked = tables["requests"]
    greedy = asked[asked["operation"].str.startswith("greedy")]
    return {
        "honest.served": float((took_s <= crowd.patience_s).mean()),
        "greedy.served": _served(greedy, crowd.patience_s),
        "honest.p99": float(answered_s.quantile(0.99)) if len(answered_s) else inf,
    }


def _served(requests: pd.DataFrame, patience_s: float) -> float:
    """The share of requests that were answered well and in time."""
    in_time = requests["ended_s"] - requests["intended_s"] <= patience_s
    return float(((requests["outcome"] == "ok") & in_time).mean())


def _input(seed: int, crowd: Crowd) -> SimulationInput:
    """Both loads together, in order of time."""
    random = np.random.default_rng(seed)
    paying = _moments(random, crowd.honest_per_s, crowd.load_s)
    looking = _moments(random, crowd.greedy_per_s, crowd.load_s)
    arrivals = [
        Arrival(n, at_s, "pay", METHODS[n % len(METHODS)], n % 50 + 1, 1, f"honest-{n}")
        for n, at_s in enumerate(paying)
    ] + [Arrival(n, at_s, "browse", METHODS[0], n % 50 + 1, 1, f"greedy-{n}", GREEDY) for n, at_s in enumerate(looking)]
    return SimulationInput(
        seed=seed,
        duration_s=crowd.load_s + CALM_S,
        load_s=crowd.load_s,
        arrivals=tuple(sorted(arrivals, key=lambda arrival: arrival.at_s)),
        calibration=calibration.load().with_free_clients(),
        load=Load(pool=POOL),
        settings=dict(normalized(crowd.settings)),
        placement=OWN_HOSTS,
    )


def _moments(random: np.random.Generator, rate_per_s: float, load_s: float) -> list[float]:
    """A Poisson stream."""
    found: list[float] = np.sort(random.uniform(0, load_s, random.poisson(rate_per_s * load_s))).tolist()
    return found
