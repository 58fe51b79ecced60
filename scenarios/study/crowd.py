"""One crowded service: honest users and a greedy one share it, behind a limiter, a bounded queue, both or nothing.

The queue is the model's `Station`, the limiter the platform's own `TokenBuckets` (a bucket for each user). It is one
service, not the platform: enough to see what keeps one user from taking everybody's time.
"""

from dataclasses import dataclass, replace
from math import inf

import numpy as np
from numpy.typing import NDArray

from settlement.policies.token_bucket import TokenBuckets
from simulator.resources import Agenda, Station

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
GREEDY = 0
"""The number of the greedy user."""


@dataclass(frozen=True)
class Crowd:
    """Honest users ask `honest_per_s` times a second together, the greedy one `greedy_per_s` times, for `load_s`.

    A request takes `service_s` on average of one of `replicas`; who waits longer than `patience_s` was not served.
    `user_per_s` and `user_burst` bound each user (0: they do not), `room` bounds how many may wait.
    """

    honest_per_s: float
    greedy_per_s: float
    service_s: float
    variation: float = 0.5
    replicas: int = 1
    users: int = 50
    patience_s: float = 1.0
    load_s: float = 20.0
    user_per_s: float = 0.0
    user_burst: int = 20
    room: float = inf


def bounded(crowd: Crowd, room: int) -> Crowd:
    """The same crowd before a queue with so many places."""
    return replace(crowd, room=room)


def limited(crowd: Crowd, user_per_s: float) -> Crowd:
    """The same crowd behind a limit for each user, with a burst of two seconds' worth."""
    return replace(crowd, user_per_s=user_per_s, user_burst=max(1, round(2 * user_per_s)))


def play(seed: int, *, crowd: Crowd) -> dict[str, float]:
    """Shares served in time and the p99 of honest users who were answered. Equal seeds meet the same requests."""
    at_s, users, services_s = _requests(seed, crowd)
    agenda, buckets = Agenda(), TokenBuckets()
    station = Station(agenda, "crowded", crowd.replicas, crowd.room)
    latency_s = np.full(len(at_s), inf)

    def ended(number: int) -> None:
        latency_s[number] = agenda.now - at_s[number]

    def arrive(number: int) -> None:
        if crowd.user_per_s:
            asked = buckets.take(str(users[number]), agenda.now * 1000, crowd.user_per_s, crowd.user_burst)
            if not asked.allowed:
                return
        station.visit(float(services_s[number]), ended, number)

    for number, moment_s in enumerate(at_s.tolist()):
        agenda.at(moment_s, arrive, number)
    agenda.run_until(inf)
    honest = latency_s[users != GREEDY]
    answered = honest[np.isfinite(honest)]
    return {
        "honest.served": float((honest <= crowd.patience_s).mean()),
        "greedy.served": float((latency_s[users == GREEDY] <= crowd.patience_s).mean()),
        "honest.p99": float(np.quantile(answered, 0.99)) if len(answered) else inf,
    }


def _requests(seed: int, crowd: Crowd) -> tuple[Floats, Integers, Floats]:
    """Moments, users and work of all requests, in order."""
    random = np.random.default_rng(seed)
    counts = [random.poisson(rate_per_s * crowd.load_s) for rate_per_s in (crowd.honest_per_s, crowd.greedy_per_s)]
    users = np.concatenate([random.integers(1, crowd.users + 1, counts[0]), np.full(counts[1], GREEDY)])
    at_s = random.uniform(0, crowd.load_s, len(users))
    shape = 1 / crowd.variation**2
    services_s = random.gamma(shape, crowd.service_s / shape, len(users))
    order = np.argsort(at_s)
    return at_s[order], users[order], services_s
