"""How sure the answer is: luck, dearer or cheaper demands, deaths while it runs, and a rising rate.

Sensitivity and deaths are played with the seeds of the answer itself (common random numbers), so that a difference is
the change's doing and not the luck of another day.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import inf

from scipy.stats import beta

from simulator.analysis import Estimate
from simulator.analysis.estimates import paired
from simulator.capacity.candidates import Candidate, Counts, Field, as_vector
from simulator.capacity.jury import Judged, Jury, met
from simulator.capacity.playing import Kill

CHANGE = 0.1
KILL_AT_S = 1.0
QUIET_S = 4.0
"""From a death until every caller has noticed: leases run out (3 s), and what was under way is taken over."""

BEYOND = 1.02
"""The search for the headroom begins so far above the rate at which the utilisation law ends it."""


@dataclass(frozen=True)
class Odds:
    """`share` of the replications met the objective; Clopper and Pearson's exact interval."""

    share: float
    low: float
    high: float
    count: int


@dataclass(frozen=True)
class Effect:
    """What a change of one process's demand does to the p99; `meets`: whether the objective still holds."""

    process: str
    factor: float
    p99_s: Estimate
    difference_s: Estimate
    meets: bool


@dataclass(frozen=True)
class Death:
    """`count` replicas of a process died in a run and stayed away. `lost`: payments a run that did not succeed at all.

    `after`: what was measured when everybody had noticed.
    """

    process: str
    count: int
    lost: Estimate
    after: Judged


@dataclass(frozen=True)
class Headroom:
    """Rates at which the weakest state that must hold was shown to hold, and was not; `by_law`: no more than this."""

    weakest: Mapping[str, int]
    holds_per_s: float
    fails_per_s: float
    by_law_per_s: float


def odds(judged: Judged, jury: Jury) -> Odds:
    """P(SLO met) by the replications of one trial, each taken for itself."""
    count = len(judged.rows)
    good = sum(met(row, jury.objective) for row in judged.rows)
    low = float(beta.ppf(0.025, good, count - good + 1)) if good else 0.0
    high = float(beta.ppf(0.975, good + 1, count - good)) if good < count else 1.0
    return Odds(good / count, low, high, count)


def sensitivity(base: Judged, field: Field, jury: Jury) -> list[Effect]:
    """Every demand 10 % up and down, seed by seed against the answer, the strongest effect first."""
    count = jury.stage.effort.replications_min
    variants = [(row.process, factor) for row in field.table.rows for factor in (1 + CHANGE, 1 - CHANGE)]
    trials = [replace(base.trial, slower=(variant,)) for variant in variants]
    ours = [row["p99_s"] for row in base.rows[:count]]
    effects = []
    for (process, factor), judged in zip(variants, jury.judge(trials, count), strict=True):
        theirs = [row["p99_s"] for row in judged.rows[:count]]
        difference_s = paired(theirs, ours) if inf not in theirs else Estimate(inf, inf, inf, count)
        meets = judged.p99_s.value <= jury.objective.p99_s
        effects.append(Effect(process, factor, judged.p99_s, difference_s, meets))
    return sorted(effects, key=lambda effect: -abs(effect.difference_s.value))


def deaths(candidate: Candidate, field: Field, jury: Jury) -> list[Death]:
    """Kill the spares of each process while it runs."""
    vector = as_vector(candidate.counts, field.table.fixed)
    spared = {name: spare for name, spare in candidate.spares.items() if spare}
    kills = [Kill(name, spare, KILL_AT_S, QUIET_S) for name, spare in spared.items()]
    found = jury.judge([jury.trial(vector, kill=kill) for kill in kills], jury.stage.effort.replications_min)
    return [
        Death(kill.process, kill.count, _estimate_lost(judged), judged)
        for kill, judged in zip(kills, found, strict=True)
    ]


def _estimate_lost(judged: Judged) -> Estimate:
    lost = [row["lost"] for row in judged.rows]
    return paired(lost, [0.0] * len(lost))


def headroom(candidate: Candidate, field: Field, jury: Jury) -> Headroom:
    """How far the rate can rise until the weakest state that must hold no longer does, by halving.

    The weakest state: the spares of one process gone, of that process which is screened slowest at the utilisation
    law's end.
    """
    states = candidate.degraded() or [dict(candidate.counts)]
    law_per_s = {id(state): _saturation_per_s(state, field) for state in states}
    weakest = min(states, key=lambda state: law_per_s[id(state)])
    by_law_per_s = law_per_s[id(weakest)]
    low, high = field.objective.rate_per_s, max(BEYOND * by_law_per_s, field.objective.rate_per_s)
    vector = as_vector(weakest, field.table.fixed)
    for _ in range(jury.stage.effort.headroom_steps):
        middle = (low + high) / 2
        (judged,) = jury.judge([jury.trial(vector, rate_per_s=round(middle, 3))], jury.stage.effort.replications_min)
        low, high = (middle, high) if judged.meets else (low, middle)
    return Headroom(weakest, low, high, by_law_per_s)


def _saturation_per_s(counts: Counts, field: Field) -> float:
    """Payments a second at which some process has no time left at all."""
    return min(counts[row.process] * field.screen.available(row) / row.demand_s for row in field.table.rows)
