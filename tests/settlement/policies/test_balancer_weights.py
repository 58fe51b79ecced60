"""Weights share out the calls exactly when replicas are idle, and shape the load when they are not."""

from __future__ import annotations

import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from settlement.policies.balancer import WEIGHT, LeastLoaded


def test_idle_replicas_are_picked_in_proportion_to_their_weights_and_smoothly() -> None:
    balancer = LeastLoaded()
    picked = "".join(balancer.pick(["a", "b"], {"a": 300, "b": 100}) for _ in range(8))
    assert picked == "aabaaaba", "never three of one and then the other"


@given(st.dictionaries(st.sampled_from("abcde"), st.integers(1, 1_000), min_size=1))
def test_a_round_as_long_as_the_weights_sum_gives_each_its_weight(weights: dict[str, int]) -> None:
    balancer = LeastLoaded()
    picked = Counter(balancer.pick(list(weights), weights) for _ in range(sum(weights.values())))
    assert picked == weights


def test_who_has_weight_zero_gets_nothing_unless_nobody_else_is_there() -> None:
    balancer = LeastLoaded()
    assert {balancer.pick(["out", "in"], {"out": 0, "in": 1}) for _ in range(20)} == {"in"}
    assert {balancer.pick(["a", "b"], {"a": 0, "b": 0}) for _ in range(20)} == {"a", "b"}


def test_a_replica_of_three_times_the_weight_bears_three_times_the_calls_in_flight() -> None:
    balancer, chance, in_flight = LeastLoaded(), random.Random(1), []
    for _ in range(4_000):
        address = balancer.pick(["big", "small"], {"big": 300, "small": 100})
        balancer.started(address)
        in_flight.append(address)
        if len(in_flight) > 40:
            balancer.ended(in_flight.pop(chance.randrange(len(in_flight))))
    assert Counter(in_flight)["big"] == pytest.approx(30, abs=1)


@given(st.integers(1, 5), st.lists(st.sampled_from(["pick", "start", "end"]), max_size=60), st.randoms())
def test_no_weights_are_equal_weights(size: int, steps: list[str], chance: random.Random) -> None:
    addresses, in_flight = list("abcde"[:size]), []
    unweighted, weighted = LeastLoaded(), LeastLoaded()
    for step in steps:
        listed = [address for address in addresses if chance.random() < 0.8] or addresses
        picked = unweighted.pick(listed)
        assert picked == weighted.pick(listed, dict.fromkeys(listed, WEIGHT))
        if step == "start":
            in_flight.append(picked)
        ended = in_flight.pop(chance.randrange(len(in_flight))) if step == "end" and in_flight else ""
        for balancer in (unweighted, weighted):
            if step == "start":
                balancer.started(picked)
            balancer.ended(ended)


def test_a_slow_heavy_replica_gives_way_to_a_quick_light_one() -> None:
    balancer = LeastLoaded()
    for _ in range(30):
        balancer.started("heavy")  # and none of them ends
    assert {balancer.pick(["heavy", "light"], {"heavy": 900, "light": 100}) for _ in range(50)} == {"light"}


def test_a_replica_that_appears_is_not_flooded_to_catch_up() -> None:
    balancer = LeastLoaded()
    for _ in range(1_000):
        balancer.pick(["a", "b"])
    picked = Counter(balancer.pick(["a", "b", "new"]) for _ in range(30))
    assert picked == {"a": 10, "b": 10, "new": 10}
