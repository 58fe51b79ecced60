"""Payments per CPU second of the whole model: clients, services, protocol, ledger, channel, statistics."""

import time
from dataclasses import dataclass
from statistics import median

from scenarios.plan import plan
from scenarios.spec import load_scenario
from scenarios.worlds.simulated import simulation_input
from simulator.model import simulate

RATE_PER_S, LENGTH_S = 40, 30
SCENARIO = "baseline"
CHANGES = (
    "load.mix={pay: 1}",
    f"load.stages=[{{rate: {RATE_PER_S}, for: {LENGTH_S}s}}]",
    "expect=[atomic]",
)
ROUNDS = 5


@dataclass(frozen=True)
class Payments:
    """Medians over `rounds`: CPU seconds of the simulation alone, and what it settled."""

    rounds: int
    rate_per_s: float
    settled: int
    failed: int
    cpu_s: float
    per_cpu_s: float
    p99_s: float


def play_payments() -> Payments:
    """Play a load of nothing but whole pay journeys, below the knee (nothing fails); planning and judging not timed."""
    given = simulation_input(plan(load_scenario(SCENARIO, CHANGES), seed=1))
    cpu_s = []
    for _ in range(ROUNDS + 1):  # the first warms up: imports, caches
        started_s = time.process_time()
        tables = simulate(given)
        cpu_s.append(time.process_time() - started_s)
    payments = tables["payments"]
    settled = payments[payments["outcome"] == "ok"]
    latency_s = settled["ended_s"] - settled["intended_s"]
    middle_s = median(cpu_s[1:])
    return Payments(
        ROUNDS, RATE_PER_S, len(settled), len(payments) - len(settled), middle_s, len(settled) / middle_s,
        float(latency_s.quantile(0.99)),
    )  # fmt: skip
