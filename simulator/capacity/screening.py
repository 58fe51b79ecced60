"""Screening: the p99 of any replica vector in a millisecond, before a few are simulated.

A payment's latency is taken for what it is without load (the pilot's latencies: services, hops, parallel branches and
all) plus a wait at every visit that its client waits for, drawn from the recursion of that process. Left out: that
waits of one payment go together, that branches overlap, that work comes in pieces. So a screened figure is multiplied
by an allowance, which is what simulation found above it at the first vectors that were simulated; it ranks and
discards, and publishes nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import inf, isfinite

import numpy as np
from numpy.typing import NDArray

from simulator.capacity.demands import Demand, DemandTable
from simulator.capacity.dispatch import waits
from simulator.capacity.question import Effort

SAMPLES = 20_000
Floats = NDArray[np.float64]


@dataclass
class Screen:
    """Screens vectors of one platform. `speed`: seconds of work that a replica does in a second."""

    table: DemandTable
    speed: float
    effort: Effort
    seed: int
    allowance: float = 1.0
    _known: dict[tuple[str, int, int, float], Floats | None] = field(default_factory=dict)
    """Waits of the samples at all awaited visits to a process, by its replicas, their callers and the rate."""

    def available(self, row: Demand) -> float:
        """What one replica has left for payments, in seconds of work a second."""
        return max(0.0, self.speed - row.idle_cores)

    def utilisation(self, process: str, replicas: int, rate_per_s: float) -> float:
        """How busy its replicas are, their idle work included."""
        row = self.table[process]
        return (rate_per_s * row.demand_s / replicas + row.idle_cores) / self.speed

    def p99_s(self, vector: Mapping[str, int], rate_per_s: float) -> float:
        """The screened p99, allowance included; infinite where a queue grows for ever."""
        total_s = np.resize(self.table.unloaded_s, SAMPLES).copy()
        for number, row in enumerate(self.table.rows):
            waited_s = self._waits(number, row, vector, rate_per_s)
            if waited_s is None:
                return inf
            total_s += waited_s
        return float(np.quantile(total_s, 0.99)) * self.allowance

    def learn(self, vector: Mapping[str, int], rate_per_s: float, simulated_s: float) -> None:
        """Set the allowance by a vector that was simulated."""
        screened_s = self.p99_s(vector, rate_per_s) / self.allowance
        if isfinite(screened_s) and isfinite(simulated_s):
            self.allowance = simulated_s / screened_s

    def _waits(self, number: int, row: Demand, vector: Mapping[str, int], rate_per_s: float) -> Floats | None:
        servers = vector[row.process]
        # Clients are one crowd behind one load balancer; every replica of a calling process balances for itself.
        sources = max(1, sum(vector.get(caller, 1) for caller in row.callers))
        key = (row.process, servers, sources, rate_per_s)
        if key not in self._known:
            waited_s = self._recursion(row, servers, sources, rate_per_s)
            self._known[key] = None if waited_s is None else self._drawn(waited_s, row.awaited, number)
        return self._known[key]

    def _recursion(self, row: Demand, servers: int, sources: int, rate_per_s: float) -> Floats | None:
        available = self.available(row)
        if not available or rate_per_s * row.demand_s >= servers * available:
            return None
        if not row.visits:
            return np.zeros(1)
        service_s = row.per_visit_s / available
        return waits(
            rate_per_s * row.visits, service_s, row.variation, servers, sources, self.effort.customers, self.seed
        )

    def _drawn(self, waited_s: Floats, visits: float, stream: int) -> Floats:
        """The sum of so many waits (a fraction: by chance), for each sample; the same luck for every vector."""
        random = np.random.default_rng([self.seed, 100 + stream])
        whole, part = int(visits), visits % 1.0
        # The same places of the sorted waits for all vectors: fewer replicas then never look better by luck.
        ordered = np.sort(waited_s)
        places = (random.random((whole + 1, SAMPLES)) * len(ordered)).astype(int)
        drawn_s = ordered[places]
        drawn_s[whole] *= random.random(SAMPLES) < part
        total_s: Floats = drawn_s.sum(axis=0)
        return total_s
