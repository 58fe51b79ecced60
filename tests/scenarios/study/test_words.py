"""Estimates in words: a figure with its interval, in digits that people read."""

from math import inf

import pytest

from scenarios.study import words
from simulator.analysis import Estimate


def estimate(value: float, low: float, high: float) -> Estimate:
    return Estimate(value, low, high, 5)


@pytest.mark.parametrize(
    ("said", "text"),
    [
        (words.ms(estimate(0.0461, 0.044, 0.0482)), "46.1 ms [44, 48.2]"),
        (words.ms(estimate(9.2, 9.1, 9.31)), "9.2 s [9.1, 9.31]"),
        (words.percent(estimate(0.998, 0.97, 1.02)), "99.8 % [97, 100]"),
        (words.percent(estimate(1e-15, 0, 0.2158)), "0 % [0, 21.58]"),
        (words.points(estimate(0.012, -0.001, 0.025)), "+1.2 points [-0.1, +2.5]"),
        (words.change_ms(estimate(0, 0, 0)), "0 ms"),
        (words.number(estimate(207_123, 77_100, 336_000), "minor"), "207,000 minor [77,100, 336,000]"),
        (words.number(estimate(4.78, -inf, inf)), "4.78 [no interval]"),
        (words.seconds(estimate(inf, inf, inf)), "no end"),
        (words.listed(["a", "b", "c"]), "a, b and c"),
        (words.listed([]), "nothing"),
    ],
)
def test_as_it_is_read(said: str, text: str):
    assert said == text
