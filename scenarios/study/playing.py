"""A case is a platform under a load, on hosts of its own; playing it with a seed gives plain figures.

    cases = {replicas: Case.of("baseline", "platform.replicas.order=2") ...}
    found = study(cases, ("latency.pay.p99",), range(1, 9), workers=2)       # a Comparison: estimates and differences

Equal seeds meet the same customers at the same moments in every case (common random numbers). Beside the metrics of
thresholds there are those of `OWN`, which say what a case costs.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from scenarios.checks import losses, metrics
from scenarios.history import History
from scenarios.plan import plan
from scenarios.spec import Scenario, load_scenario
from scenarios.thresholds import METRICS, find_metric
from scenarios.worlds.simulated import SimulatedWorld, simulation_input
from simulator.analysis import Comparison, compare
from simulator.calibration import CLIENT, LAB
from simulator.model import simulate
from simulator.placement import TOGETHER, Placement

OWN_HOSTS = Placement(cores=1.0)
"""Each process has a host of its own, as in production; on one shared host more replicas only share the same cores.

Then clients are many and elsewhere, too: the load generator costs nothing, or else it would be the bottleneck.
"""

PATIENCE_S = 1.0


@dataclass(frozen=True)
class Case:
    """One thing to play: what, and where its processes are."""

    scenario: Scenario
    placement: Placement = OWN_HOSTS

    @classmethod
    def of(
        cls, scenario: str, *changes: str, together: bool = False, slower: Mapping[str, float] | None = None
    ) -> "Case":
        """A scenario of the catalogue with changes as `--set` has them; `together`: all on one host.

        `slower` stretches the work of services on hosts of their own. Raises InvalidScenario with every problem.
        """
        where = TOGETHER if together else replace(OWN_HOSTS, slower=dict(slower or {}))
        return cls(load_scenario(scenario, changes), where)


def history_of(case: Case, seed: int) -> History:
    """The whole history of one run."""
    planned = plan(case.scenario, seed)
    played = replace(simulation_input(planned), placement=case.placement)
    if case.placement is not TOGETHER:
        played = replace(played, calibration=played.calibration.with_free_clients())
    tables = simulate(played)
    return History(tables, planned, SimulatedWorld.name)


def measured(history: History, metric: str) -> float:
    """A metric over the load without its warm-up, or one of OWN. Raises KeyError for one that is neither."""
    if metric in OWN:
        return OWN[metric](history)
    return metrics.measure(history, metric, *metrics.stretch(history, metric, None))


def measures(seed: int, *, case: Case, names: Sequence[str]) -> dict[str, float]:
    """One replication of a case."""
    history = history_of(case, seed)
    return {name: measured(history, name) for name in names}


def study(cases: Mapping[str, Case], names: Sequence[str], seeds: range, workers: int = 1) -> Comparison:
    """Every case with every seed; the first case is what the others are compared with.

    Raises ValueError naming every metric that does not exist, before anything is played.
    """
    known = {metric.form for metric in METRICS}
    unknown = [name for name in names if name not in OWN and name not in known and not _is_metric(name)]
    if unknown:
        raise ValueError(f"unknown metrics: {', '.join(unknown)}; of a study's own: {', '.join(OWN)}")
    runs = {name: partial(measures, case=case, names=tuple(names)) for name, case in cases.items()}
    return compare(runs, seeds, workers=workers)


def _is_metric(name: str) -> bool:
    try:
        return bool(find_metric(name))
    except ValueError:
        return False


def cpu_s_per_payment(history: History) -> float:
    """Seconds of one core that the platform used for a payment that it settled, from the first arrival to the end."""
    used = history["resources"]
    cores = used[~used["process"].isin((CLIENT, LAB))].groupby("at_s")["cpu_s_per_s"].sum()
    decided = history["transactions"]
    settled = decided[(decided["event"] == "decided") & (decided["value"] == "commit") & (decided["kind"] == "payment")]
    return float(cores.sum() * _sample_s(cores)) / len(settled) if len(settled) else math.nan


def _sample_s(cores: Any) -> float:
    """The interval of the samples."""
    moments = cores.index.to_numpy()
    return float(moments[1] - moments[0]) if len(moments) > 1 else 1.0


def lost_minor(history: History) -> float:
    """Money that is not where the orders say, customers' and merchants' losses together, in minor units."""
    return float(losses.broken_orders(history)["lost_minor"].sum())


def broken_orders(history: History) -> float:
    """Orders whose money is not what they say."""
    return float(len(losses.broken_orders(history)))


def served_after_faults(history: History) -> float:
    """The share of payments asked for after the last fault had ended that succeeded within PATIENCE_S."""
    paid, ended_s = history["payments"], float(history["faults"]["ended_s"].max())
    late = paid[(paid["kind"] == "pay") & (paid["intended_s"] > ended_s)]
    in_time = late["ended_s"] - late["intended_s"] <= PATIENCE_S
    return float(((late["outcome"] == "ok") & in_time).mean()) if len(late) else math.nan


OWN: dict[str, Callable[[History], float]] = {
    "cost.cpu_s_per_payment": cpu_s_per_payment,
    "losses.minor": lost_minor,
    "losses.orders": broken_orders,
    "served.after_faults": served_after_faults,
}
