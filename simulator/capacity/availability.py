"""Availability from how often replicas fail: k-out-of-n, in steady state.

A replica works a share A = MTBF / (MTBF + MTTR) of the time. A process with n replicas, of which m are needed, works
with probability P(Binomial(n, A) >= m); the platform works if every process on the payment's path does (Trivedi,
"Probability and Statistics with Reliability, Queuing, and Computer Science Applications", chapter 3). Independence is
assumed: what takes down several at once (a zone, a bad release) is not in it.
"""

from collections.abc import Mapping

from scipy.stats import binom

HOURS_PER_YEAR = 8766.0


def of_process(replicas: int, needed: int, up: float) -> float:
    """The probability that at least `needed` of `replicas` work."""
    return float(binom.sf(needed - 1, replicas, up))


def of_platform(replicas: Mapping[str, int], needed: Mapping[str, int], up: float) -> float:
    """The probability that every process has what it needs; `needed` names those that matter."""
    share = 1.0
    for name, count in needed.items():
        share *= of_process(replicas[name], count, up)
    return share


def minutes_lost_per_year(availability: float) -> float:
    """How long a year it is not available."""
    return (1 - availability) * HOURS_PER_YEAR * 60
