"""Waits at one process with several replicas, by recursion: each replica has a queue of its own.

`simulator.screening` knows servers with one common queue, which is what a perfect balancer would make of them. Here
callers choose as the platform's balancer does: the replica with the fewest of *their own* calls outstanding, in turn if
several are equal. With one caller that is join-the-shortest-queue; with many callers, who do not see each other, it
approaches a choice in turn. First come, first served at each replica (Lindley's recursion), compiled.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@njit(cache=True)  # type: ignore[untyped-decorator, unused-ignore]
def _waits(gaps_s: Floats, services_s: Floats, callers: NDArray[np.int64], sources: int, servers: int) -> Floats:
    count = len(gaps_s)
    waited_s = np.empty(count)
    free_at_s = np.zeros(servers)
    outstanding = np.zeros((sources, servers), dtype=np.int64)
    turn = np.zeros(sources, dtype=np.int64)
    # The queue of each server as a linked list of customers: who ends next, and who comes after.
    head, tail = np.full(servers, -1), np.full(servers, -1)
    after = np.full(count, -1)
    ends_s = np.empty(count)
    now_s = 0.0
    for n in range(count):
        now_s += gaps_s[n]
        for server in range(servers):
            while head[server] >= 0 and ends_s[head[server]] <= now_s:
                outstanding[callers[head[server]], server] -= 1
                head[server] = after[head[server]]
            if head[server] < 0:
                tail[server] = -1
        source = callers[n]
        best = turn[source] % servers
        for step in range(1, servers):
            server = (turn[source] + step) % servers
            if outstanding[source, server] < outstanding[source, best]:
                best = server
        turn[source] += 1
        outstanding[source, best] += 1
        start_s = max(now_s, free_at_s[best])
        waited_s[n] = start_s - now_s
        free_at_s[best] = ends_s[n] = start_s + services_s[n]
        if tail[best] >= 0:
            after[tail[best]] = n
        else:
            head[best] = n
        tail[best] = n
    return waited_s


def waits(
    rate_per_s: float,
    service_s: float,
    variation: float,
    servers: int,
    sources: int = 1,
    customers: int = 60_000,
    seed: int = 1,
    warm_up: float = 0.1,
) -> Floats:
    """Waits in seconds of Poisson arrivals with gamma service times, spread evenly over `sources` callers.

    The same seed is the same luck at any rate and with any number of servers. Raises ValueError for a load that the
    servers cannot bear: a queue that grows for ever has no distribution.
    """
    if not rate_per_s * service_s < servers:
        raise ValueError(f"{servers} replicas cannot bear the work of {rate_per_s * service_s:g}")
    arrivals, services, callers = (np.random.default_rng([seed, stream]) for stream in range(3))
    gaps_s = arrivals.exponential(1 / rate_per_s, customers)
    shape = 1 / max(variation, 1e-3) ** 2
    services_s = services.gamma(shape, service_s / shape, customers)
    waited_s: Floats = _waits(gaps_s, services_s, callers.integers(0, sources, customers), sources, servers)
    return waited_s[int(customers * warm_up) :]
