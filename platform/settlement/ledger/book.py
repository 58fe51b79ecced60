"""A whole ledger in memory: what the stored one is compared with, and what the simulator keeps its books in."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from settlement.ledger.accounts import is_user_account
from settlement.ledger.postings import Batch, Layer, Posting, balanced, capture, hold, transfer, void


class OverdrawnError(Exception):
    """A customer does not have what is to be held or moved; nothing has changed."""


class Book:
    """Balances by account and currency, and the holds in force, by name. All amounts are minor units."""

    def __init__(self) -> None:
        self.postings: list[Posting] = []
        self._balances: defaultdict[tuple[str, str, Layer], int] = defaultdict(int)
        self._holds: dict[str, Batch] = {}

    def transfer(self, source: str, target: str, currency: str, amount_minor: int) -> None:
        """Move money at once. Raises OverdrawnError, ValueError."""
        self._require(source, currency, amount_minor)
        self._append(transfer(source, target, currency, amount_minor))

    def hold(self, name: str, source: str, target: str, currency: str, amount_minor: int) -> None:
        """Hold money under a new name. Raises OverdrawnError, ValueError (also for a name in use)."""
        if name in self._holds:
            raise ValueError(f"a hold named {name!r} is in force")
        held = hold(source, target, currency, amount_minor)
        self._require(source, currency, amount_minor)
        self._append(held)
        self._holds[name] = held

    def capture(self, name: str) -> None:
        """Move what this hold holds. Raises KeyError if there is no such hold."""
        self._append(capture(self._holds.pop(name)))

    def void(self, name: str) -> None:
        """Let this hold go. Raises KeyError if there is no such hold."""
        self._append(void(self._holds.pop(name)))

    def balance_minor(self, account: str, currency: str, layer: Layer = Layer.POSTED) -> int:
        """What an account has in one layer."""
        return self._balances[account, currency, layer]

    def available_minor(self, account: str, currency: str) -> int:
        """What may be spent: posted, less what is held on its way out. Money on its way in does not count."""
        outgoing_minor = sum(
            line.amount_minor
            for held in self._holds.values()
            for line in held
            if line.account == account and line.currency == currency and line.amount_minor < 0
        )
        return self.balance_minor(account, currency) + outgoing_minor

    def trial_balance(self) -> dict[tuple[str, Layer], int]:
        """The sum over all accounts by currency and layer; anything but zero is a bug."""
        sums: defaultdict[tuple[str, Layer], int] = defaultdict(int)
        for (_account, currency, layer), amount_minor in self._balances.items():
            sums[currency, layer] += amount_minor
        return dict(sums)

    def _require(self, source: str, currency: str, amount_minor: int) -> None:
        if is_user_account(source) and self.available_minor(source, currency) < amount_minor:
            raise OverdrawnError(f"{source} has less than {amount_minor} minor units of {currency}")

    def _append(self, batch: Iterable[Posting]) -> None:
        lines, balances = balanced(batch), self._balances
        self.postings += lines
        for line in lines:
            balances[line.account, line.currency, line.layer] += line.amount_minor
