"""Delta debugging: what is left still fails, and nothing of it can be left out."""

from hypothesis import given
from hypothesis import strategies as st

from scenarios.fuzz.shrink import ddmin


def test_one_culprit_among_many_is_found():
    assert ddmin(list(range(20)), lambda some: 13 in some) == [13]


def test_two_that_only_fail_together_are_kept_together():
    assert ddmin(list(range(16)), lambda some: {3, 12} <= set(some)) == [3, 12]


def test_what_fails_by_itself_needs_nothing():
    assert ddmin([1, 2, 3], lambda some: True) == []


def test_tries_grow_with_the_logarithm_for_one_culprit():
    tries = []
    ddmin(list(range(1024)), lambda some: tries.append(1) or 700 in some)
    assert len(tries) < 60


@given(st.sets(st.integers(0, 15), min_size=1))
def test_the_smallest_failing_set_is_found_whatever_it_is(culprits):
    assert set(ddmin(list(range(16)), lambda some: culprits <= set(some))) == culprits
