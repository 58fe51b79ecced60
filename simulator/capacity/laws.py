"""Operational laws: what can be said of a system from its demands alone, before anything is simulated.

They hold for every system in balance, whatever its distributions (Denning and Buzen, "The Operational Analysis of
Queueing Network Models", Computing Surveys 10, 1978; Lazowska, Zahorjan, Graham, Sevcik, "Quantitative System
Performance", 1984, chapters 3 and 5):

    utilisation      U_s = X D_s / c_s                  D_s: seconds of work that one payment brings to process s
    saturation       X <= min_s c_s / D_s               c_s: seconds of work that its replicas do in a second
    Little           N = X (R + Z)                      N: customers, R: response time, Z: time elsewhere (think time)
    asymptotes       X(N) <= min(N / (D + Z), X_max)    D = sum of D_s and of every delay without a queue
                     R(N) >= max(D, N / X_max - Z)
    knee             N* = (D + Z) X_max                 beyond it somebody waits, however lucky the order of arrivals
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil, inf


@dataclass(frozen=True)
class Bounds:
    """Asymptotic bounds of one configuration. `capacity_per_s`: X_max; `residence_s`: D; `think_s`: Z."""

    bottleneck: str
    capacity_per_s: float
    residence_s: float
    think_s: float

    @property
    def knee(self) -> float:
        """N*: customers from which on the bottleneck limits."""
        return (self.residence_s + self.think_s) * self.capacity_per_s

    def throughput_per_s_max(self, customers: float) -> float:
        """No more payments a second than this with `customers`."""
        return min(customers / (self.residence_s + self.think_s), self.capacity_per_s)

    def response_s_min(self, customers: float) -> float:
        """No faster than this with `customers`."""
        return max(self.residence_s, customers / self.capacity_per_s - self.think_s)


def saturation_per_s(demand_s: float, servers: float) -> float:
    """Payments a second at which `servers` seconds of work a second are used up; infinite without demand."""
    return servers / demand_s if demand_s > 0 else inf


def bounds(demands_s: Mapping[str, float], servers: Mapping[str, float], delay_s: float = 0.0, think_s: float = 0.0,
           ) -> Bounds:  # fmt: skip
    """The bounds of a configuration. `delay_s`: time in the system that occupies no process.

    Raises ValueError if no process has any demand.
    """
    saturation = {name: saturation_per_s(demand_s, servers[name]) for name, demand_s in demands_s.items()}
    bottleneck = min(saturation, key=lambda name: saturation[name], default="")
    if not bottleneck or saturation[bottleneck] == inf:
        raise ValueError("nobody has any demand: nothing bounds the throughput")
    return Bounds(bottleneck, saturation[bottleneck], sum(demands_s.values()) + delay_s, think_s)


def replicas_needed(rate_per_s: float, demand_s: float, speed: float, utilisation_max: float) -> int:
    """The fewest replicas, each doing `speed` seconds of work a second, that stay at or below `utilisation_max`."""
    return max(1, ceil(rate_per_s * demand_s / (speed * utilisation_max) - 1e-9))


def customers_by_little(rate_per_s: float, response_s: float, think_s: float = 0.0) -> float:
    """Little's law: N = X (R + Z)."""
    return rate_per_s * (response_s + think_s)
