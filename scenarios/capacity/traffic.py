"""The traffic of a capacity question: a scenario without faults, at any rate, for any time, of any seed."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from scenarios.plan import plan
from scenarios.spec import Scenario
from scenarios.worlds.simulated import simulation_input
from simulator.inputs import SimulationInput

PAYING = ("pay", "refund")
POOL = 10_000
RATE_PER_S_MIN = 1e-3


def paying_share(mix: Mapping[str, float]) -> float:
    """The share of all journeys that pay."""
    return sum(weight for journey, weight in mix.items() if journey in PAYING) / sum(mix.values())


def scenario(payments_per_s: float, load_s: float, traffic: Mapping[str, Any]) -> Scenario:
    """So many payments a second for `load_s`. `traffic`: mix, methods, topology, settings, calibration."""
    journeys_per_s = payments_per_s / paying_share(traffic["mix"])
    return Scenario.model_validate(
        {
            "name": "capacity",
            "question": "How many replicas does it take?",
            "platform": {"topology": traffic["topology"], "settings": traffic["settings"]},
            "load": {
                "mix": dict(traffic["mix"]),
                "methods": dict(traffic["methods"]),
                "pool": POOL,
                "stages": [
                    {"rate": f"{max(journeys_per_s, RATE_PER_S_MIN):.6f}/s", "for": f"{round(load_s * 1000)}ms"}
                ],
            },
            "phases": {"recovery": "1s"},
            "expect": ["atomic", "money_conserved", "client_truth"],
        }
    )


def traffic_input(payments_per_s: float, load_s: float, seed: int, traffic: Mapping[str, Any]) -> SimulationInput:
    """The same in the simulator's words: what `simulator.capacity.Build` asks for, once `traffic` is given."""
    made = simulation_input(plan(scenario(payments_per_s, load_s, traffic), seed))
    return replace(made, calibration=traffic["calibration"])
