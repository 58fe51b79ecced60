"""Confirms a planner's answer by a real run, where the machine is large enough for it.

Large enough: the work of the rate asked for, of platform, channel and load generator together, leaves a good part of
the cores idle. The real processes share those cores, where the answer gave each a host of its own: a real run that
meets the objective says the more, and one that misses it on a busy machine refutes the answer all the same.
"""

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from scenarios.console import messages, say
from scenarios.progress import progress_for
from scenarios.runner import run
from scenarios.spec import Scenario
from scenarios.units import format_duration
from scenarios.worlds import world_named
from simulator.calibration import CLIENT, LAB, Calibration
from simulator.capacity.playing import groups_of

BUSY_MAX = 0.7
WARM_UP_S, MEASURED_S = 5.0, 20.0
REQUESTS_PER_PAYMENT = 4
CHANNEL_VISITS_PER_PAYMENT = 2
POOL = 400
Asked = Callable[[float, float], Scenario]


def confirm(document: Mapping[str, Any], asked: Asked, calibration: Calibration, out: Path) -> dict[str, Any]:
    """Play the answer in the world of processes if it fits; what came of it. Raises WorldError, KeyboardInterrupt."""
    needed = cores_needed(document, calibration)
    here = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    found: dict[str, Any] = {"played": False, "cores_needed": needed, "cores_here": here}
    if needed > BUSY_MAX * here:
        say(f"not confirmed: {needed:.2g} cores of work are too much for this machine's {here}")
        return found
    objective = document["objective"]
    scenario = real_scenario(document, asked(objective["rate_per_s"], WARM_UP_S + MEASURED_S))
    say(f"confirming with real processes: {format_duration(scenario.duration_s)}")
    (result,) = run(scenario, document["seed"], [world_named("processes")], out,
                    lambda plan, world: progress_for(plan, world, messages))  # fmt: skip
    if result.verdict is None:
        raise result.error or RuntimeError("the run has neither verdict nor error")
    metrics = result.verdict.metrics
    return {
        **found,
        "played": True,
        "verdict": result.verdict.verdict.value,
        "seconds": MEASURED_S,
        "p99_s": metrics.get("latency.pay.p99"),
        "success": metrics.get("availability.success", 0.0),
        "run": str(result.folder.path),
    }


def cores_needed(document: Mapping[str, Any], calibration: Calibration) -> float:
    """Cores of work at the rate asked for: the platform's by the demand table, the channel's, and the clients'."""
    replicas = document["answer"]["replicas"]
    rows = document["demand_table"]
    busy = sum(row["demand_s"] for row in rows) * document["objective"]["rate_per_s"]
    idle = sum(row["idle_cores"] * replicas[row["process"]] for row in rows)
    idle += sum(calibration.idle_cpu.get(name, 0.0) for name in (CLIENT, LAB))
    outside_s = CHANNEL_VISITS_PER_PAYMENT * calibration.demand("channel", "default").cpu_s
    clients_s = calibration.journey_cpu_s + REQUESTS_PER_PAYMENT * calibration.client_cpu_s
    return float(busy + idle + (outside_s + clients_s) * document["objective"]["rate_per_s"])


def real_scenario(document: Mapping[str, Any], traffic: Scenario) -> Scenario:
    """The traffic on the answer's replicas, with the objective as what is expected."""
    objective = document["objective"]
    written = traffic.model_dump(mode="json", by_alias=True, exclude_none=True)
    groups = groups_of(traffic.platform.topology)
    counts = {
        service: count for name, count in document["answer"]["replicas"].items() for service in groups[name]
        if count > 1
    }  # fmt: skip
    written["name"], written["question"] = "capacity-confirmed", "Does the planner's answer hold with real processes?"
    written["platform"]["replicas"] = counts
    written["load"]["pool"] = POOL
    written["phases"] = {"warmup": format_duration(WARM_UP_S), "recovery": "5s"}
    written["expect"] = [
        "atomic", "money_conserved", "client_truth",
        f"latency.pay.p99 <= {format_duration(objective['p99_s'])}",
        f"availability.success >= {objective['availability'] * 100:.6g}%",
    ]  # fmt: skip
    return Scenario.model_validate(written)
