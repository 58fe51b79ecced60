"""A service whose leases all lapsed stays known for a while; one that lost a replica is believed at once."""

from __future__ import annotations

import pytest

from settlement.policies.lapse import LastKnown

ORDER = {"order": ["order-0", "order-1"], "cart": ["cart-0"]}
BOTH = {"order": ("order-0", "order-1"), "cart": ("cart-0",)}


@pytest.fixture
def last_known() -> LastKnown[str]:
    known: LastKnown[str] = LastKnown(kept_ms=5_000)
    assert known.after(ORDER, 0) == BOTH
    return known


@pytest.mark.parametrize("empty", [{"cart": ["cart-0"]}, {"cart": ["cart-0"], "order": []}])
def test_an_empty_list_is_believed_only_after_a_while(last_known: LastKnown[str], empty: dict[str, list[str]]) -> None:
    assert last_known.after(empty, 60_000) == BOTH, "counted from when it became empty"
    assert last_known.after(empty, 64_999) == BOTH
    assert last_known.after(empty, 65_000) == {"cart": ("cart-0",)}
    assert last_known.after({}, 65_001) == {"cart": ("cart-0",)}


def test_who_comes_back_is_given_the_whole_time_again(last_known: LastKnown[str]) -> None:
    last_known.after({}, 1_000)
    moved = last_known.after({"order": ["order-2"]}, 5_000)
    assert moved == {"order": ("order-2",), "cart": ("cart-0",)}
    assert last_known.after({}, 9_000) == {"order": ("order-2",)}


def test_a_shorter_list_is_believed_at_once(last_known: LastKnown[str]) -> None:
    assert last_known.after({"order": ["order-1"]}, 1)["order"] == ("order-1",)


def test_nobody_is_made_up() -> None:
    known: LastKnown[str] = LastKnown()
    assert known.after({"order": []}, 0) == {}
