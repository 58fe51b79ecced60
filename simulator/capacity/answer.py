"""The planner's answer, and everything that stands behind it, as data."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from math import isfinite
from typing import Any

from simulator.capacity.binding import Price, Reason
from simulator.capacity.demands import DemandTable
from simulator.capacity.jury import Judged
from simulator.capacity.laws import Bounds
from simulator.capacity.question import Objective, Prices, Reliability
from simulator.capacity.robustness import Death, Effect, Headroom, Odds


@dataclass(frozen=True)
class Option:
    """One replica vector with its price and its proof. `counts` includes what no payment visits (`fixed`)."""

    counts: Mapping[str, int]
    spares: Mapping[str, int]
    replicas: int
    cores: float
    cost_per_h: float
    cost_per_million: float
    availability: float
    whole: Judged
    degraded: Mapping[str, Judged]


@dataclass(frozen=True)
class Answer:
    """What `paylab capacity` found. `saturation`: process -> payments/s that 1, 2, ... replicas can bear at most."""

    objective: Objective
    prices: Prices
    reliability: Reliability
    replica_cores: float
    mix: Mapping[str, float]
    seed: int
    table: DemandTable
    saturation: Mapping[str, tuple[float, ...]]
    utilisation: Mapping[str, float]
    bounds: Bounds
    best: Option
    runner_up: Option | None
    binding: str
    requirement_prices: list[Price]
    reasons: list[Reason]
    odds: Odds
    headroom: Headroom
    effects: list[Effect]
    deaths: list[Death]
    screened: list[tuple[Mapping[str, int], float]]
    simulated: list[Judged]
    discarded: Mapping[str, int]
    complete: bool
    allowance: float
    payments_simulated: int
    assumptions: list[str]
    confirmation: dict[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """The answer as a document; what is not finite is null, trials are given by their figures."""
        return {
            "objective": asdict(self.objective),
            "answer": _option(self.best),
            "runner_up": _option(self.runner_up) if self.runner_up else None,
            "binding_constraint": self.binding,
            "requirements": [asdict(price) for price in self.requirement_prices],
            "why_not_fewer": [asdict(reason) for reason in self.reasons],
            "headroom": _plain(asdict(self.headroom)),
            "p_slo_met": asdict(self.odds),
            "sensitivity": [
                {"process": effect.process, "factor": effect.factor, "p99_s": _estimate(effect.p99_s),
                 "difference_s": _estimate(effect.difference_s), "meets": effect.meets}
                for effect in self.effects
            ],
            "deaths": [
                {"process": death.process, "killed": death.count, "lost": _estimate(death.lost),
                 "after": _judged(death.after)}
                for death in self.deaths
            ],
            "demand_table": [
                {**asdict(row), "per_visit_s": row.per_visit_s, "commits_s": row.commits_s,
                 "utilisation": self.utilisation[row.process],
                 "saturation_per_s": _plain(list(self.saturation[row.process]))}
                for row in self.table.rows
            ],
            "laws": {**asdict(self.bounds), "knee": self.bounds.knee, "little_error": self.table.little_error,
                     "unloaded_p99_s": self.table.unloaded_p99_s, "delay_s": self.table.delay_s,
                     "customers": self.objective.rate_per_s * self.best.whole.mean_s},
            "search": {
                "discarded": dict(self.discarded), "complete": self.complete, "allowance": self.allowance,
                "vectors_simulated": len(self.simulated), "payments_simulated": self.payments_simulated,
                "screened": [
                    {"replicas": dict(counts), "p99_s": _plain(p99_s)} for counts, p99_s in self.screened
                ],
                "simulated": [
                    {"replicas": dict(judged.trial.vector), **_judged(judged)} for judged in self.simulated
                ],
            },
            "prices": asdict(self.prices), "reliability": asdict(self.reliability), "mix": dict(self.mix),
            "replica_cores": self.replica_cores, "seed": self.seed, "assumptions": self.assumptions,
            "confirmation": self.confirmation or None,
        }  # fmt: skip


def _option(option: Option) -> dict[str, Any]:
    return {
        "replicas": dict(option.counts), "spares": dict(option.spares), "replicas_total": option.replicas,
        "cores": option.cores, "cost_per_h": option.cost_per_h,
        "cost_per_million_payments": option.cost_per_million, "availability": option.availability,
        "whole": _judged(option.whole),
        "degraded": {name: _judged(judged) for name, judged in option.degraded.items()},
    }  # fmt: skip


def _judged(judged: Judged) -> dict[str, Any]:
    return {
        "p99_s": _estimate(judged.p99_s), "success": _estimate(judged.success),
        "replications": judged.replications, "meets": judged.meets, "misses": judged.why or None,
    }  # fmt: skip


def _estimate(estimate: Any) -> dict[str, Any]:
    return _plain({"value": estimate.value, "low": estimate.low, "high": estimate.high})  # type: ignore[no-any-return]


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _plain(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_plain(each) for each in value]
    return None if isinstance(value, float) and not isfinite(value) else value
