"""Metastability: a load and a retry budget under which a short outage never ends.

A metastable failure outlives its trigger because something the trigger set off keeps it going (Bronson, Aghayev,
Charapko, Zhu, "Metastable Failures in Distributed Systems", HotOS 2021; Huang et al., OSDI 2022): here, callers whose
patience ends repeat, and servers work on requests that nobody waits for any more. The bottleneck's queue is played
call by call, with the platform's own `RetryBudget` and backoff; the trigger is an outage of some seconds. A budget is a
value of the setting BUDGET, which services have in force.

The known answer: while every call runs out of patience, a budget of b sends 1 + b times the load, and the backlog of
the outage shrinks only if load * (1 + b) < 1. With `shedding` a call that could not be answered in time is turned away
at once, and nothing is worked on in vain.
"""

import heapq
from dataclasses import dataclass
from math import ceil

import numpy as np

from settlement.policies.retry import ATTEMPTS_MAX, RetryBudget, backoff_ms

BUDGET = "http.retry_budget_share"
"""The setting that says how many retries a call pays for."""
GOODPUT_BACK = 0.95
"""It has recovered when this share of calls, by the second of their first attempt, is answered in time again."""


@dataclass(frozen=True)
class Bottleneck:
    """`replicas` with one queue, `service_s` a call on average, with its coefficient of variation."""

    replicas: int
    service_s: float
    variation: float = 0.5

    @property
    def capacity_per_s(self) -> float:
        """Calls a second at most."""
        return self.replicas / self.service_s


@dataclass(frozen=True)
class Trouble:
    """The trigger and the callers: nothing is served for `outage_s`; then it is watched for `watched_s`.

    A caller's patience is `timeout_s` an attempt; it tries at most `attempts_max` times, within its budget.
    """

    outage_s: float = 10.0
    timeout_s: float = 1.0
    attempts_max: int = ATTEMPTS_MAX
    before_s: float = 10.0
    watched_s: float = 120.0
    backoff_base_ms: float = 100.0
    backoff_max_ms: float = 1000.0
    shedding: bool = False


@dataclass(frozen=True)
class Cell:
    """One load (share of the capacity) and budget. `recovery_s` after the outage; infinite: it stayed down.

    `goodput`: share of calls answered in time in each second; `amplification`: attempts a call in the last seconds.
    """

    load: float
    budget: float
    recovery_s: float
    goodput: tuple[float, ...]
    amplification: float

    @property
    def recovers(self) -> bool:
        """Whether it came back by itself."""
        return self.recovery_s != float("inf")


class _Queue:
    """First come, first served by several replicas; nothing starts while there is an outage."""

    def __init__(self, bottleneck: Bottleneck, trouble: Trouble) -> None:
        self._free_at_s = [0.0] * bottleneck.replicas
        self._from_s, self._until_s = trouble.before_s, trouble.before_s + trouble.outage_s

    def ends_s(self, now_s: float, service_s: float) -> float:
        """When a call that arrives now would have its answer."""
        start_s = max(now_s, self._free_at_s[0])
        return (self._until_s if self._from_s <= start_s < self._until_s else start_s) + service_s

    def take(self, ends_s: float) -> None:
        """It is taken, whether or not anybody will wait for it."""
        heapq.heapreplace(self._free_at_s, ends_s)


def play(bottleneck: Bottleneck, trouble: Trouble, load: float, budget: float, seed: int) -> Cell:
    """One run. The same seed is the same luck for every load and budget."""
    end_s = trouble.before_s + trouble.outage_s + trouble.watched_s
    random = np.random.default_rng(seed)
    rate_per_s = load * bottleneck.capacity_per_s
    arrivals_s = np.cumsum(random.exponential(1.0, ceil(rate_per_s * end_s * 1.2) + 100)) / rate_per_s
    shape = 1 / max(bottleneck.variation, 1e-3) ** 2
    services_s = iter(random.gamma(shape, bottleneck.service_s / shape, 4 * trouble.attempts_max * len(arrivals_s)))
    chances = np.random.default_rng([seed, 1])
    queue, allowance = _Queue(bottleneck, trouble), RetryBudget(budget)
    agenda = [(float(at_s), number, 1) for number, at_s in enumerate(arrivals_s[arrivals_s < end_s])]
    first_s = [at_s for at_s, _, _ in agenda]
    seconds = ceil(end_s)
    asked, answered, attempts = np.zeros(seconds), np.zeros(seconds), np.zeros(seconds)
    while agenda:  # arrivals are sorted, which is a heap already
        now_s, number, attempt = heapq.heappop(agenda)
        if now_s >= end_s:
            break
        second = int(first_s[number])
        attempts[int(now_s)] += 1
        if attempt == 1:
            asked[second] += 1
            allowance.call_made()
        ends_s = queue.ends_s(now_s, float(next(services_s)))
        in_time = ends_s - now_s <= trouble.timeout_s
        if in_time or not trouble.shedding:
            queue.take(ends_s)
        if in_time:
            answered[second] += 1
        elif attempt < trouble.attempts_max and allowance.try_withdraw():
            patience_s = 0.0 if trouble.shedding else trouble.timeout_s
            pause_ms = backoff_ms(attempt, trouble.backoff_base_ms, trouble.backoff_max_ms, float(chances.random()))
            heapq.heappush(agenda, (now_s + patience_s + pause_ms / 1000, number, attempt + 1))
    return _cell(load, budget, trouble, asked, answered, attempts)


def _cell(load: float, budget: float, trouble: Trouble, asked: "np.ndarray[tuple[int], np.dtype[np.float64]]",
          answered: "np.ndarray[tuple[int], np.dtype[np.float64]]",
          attempts: "np.ndarray[tuple[int], np.dtype[np.float64]]") -> Cell:  # fmt: skip
    goodput = answered / np.maximum(1, asked)
    # The last calls still had patience and attempts left when the run ended.
    judged = len(goodput) - ceil(trouble.attempts_max * (trouble.timeout_s + trouble.backoff_max_ms / 1000))
    ended = int(trouble.before_s + trouble.outage_s)
    bad = np.flatnonzero(goodput[ended:judged] < GOODPUT_BACK)
    recovery_s = 0.0 if not len(bad) else float(bad[-1] + 1)
    if ended + recovery_s >= judged:
        recovery_s = float("inf")
    late = slice(max(ended, judged - 10), judged)
    amplification = float(attempts[late].sum() / max(1.0, asked[late].sum()))
    return Cell(load, budget, recovery_s, tuple(float(each) for each in goodput[:judged]), amplification)


def stays_down_by_theory(load: float, budget: float) -> bool:
    """Whether the backlog of an outage cannot shrink: load * (1 + b) >= 1."""
    return load * (1 + budget) >= 1
