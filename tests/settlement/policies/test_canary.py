"""A canary gets its share of the calls, and never takes a service away."""

from __future__ import annotations

import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from settlement.policies.canary import Canary, choose, parse, problems

VERSIONS = {"http://a": "0.1.0", "http://b": "0.1.0", "http://new": "0.2.0"}


def test_rules_are_read() -> None:
    assert parse("order:0.2.0=10%, payment:1.0-rc.1=2.5%") == {
        "order": Canary("0.2.0", 0.1),
        "payment": Canary("1.0-rc.1", 0.025),
    }
    assert parse("") == parse(" , ") == {}


def test_every_wrong_rule_is_named() -> None:
    wrong = problems("order:0.2.0=10%, order:0.3.0=1%, cart=5%, payment:1=101%, channel:1=5")
    assert len(wrong) == 4
    for said, problem in zip(["order has two", "'cart=5%'", "101%", "channel"], wrong, strict=True):
        assert said in problem
    with pytest.raises(ValueError, match="cart=5%"):
        parse("cart=5%")


@given(st.text(max_size=80))
def test_any_text_is_either_parsed_or_has_problems(text: str) -> None:
    assert problems(text) or isinstance(parse(text), dict)


def test_the_canary_gets_its_share() -> None:
    chance = random.Random(7)
    served = Counter(choose(VERSIONS, Canary("0.2.0", 0.1), chance.random()) == ["http://new"] for _ in range(10_000))
    assert served[True] == pytest.approx(1_000, abs=100)


@pytest.mark.parametrize("draw", [0.0, 0.05, 0.5, 0.999])
def test_one_side_alone_serves_everything(draw: float) -> None:
    only_old = {"http://a": "0.1.0", "http://b": "0.1.0"}
    only_new = {"http://new": "0.2.0"}
    assert choose(only_old, Canary("0.2.0", 1.0), draw) == ["http://a", "http://b"]
    assert choose(only_new, Canary("0.2.0", 0.0), draw) == ["http://new"]
    assert choose(VERSIONS, None, draw) == list(VERSIONS)


@pytest.mark.parametrize(("share", "expected"), [(0.0, ["http://a", "http://b"]), (1.0, ["http://new"])])
def test_nothing_and_everything_are_exact(share: float, expected: list[str]) -> None:
    assert all(choose(VERSIONS, Canary("0.2.0", share), step / 100) == expected for step in range(100))
