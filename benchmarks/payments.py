"""Payments per CPU second of the whole model: clients, services, protocol, ledger, channel, statistics.

Two loads with the same arrivals, which answer two questions. *Whole journeys* are what a run of a scenario costs: a
client looks at an article, fills a cart, orders and pays. *Given orders* are what a full payment costs, protocol
included: a client pays for an order that is there (`benchmarks.given_orders`). Planning and judging are not timed.

`python -m benchmarks.payments` prints the figures of the model that is on PYTHONPATH, for `play_compiled`.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

import pandas as pd

from benchmarks.given_orders import orders_given
from scenarios.plan import plan
from scenarios.spec import load_scenario
from scenarios.worlds.simulated import simulation_input
from simulator import kernel
from simulator.inputs import SimulationInput
from simulator.model import Simulation

RATE_PER_S, LENGTH_S = 40, 30
SCENARIO = "baseline"
CHANGES = (
    "load.mix={pay: 1}",
    f"load.stages=[{{rate: {RATE_PER_S}, for: {LENGTH_S}s}}]",
    "expect=[atomic]",
)
ROUNDS = 5
JOURNEYS, GIVEN = "whole journeys", "given orders"
ROOT = Path(__file__).resolve().parents[1]
LOADS: Mapping[str, Callable[[SimulationInput], Simulation]] = {JOURNEYS: Simulation, GIVEN: orders_given}


@dataclass(frozen=True)
class Payments:
    """Medians over `rounds`: CPU seconds of the simulation alone, and what it settled.

    `visits`: requests that services answered for one payment. `entries`: what the agenda played for it (the platform's
    idle work included).
    """

    rounds: int
    rate_per_s: float
    settled: int
    failed: int
    cpu_s: float
    per_cpu_s: float
    p99_s: float
    visits: float
    entries: float


def play_payments() -> dict[str, Payments]:
    """Play both loads in turns, below the knee (nothing fails)."""
    given = simulation_input(plan(load_scenario(SCENARIO, CHANGES), seed=1))
    cpu_s: dict[str, list[float]] = {name: [] for name in LOADS}
    tables: dict[str, pd.DataFrame] = {}
    for number in range(ROUNDS + 1):
        for name in sorted(LOADS, reverse=number % 2 == 0):
            spent_s, tables[name] = _timed(LOADS[name], given)
            cpu_s[name].append(spent_s)
    # The first round warms up: imports, caches.
    return {name: _figures(median(cpu_s[name][1:]), tables[name], *_counted(LOADS[name], given)) for name in LOADS}


def play_compiled(folder: Path) -> dict[str, Payments]:
    """The same with the compiled model in `folder` (`paylab compile`), in a process of its own."""
    path = os.pathsep.join(filter(None, (str(folder), str(ROOT), os.environ.get("PYTHONPATH"))))
    command = [sys.executable, "-P", "-m", "benchmarks.payments"]
    child = subprocess.run(command, env={**os.environ, "PYTHONPATH": path}, check=True, stdout=subprocess.PIPE)
    printed = json.loads(child.stdout)
    if printed["model"].endswith(".py"):
        raise RuntimeError(f"{printed['model']} was played, and not what is compiled in {folder}")
    return {load: Payments(**figures) for load, figures in printed["payments"].items()}


def _timed(load: Callable[[SimulationInput], Simulation], given: SimulationInput) -> tuple[float, pd.DataFrame]:
    """CPU seconds from the making of the model to the tables of its history; the table of payments."""
    with kernel.uncollected():
        started_s = time.process_time()
        simulation = load(given)
        tables = simulation.run()
        simulation.forget()
        spent_s = time.process_time() - started_s
    return spent_s, tables["payments"]


def _counted(load: Callable[[SimulationInput], Simulation], given: SimulationInput) -> tuple[int, int]:
    """Requests answered and entries of the agenda played, in the planned time of a run."""
    simulation, entries = load(given), 0
    simulation.begin()
    while simulation.kernel.peek() < given.duration_s:
        simulation.kernel.step()
        entries += 1
    return simulation.network.visits.total(), entries


def _figures(cpu_s: float, payments: pd.DataFrame, visits: int, entries: int) -> Payments:
    settled = payments[payments["outcome"] == "ok"]
    latency_s = settled["ended_s"] - settled["intended_s"]
    return Payments(
        ROUNDS, RATE_PER_S, len(settled), len(payments) - len(settled), cpu_s, len(settled) / cpu_s,
        float(latency_s.quantile(0.99)), visits / len(payments), entries / len(payments),
    )  # fmt: skip


if __name__ == "__main__":
    payments = {load: asdict(each) for load, each in play_payments().items()}
    print(json.dumps({"model": kernel.__file__, "payments": payments}))
