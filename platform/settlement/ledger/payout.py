"""Paying a merchant: the fee on a day's turnover, and the batch that moves what the merchant is owed.

All in integer minor units. The fee is taken on what customers paid and is not given back with refunds, so it is never
negative; what is left for the merchant is, if refunds exceed payments.
"""

from __future__ import annotations

from typing import Final

from settlement.ledger.accounts import FEES, MERCHANT, merchant_payable
from settlement.ledger.postings import AMOUNT_MAX, Batch, Layer, Posting, balanced

BASIS_POINTS: Final = 10_000
# A day of a merchant: a thousand of the largest payments.
TURNOVER_MAX: Final = 1_000 * AMOUNT_MAX


def fee_of(gross_minor: int, fee_basis_points: int) -> int:
    """The fee on `gross_minor`, rounded to the minor unit; an exact half goes to the even neighbour.

    Rounded once for a whole batch, not once a payment: half-even errors cancel, and the merchant can check the sum.
    Raises ValueError for a negative turnover, or for a fee outside 0..10,000 basis points.
    """
    if gross_minor < 0 or not 0 <= fee_basis_points <= BASIS_POINTS:
        raise ValueError(f"no fee of {fee_basis_points} basis points on {gross_minor} minor units")
    whole, rest = divmod(gross_minor * fee_basis_points, BASIS_POINTS)
    if 2 * rest == BASIS_POINTS:
        return whole + whole % 2
    return whole + (2 * rest > BASIS_POINTS)


def payout(merchant_id: str, currency: str, *, gross_minor: int, refunded_minor: int, fee_minor: int) -> Batch:
    """What the merchants' common account gives up, the merchant is owed and we have earned.

    merchant:settlement -> merchant:payable:<id> and income:fees. Empty if nothing moves. Raises ValueError for amounts
    outside 0..10**15 or a fee above the turnover.
    """
    if not (0 <= gross_minor <= TURNOVER_MAX and 0 <= refunded_minor <= TURNOVER_MAX and 0 <= fee_minor <= gross_minor):
        raise ValueError(f"no payout of {gross_minor} less {refunded_minor} less a fee of {fee_minor} minor units")
    kept_minor = gross_minor - refunded_minor
    moves = {MERCHANT: -kept_minor, merchant_payable(merchant_id): kept_minor - fee_minor, FEES: fee_minor}
    return balanced(Posting(account, currency, minor, Layer.POSTED) for account, minor in moves.items() if minor)
