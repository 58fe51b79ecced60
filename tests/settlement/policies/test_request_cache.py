"""A cache of answers gives back what it was given, not older than allowed, and does not grow."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from settlement.policies.request_cache import Found, RequestCache


def test_fresh_then_stale_then_gone() -> None:
    cache = RequestCache[str](10, ttl_ms=100, stale_ms=50)
    cache.put("a", "x", now_ms=0)
    assert cache.find("a", 99) == Found("x", fresh=True, age_ms=99)
    assert cache.find("a", 100) == Found("x", fresh=False, age_ms=100)
    assert cache.fresh("a", 100) is None
    assert cache.find("a", 150) is None
    assert len(cache) == 0
    assert (cache.hits, cache.misses) == (1, 3)


def test_the_one_used_longest_ago_goes_first() -> None:
    cache = RequestCache[int](2, ttl_ms=100)
    cache.put("a", 1, 0)
    cache.put("b", 2, 0)
    assert cache.fresh("a", 1) == 1
    cache.put("c", 3, 1)
    assert (cache.fresh("a", 1), cache.fresh("b", 1), cache.fresh("c", 1)) == (1, None, 3)


def test_an_answer_that_was_long_under_way_does_not_replace_a_newer_one() -> None:
    cache = RequestCache[str](2, ttl_ms=100)
    cache.put("a", "new", now_ms=10)
    cache.put("a", "old", now_ms=5)
    assert cache.fresh("a", 11) == "new"


def test_a_shorter_time_to_live_counts_for_what_is_there() -> None:
    cache = RequestCache[str](2, ttl_ms=100)
    cache.put("a", "x", 0)
    cache.follow(ttl_ms=10)
    assert cache.fresh("a", 20) is None


def test_forgetting() -> None:
    cache = RequestCache[int](3, ttl_ms=100)
    for key in "abc":
        cache.put(key, 1, 0)
    cache.drop("a")
    cache.drop("never there")
    assert (cache.fresh("a", 1), len(cache)) == (None, 2)
    cache.clear()
    assert len(cache) == 0


def test_a_cache_of_nothing_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="0 entries"):
        RequestCache[int](0, 100)


@given(st.integers(1, 5), st.lists(st.tuples(st.sampled_from("abcdefgh"), st.booleans(), st.integers(0, 40))))
def test_never_more_than_allowed_never_older_than_allowed(entries_max: int, steps: list[tuple[str, bool, int]]) -> None:
    cache, truth, now_ms = RequestCache[int](entries_max, ttl_ms=100), dict[str, int](), 0
    for key, writes, pause_ms in steps:
        now_ms += pause_ms
        if writes:
            cache.put(key, now_ms, now_ms)
            truth[key] = now_ms
        else:
            value = cache.fresh(key, now_ms)
            assert value is None or (value == truth[key] and now_ms - value < 100)
        assert len(cache) <= entries_max
