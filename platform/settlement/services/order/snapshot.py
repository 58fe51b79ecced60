"""The `goods_list` of an order: what was ordered, at the price of that moment, as JSON text."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict, dataclass

from settlement.services.order.stock import Line


@dataclass(frozen=True, slots=True)
class OrderedGoods:
    """One line of an order. The price is a copy: later changes of the catalogue do not reach it."""

    goods_id: int
    name: str
    count: int
    price_minor: int
    merchant_id: int

    @property
    def amount_minor(self) -> int:
        """What the line costs."""
        return self.count * self.price_minor


def dump(ordered: list[OrderedGoods]) -> str:
    """Text for the `goods_list` column."""
    return json.dumps([asdict(line) for line in ordered], separators=(",", ":"), ensure_ascii=False)


def load(goods_list: str) -> list[OrderedGoods]:
    """The lines of an order, as written by `dump`."""
    return [OrderedGoods(**line) for line in json.loads(goods_list)]


def shares(goods_list: str) -> list[dict[str, int]]:
    """What each merchant has of an order, in minor units, in order of their ids."""
    amounts: Counter[int] = Counter()
    for line in load(goods_list):
        amounts[line.merchant_id] += line.amount_minor
    return [{"merchant_id": merchant_id, "amount_minor": amounts[merchant_id]} for merchant_id in sorted(amounts)]


def lines_of(goods_list: str) -> list[Line]:
    """What an order takes from stock."""
    return [Line(line.goods_id, line.count) for line in load(goods_list)]
