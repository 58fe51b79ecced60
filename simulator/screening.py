"""Screening: queues by recursion, compiled, for looking at thousands of candidates before simulating a few.

A queue with c servers, first come first served, needs no agenda: a customer starts when he is there and the earliest
server is free (Lindley, "The theory of queues with a single server", 1952; Kiefer and Wolfowitz, "On the theory of
queues with many servers", 1955). What it leaves out is everything that makes the platform a platform: pools, retries,
commits, faults. So it ranks and discards; the figures that are published come from the model.
"""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Screened:
    """Times in seconds, over the customers after the warm-up."""

    wait_mean_s: float
    sojourn_mean_s: float
    sojourn_p99_s: float
    utilisation: float
    customers: int


@njit(cache=True)  # type: ignore[untyped-decorator, unused-ignore]
def waits(gaps_s: Floats, services_s: Floats, servers: int) -> Floats:
    """Each customer's wait: `gaps_s` before each arrival, `services_s` of each, first come first served."""
    free_at_s = np.zeros(servers)
    waited_s = np.empty(len(gaps_s))
    now_s = 0.0
    for n in range(len(gaps_s)):
        now_s += gaps_s[n]
        first = 0
        for server in range(1, servers):
            if free_at_s[server] < free_at_s[first]:
                first = server
        start_s = max(now_s, free_at_s[first])
        waited_s[n] = start_s - now_s
        free_at_s[first] = start_s + services_s[n]
    return waited_s


@njit(cache=True)  # type: ignore[untyped-decorator, unused-ignore]
def mean_wait_s(gaps_s: Floats, services_s: Floats, servers: int, skip: int) -> float:
    """The mean of `waits` after the first `skip` customers, without writing them down."""
    free_at_s = np.zeros(servers)
    now_s = total_s = 0.0
    for n in range(len(gaps_s)):
        now_s += gaps_s[n]
        first = 0
        for server in range(1, servers):
            if free_at_s[server] < free_at_s[first]:
                first = server
        start_s = max(now_s, free_at_s[first])
        if n >= skip:
            total_s += start_s - now_s
        free_at_s[first] = start_s + services_s[n]
    return total_s / max(1, len(gaps_s) - skip)


def screen(
    rate_per_s: float,
    service_s: float,
    servers: int,
    variation: float = 1.0,
    customers: int = 200_000,
    seed: int = 1,
    warm_up: float = 0.1,
) -> Screened:
    """A queue of Poisson arrivals and gamma service times (coefficient of variation `variation`; 0: constant).

    Raises ValueError for a load that the servers cannot bear: a queue that grows for ever has no mean.
    """
    utilisation = rate_per_s * service_s / servers
    if not 0 < utilisation < 1:
        raise ValueError(f"{servers} servers cannot bear a load of {utilisation * servers:g} servers' work")
    random = np.random.default_rng(seed)
    gaps_s = random.exponential(1 / rate_per_s, customers)
    services_s = _services(random, service_s, variation, customers)
    skip = int(customers * warm_up)
    waited_s = waits(gaps_s, services_s, servers)[skip:]
    sojourn_s = waited_s + services_s[skip:]
    return Screened(
        float(waited_s.mean()), float(sojourn_s.mean()), float(np.quantile(sojourn_s, 0.99)), utilisation, len(waited_s)
    )


def screened(seed: int, **queue: Any) -> dict[str, float]:
    """`screen` as one replication, for `simulator.analysis.replicate`: the metrics of this seed."""
    return asdict(screen(seed=seed, **queue))


def _services(random: np.random.Generator, mean_s: float, variation: float, count: int) -> Floats:
    if variation <= 0:
        return np.full(count, mean_s)
    shape = 1 / variation**2
    return random.gamma(shape, mean_s / shape, count)
