"""The random walk would notice: each of these mutants must fail the same judgement that the shipped rules pass."""

import pytest

from settlement.protocol.transitions import ProtocolError
from tests.mutants.registry import mutated

from .test_random_walk import judge
from .walk import Options, Walk

OPTIONS = Options(participants=2, replicas=2, crash=0.05, refuse=0, uncertain=0)
NOTICED = ("decision_written_last", "unilateral_abort", "late_prepare", "acknowledged_before_applied")


@pytest.mark.parametrize("name", NOTICED)
def test_a_broken_rule_is_found(name: str) -> None:
    with mutated(name), pytest.raises((AssertionError, ProtocolError)):
        for seed in range(3_000):
            judge(Walk(seed, OPTIONS).run())


def test_the_shipped_rules_survive_the_same_effort() -> None:
    for seed in range(3_000):
        judge(Walk(seed, OPTIONS).run())
