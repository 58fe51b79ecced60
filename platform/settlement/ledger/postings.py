"""Postings and the batches that move money: hold, void, capture, transfer."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from settlement.values import unguarded

AMOUNT_MAX: Final = 10**12


class Layer(StrEnum):
    """Whether money is held or has moved."""

    PENDING = "pending"
    POSTED = "posted"


# By name, because it takes the interpreter ten times as long to find a member in its enum.
_PENDING, _POSTED = Layer.PENDING, Layer.POSTED


class UnbalancedError(Exception):
    """A batch that makes or destroys money."""


@unguarded
@dataclass(frozen=True, slots=True)
class Posting:
    """One line of a batch. `amount_minor` is signed: positive is money that the account gains."""

    account: str
    currency: str
    amount_minor: int
    layer: Layer


Batch = tuple[Posting, ...]


def transfer(source: str, target: str, currency: str, amount_minor: int) -> Batch:
    """Move money for good. Raises ValueError for an amount outside 1..10**12 minor units."""
    return _batch(source, target, currency, amount_minor, Layer.POSTED)


def hold(source: str, target: str, currency: str, amount_minor: int) -> Batch:
    """Hold money for a movement that may follow. Raises like `transfer`."""
    return _batch(source, target, currency, amount_minor, _PENDING)


def void(held: Batch) -> Batch:
    """End a hold without moving anything."""
    return tuple([Posting(line.account, line.currency, -line.amount_minor, line.layer) for line in held])


def capture(held: Batch) -> Batch:
    """End a hold and move what it held."""
    moved = [Posting(line.account, line.currency, line.amount_minor, _POSTED) for line in held]
    return (*void(held), *moved)


def balanced(batch: Iterable[Posting]) -> Batch:
    """The batch, if it sums to zero in every currency and layer; raises UnbalancedError naming what does not."""
    lines = tuple(batch)
    sums: dict[tuple[str, Layer], int] = {}
    for line in lines:
        key = (line.currency, line.layer)
        sums[key] = sums.get(key, 0) + line.amount_minor
    if any(sums.values()):
        wrong = [f"{currency} {layer}: {total}" for (currency, layer), total in sums.items() if total]
        raise UnbalancedError("a batch must sum to zero, but " + ", ".join(wrong))
    return lines


def _batch(source: str, target: str, currency: str, amount_minor: int, layer: Layer) -> Batch:
    if not 1 <= amount_minor <= AMOUNT_MAX:
        raise ValueError(f"amount out of range: {amount_minor} minor units")
    if source == target:
        raise ValueError(f"money must go somewhere else: {source}")
    return (Posting(source, currency, -amount_minor, layer), Posting(target, currency, amount_minor, layer))
