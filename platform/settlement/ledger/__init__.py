"""Double entry in integer minor units, as pure functions.

Every movement of money is a *batch* of postings that sums to zero in each currency: what one account gains, others
lose. A posting lies in one of two layers. *Posted* money has moved for good. *Pending* money is held: it has left
what its owner may spend, and nobody else has it yet. A hold never disappears: it ends with a reversing pending batch,
alone when it is voided, together with the posted batch when it is captured. So the sum of an account's pending
postings is what is held now, and the history of both layers is append-only.

Accounts, and what a positive balance means there:

    user:<id>             money of a customer kept with us
    merchant:settlement   money owed to the merchants, of days that are not cleared yet
    merchant:payable:<id> money of cleared days, owed to one merchant
    income:fees           what we earned on cleared days
    channel:card          negative: money that the card channel took for us and owes us
    channel:wallet        the same for the wallet
    equity:grants         negative: play money given to new customers

    payment by balance    user:<id>        -> merchant:settlement
    payment by card       channel:card     -> merchant:settlement
    refund                merchant:settlement -> where the payment came from
    grant                 equity:grants    -> user:<id>
    payout                merchant:settlement -> merchant:payable:<id> and income:fees (see `payout`)
"""

from settlement.ledger.accounts import (
    CHANNEL_CARD,
    CHANNEL_WALLET,
    FEES,
    GRANTS,
    MERCHANT,
    merchant_payable,
    source_of,
    user_account,
)
from settlement.ledger.book import Book, OverdrawnError
from settlement.ledger.payout import fee_of, payout
from settlement.ledger.postings import (
    AMOUNT_MAX,
    Layer,
    Posting,
    UnbalancedError,
    balanced,
    capture,
    hold,
    transfer,
    void,
)

__all__ = [
    "AMOUNT_MAX",
    "CHANNEL_CARD",
    "CHANNEL_WALLET",
    "FEES",
    "GRANTS",
    "MERCHANT",
    "Book",
    "Layer",
    "OverdrawnError",
    "Posting",
    "UnbalancedError",
    "balanced",
    "capture",
    "fee_of",
    "hold",
    "merchant_payable",
    "payout",
    "source_of",
    "transfer",
    "user_account",
    "void",
]
