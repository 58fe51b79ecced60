"""The payment service's books: the shipped ledger, with a transaction and a time on every posting.

A hold is named after its transaction's gid. A commit captures it, an abort voids it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from settlement.ledger import GRANTS, MERCHANT, Book, Layer, source_of, user_account
from simulator.node import Payload

_LAYERS = {layer: str(layer) for layer in Layer}


@dataclass
class Books:
    """A `Book`, and for each of its postings whose and when: `stamps` is (gid, ms) by number of the posting."""

    opening_balance_minor: int
    book: Book = field(default_factory=Book)
    stamps: list[tuple[str, int]] = field(default_factory=list)
    _granted: set[tuple[int, str]] = field(default_factory=set)

    def open_account(self, user_id: int, currency: str, now_ms: int) -> None:
        """Grant a new user the opening balance, once."""
        if (user_id, currency) in self._granted:
            return
        self._granted.add((user_id, currency))
        if self.opening_balance_minor > 0:
            account, amount_minor = user_account(user_id), self.opening_balance_minor
            self.book.transfer(GRANTS, account, currency, amount_minor)
            self._stamp(f"grant-{user_id}", now_ms)

    def available_minor(self, user_id: int, currency: str) -> int:
        """What the user can still spend."""
        return self.book.available_minor(user_account(user_id), currency)

    def hold(self, gid: str, kind: str, payload: Payload, now_ms: int) -> None:
        """Hold the money on its way from the payer to the merchant, or back for a refund."""
        payer = source_of(payload.method, payload.user_id)
        source, target = (payer, MERCHANT) if kind == "payment" else (MERCHANT, payer)
        self.book.hold(gid, source, target, payload.currency, payload.amount_minor)
        self._stamp(gid, now_ms)

    def capture(self, gid: str, now_ms: int) -> None:
        """Move what is held."""
        self.book.capture(gid)
        self._stamp(gid, now_ms)

    def void(self, gid: str, now_ms: int) -> None:
        """Let the hold go."""
        self.book.void(gid)
        self._stamp(gid, now_ms)

    def columns(self) -> list[Sequence[Any]]:
        """The postings table: number, gid, account, currency, amount, layer, time in seconds."""
        postings, stamps = self.book.postings, self.stamps
        return [
            ["posting-" + str(number).zfill(8) for number in range(1, len(postings) + 1)],
            [gid for gid, _ in stamps],
            [posting.account for posting in postings],
            [posting.currency for posting in postings],
            [posting.amount_minor for posting in postings],
            [_LAYERS[posting.layer] for posting in postings],
            [posted_ms / 1000 for _, posted_ms in stamps],
        ]

    def _stamp(self, gid: str, now_ms: int) -> None:
        """What was posted since the last time was for this transaction, now."""
        self.stamps += [(gid, now_ms)] * (len(self.book.postings) - len(self.stamps))
