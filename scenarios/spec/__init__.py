"""Scenarios: YAML files checked whole, with every problem reported at its line, before anything is started."""

from scenarios.phases import PhaseWindow, phase_windows
from scenarios.spec.catalogue import catalogue_names, catalogue_path
from scenarios.spec.loading import Source, load_scenario, open_scenario
from scenarios.spec.model import Load, Phases, Platform, Scenario, Stage
from scenarios.spec.overrides import Change
from scenarios.spec.problems import InvalidScenario, Problem
from scenarios.spec.schema import json_schema

__all__ = [
    "Change", "InvalidScenario", "Load", "PhaseWindow", "Phases", "Platform", "Problem", "Scenario", "Source", "Stage",
    "catalogue_names", "catalogue_path", "json_schema", "load_scenario", "open_scenario", "phase_windows",
]  # fmt: skip
