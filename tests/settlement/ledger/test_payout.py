"""A payout makes and destroys no money, and its fee is rounded the way it says."""

from __future__ import annotations

from decimal import ROUND_HALF_EVEN, Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from settlement.ledger import FEES, MERCHANT, fee_of, merchant_payable, payout

minor = st.integers(0, 10**15)
basis_points = st.integers(0, 10_000)


@given(gross=minor, points=basis_points)
def test_the_fee_is_what_exact_decimals_rounded_half_to_even_say(gross: int, points: int) -> None:
    exact = (Decimal(gross) * points / 10_000).quantize(Decimal(1), ROUND_HALF_EVEN)
    assert fee_of(gross, points) == exact


@pytest.mark.parametrize(("gross", "fee"), [(50, 0), (150, 2), (250, 2), (350, 4), (51, 1), (49, 0)])
def test_an_exact_half_goes_to_the_even_neighbour(gross: int, fee: int) -> None:
    assert fee_of(gross, 100) == fee


@given(gross=minor, points=basis_points)
def test_the_fee_is_never_negative_and_never_above_the_turnover(gross: int, points: int) -> None:
    assert 0 <= fee_of(gross, points) <= gross


@given(gross=minor, refunded=minor, points=basis_points)
def test_a_payout_sums_to_zero_and_gives_everybody_their_part(gross: int, refunded: int, points: int) -> None:
    fee = fee_of(gross, points)
    batch = payout("m1", "CNY", gross_minor=gross, refunded_minor=refunded, fee_minor=fee)
    moved = {line.account: line.amount_minor for line in batch}
    assert sum(moved.values()) == 0
    assert moved.get(MERCHANT, 0) == refunded - gross
    assert moved.get(FEES, 0) == fee
    assert moved.get(merchant_payable("m1"), 0) == gross - refunded - fee
    assert len(moved) == len(batch)
    assert 0 not in moved.values()


@pytest.mark.parametrize("amounts", [(-1, 0, 0), (0, -1, 0), (10, 0, 11), (10, 0, -1), (10**15 + 1, 0, 0)])
def test_amounts_that_make_no_sense_are_refused(amounts: tuple[int, int, int]) -> None:
    gross, refunded, fee = amounts
    with pytest.raises(ValueError, match="no payout"):
        payout("m1", "CNY", gross_minor=gross, refunded_minor=refunded, fee_minor=fee)


@pytest.mark.parametrize(("gross", "points"), [(-1, 10), (10, -1), (10, 10_001)])
def test_a_fee_on_nonsense_is_refused(gross: int, points: int) -> None:
    with pytest.raises(ValueError, match="no fee"):
        fee_of(gross, points)
