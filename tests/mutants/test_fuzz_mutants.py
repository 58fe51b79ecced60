"""The fuzzer against a wrong protocol: it finds each within few seeds, and shrinks it to next to nothing."""

import pytest

from scenarios.fuzz import campaign as campaigns
from scenarios.fuzz.campaign import campaign
from scenarios.fuzz.draw import draw
from scenarios.fuzz.play import judge_one
from scenarios.fuzz.shrink import shrink
from tests.mutants.patches import PATCHES, mutated

SEEDS_MAX = 40
FAULTS_MAX = 2


@pytest.mark.parametrize("mutant", sorted(PATCHES))
def test_a_wrong_protocol_is_found_and_its_story_is_short(mutant, monkeypatch):
    monkeypatch.setattr(campaigns, "BATCH", 5)
    with mutated(mutant):
        summary = campaign(1, SEEDS_MAX, workers=1, failures_max=1)
        assert summary.failures, f"{SEEDS_MAX} seeds and nothing wrong"
        shrunk = shrink(judge_one(draw(summary.failures[0].seed)))
        assert shrunk.finding in [finding.name for finding in shrunk.judged.findings]
        assert 1 <= len(shrunk.plan.faults) <= FAULTS_MAX
        assert 1 <= len(shrunk.plan.attempts) <= 2
    assert not judge_one(shrunk.plan).findings, "the shipped protocol survives the same plan"
