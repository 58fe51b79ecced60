"""The lab against a wrong protocol: the shipped scenarios must fail with it, and pass without."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

from scenarios.checks import NAMED
from scenarios.plan import plan
from scenarios.spec import load_scenario
from scenarios.worlds.base import SilentProgress
from scenarios.worlds.simulated import create
from tests.children import importing_first

HERE = Path(__file__).parent


def _patches():
    spec = importlib.util.spec_from_file_location("paylab_mutants", HERE / "patches.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


patches = _patches()

# Mutant, scenario that must notice, changes to it, what breaks.
CASES = [
    ("decision_before_durable", "coordinator-crash", (), "atomic"),
    ("timeout_is_failure", "channel-lost-reply", (), "money_conserved"),
    (
        "presume_commit",
        "coordinator-crash",
        ("faults.2.point=coordinator.preparing.send.before",),
        "atomic",
    ),
    (
        "unilateral_abort",
        "coordinator-crash",
        ("platform.settings={order.orphan_interval_ms: 1000, payment.orphan_interval_ms: 1000}",),
        "money_conserved",
    ),
]


def _verdicts(scenario_name, overrides):
    scenario = load_scenario(scenario_name, overrides)
    history = create().play(plan(scenario, 7), None, SilentProgress())
    return {name: str(NAMED[name](history).verdict) for name in ("atomic", "money_conserved", "client_truth")}


@pytest.mark.parametrize(("mutant", "scenario", "overrides", "broken"), CASES)
def test_a_wrong_protocol_fails_the_scenario_that_the_shipped_one_passes(mutant, scenario, overrides, broken):
    with patches.mutated(mutant):
        assert _verdicts(scenario, overrides)[broken] == "fail"
    assert set(_verdicts(scenario, overrides).values()) == {"pass"}


def test_every_mutant_is_tried():
    assert {case[0] for case in CASES} == set(patches.PATCHES)


def test_a_patch_leaves_nothing_behind():
    def rules():
        tables = (patches.coordinator.TRANSITIONS, patches.participant.TRANSITIONS)
        return [transition for table in tables for events in table.values() for transition in events.values()]

    before = rules()
    for name in patches.PATCHES:
        with patches.mutated(name):
            pass
    assert rules() == before


@pytest.mark.parametrize("mutant", sorted(patches.PATCHES))
def test_a_process_started_with_the_mutant_on_its_path_is_wrong(mutant):
    """What the real services get: `sitecustomize.py` in a folder on PYTHONPATH."""
    ask = "from settlement.protocol import coordinator as c, participant as p; print([x for t in (c, p) for x in ("
    ask += "t._decide if t is c else None, *(r.rule for e in t.TRANSITIONS.values() for r in e.values()))"
    ask += " if x and x.__module__ == 'paylab_mutants'])"
    environment = {**os.environ, "PYTHONPATH": importing_first(HERE / mutant)}
    done = subprocess.run([sys.executable, "-c", ask], env=environment, capture_output=True, text=True, check=True)
    assert done.stderr == ""
    assert mutant in done.stdout
