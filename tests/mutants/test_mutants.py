"""The lab against wrong code: every mutant is killed, by its quickest instrument and in the others' sight."""

import pytest

from scenarios.checks import NAMED
from scenarios.fuzz import campaign as campaigns
from scenarios.fuzz.campaign import campaign
from scenarios.fuzz.draw import draw
from scenarios.fuzz.play import judge_one
from scenarios.fuzz.shrink import shrink
from scenarios.mutants import scoreboard
from scenarios.mutants.scoreboard import SHIPPED, attacked
from scenarios.plan import plan
from scenarios.spec import load_scenario
from scenarios.worlds.base import SilentProgress
from scenarios.worlds.simulated import create
from tests.mutants.registry import MUTANTS, mutated
from tests.mutants.services import instrument as services_instrument
from tests.mutants.services.rounds import METHODS, Kind, Wish, storm
from tests.settlement.built_once import build_once

SEED, ROUNDS = 1, 22
QUICKEST = {
    name: next(each for each in scoreboard.instruments() if each in MUTANTS[name].killed_by) for name in MUTANTS
}


@pytest.fixture(scope="module", autouse=True)
def _built_once():
    with pytest.MonkeyPatch.context() as patch:
        build_once(patch)
        yield


@pytest.mark.parametrize("name", MUTANTS)
def test_a_mutant_is_killed_by_its_quickest_instrument(name):
    row = attacked(name, [QUICKEST[name]], SEED)
    assert row.kills, f"{QUICKEST[name]} notices nothing"


@pytest.mark.parametrize("instrument", sorted(set(QUICKEST.values())))
def test_the_shipped_code_survives_the_same_effort(instrument, monkeypatch):
    # As far as most mutants need; `paylab mutants` plays the whole storm.
    monkeypatch.setattr(services_instrument, "storm", lambda seed: storm(seed)[:ROUNDS])
    row = attacked(SHIPPED, [instrument], SEED)
    assert not row.kills, row.kills[0].trace


def test_every_way_to_fail_is_in_a_storm():
    rounds = storm(SEED)
    assert {each.trouble.kind for each in rounds} == set(Kind)
    assert {each.wish for each in rounds} == set(Wish)
    assert {each.method for each in rounds} == set(METHODS)
    assert storm(SEED) == rounds != storm(SEED + 1)


def test_at_least_fifteen_bugs_are_planted():
    assert len(MUTANTS) >= 15


# ---- the other instruments, on a sample -----------------------------------------------------------------------------

# Mutant, scenario that must notice, changes to it, what breaks.
CASES = [
    ("decision_before_durable", "coordinator-crash", (), "atomic"),
    ("timeout_is_failure", "channel-lost-reply", (), "money_conserved"),
    ("presume_commit", "coordinator-crash", ("faults.2.point=coordinator.preparing.send.before",), "atomic"),
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
    with mutated(mutant):
        assert _verdicts(scenario, overrides)[broken] == "fail"
    assert set(_verdicts(scenario, overrides).values()) == {"pass"}


def test_the_fuzzer_tells_a_short_story_of_it(monkeypatch):
    monkeypatch.setattr(campaigns, "BATCH", 5)
    with mutated("decision_before_durable"):
        # The first failure from seed 1 is a longer one, for it needs a slow disk.
        summary = campaign(3, 40, workers=1, failures_max=1)
        shrunk = shrink(judge_one(draw(summary.failures[0].seed)))
        # No fault at all, where customers who get in each other's way are enough.
        assert 1 <= len(shrunk.plan.faults) + len(shrunk.plan.attempts) <= 4
    assert not judge_one(shrunk.plan).findings, "the shipped protocol survives the same plan"
