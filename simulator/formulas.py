"""Textbook answers: L. Kleinrock, "Queueing Systems" (1975, 1976); service times have mean 1, loads are in servers."""

from math import exp, factorial, log


def erlang_b(load: float, servers: int) -> float:
    """The share of customers that finds all servers busy and is lost."""
    blocked = 1.0
    for count in range(1, servers + 1):
        blocked = load * blocked / (count + load * blocked)
    return blocked


def erlang_c(load: float, servers: int) -> float:
    """The share of customers that has to wait in M/M/c."""
    blocked = erlang_b(load, servers)
    return servers * blocked / (servers - load * (1 - blocked))


def mmc_wait(load: float, servers: int) -> float:
    """The mean wait in M/M/c."""
    return erlang_c(load, servers) / (servers - load)


def mg1_wait(load: float, variation: float) -> float:
    """The mean wait in M/G/1, by Pollaczek and Khinchine; `variation`: coefficient of variation of the services."""
    return load * (1 + variation**2) / (2 * (1 - load))


def mg1_waking_stay(load: float, variation: float, waking: float) -> float:
    """The mean time in M/G/1 whose services last longer by `waking` for who finds the server idle (P. Welch, "On a
    generalized M/G/1 queuing process in which the first customer of each busy period receives exceptional service",
    Operations Research 12, 1964).
    """
    square, first = 1 + variation**2, 1 + waking
    first_square = square + 2 * waking + waking**2
    cycle = 1 - load + load * first
    wait = load * square / (2 * (1 - load)) + load * (first_square - square) / (2 * cycle)
    return wait + 1 + waking * (1 - load) / cycle


def machines_up(machines: int, repairmen: int, failure_rate: float) -> float:
    """The mean number of machines that run; a repair takes 1 on average, a machine runs 1 / failure_rate."""
    weights = []
    for broken in range(machines + 1):
        ways = factorial(machines) / factorial(machines - broken) * failure_rate**broken
        repairing = factorial(min(broken, repairmen)) * repairmen ** max(0, broken - repairmen)
        weights.append(ways / repairing)
    return float(sum((machines - broken) * weight for broken, weight in enumerate(weights)) / sum(weights))


def given_up(load: float, servers: int, patience: float) -> float:
    """The share that leaves M/M/c when nobody waits longer than `patience` (D. Barrer, "Queuing with impatient
    customers and ordered service", Operations Research 5, 1957).

    The work ahead of a customer has density load * p(c-1) * exp(-(c - load) v) up to the patience, and falls like
    exp(-c v) beyond it, where nobody joins; whoever meets more than his patience leaves.
    """
    weights = [load**count / factorial(count) for count in range(servers)]
    drift = servers - load
    within = (1 - exp(-drift * patience)) / drift if drift else patience
    beyond = exp(-drift * patience) / servers
    arrived_to = load * weights[-1]
    return arrived_to * beyond / (sum(weights) + arrived_to * (within + beyond))


def mm1_stay_quantile(load: float, share: float) -> float:
    """A quantile of the time in M/M/1 when customers are served in the order of their coming: it is exponential."""
    return -log(1 - share) / (1 - load)
