"""Stock of goods: available -> reserved -> sold, and back. Every unit is in exactly one of the three.

Functions act inside the caller's transaction. `Line`s of one call name each goods once, and are taken in order of
goods id, so that two transactions on a database with row locks cannot wait for each other in a circle.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import Update, bindparam, select, update

from settlement.services.order.model import stock

if TYPE_CHECKING:
    from settlement.chassis.database import Transaction


@dataclass(frozen=True, slots=True)
class Line:
    """So many units of one goods."""

    goods_id: int
    count: int


class StockBroken(Exception):
    """Units that a reservation or a sale accounts for are not there. Never expected; the transaction must not go on."""


def _move(source: str, target: str) -> Update:
    """Statement that moves `units` of one goods between two columns, only if the source has them."""
    return (
        update(stock)
        .where(stock.c.goods_id == bindparam("goods"), stock.c[source] >= bindparam("units"))
        .values({source: stock.c[source] - bindparam("units"), target: stock.c[target] + bindparam("units")})
    )


_AVAILABLE = (
    select(stock.c.goods_id, stock.c.available_units)
    .where(stock.c.goods_id.in_(bindparam("goods", expanding=True)))
    .order_by(stock.c.goods_id)
    .with_for_update()
)
_RESERVE = _move("available_units", "reserved_units")
_UNRESERVE = _move("reserved_units", "available_units")
_SELL = _move("reserved_units", "sold_units")
_TAKE_BACK = _move("sold_units", "available_units")
_SELL_AGAIN = _move("available_units", "sold_units")


async def reserve(tx: Transaction, lines: Sequence[Line]) -> bool:
    """Reserve all lines, or nothing and return False."""
    rows = await tx.execute(_AVAILABLE, {"goods": [line.goods_id for line in lines]})
    available = {row.goods_id: row.available_units for row in rows}
    if any(available.get(line.goods_id, 0) < line.count for line in lines):
        return False
    await _run(tx, _RESERVE, lines)
    return True


async def unreserve(tx: Transaction, lines: Iterable[Line]) -> None:
    """Give a reservation up."""
    await _run(tx, _UNRESERVE, lines)


async def sell(tx: Transaction, lines: Iterable[Line]) -> None:
    """Turn a reservation into a sale."""
    await _run(tx, _SELL, lines)


async def take_back(tx: Transaction, lines: Iterable[Line]) -> None:
    """Return sold units to the shelf."""
    await _run(tx, _TAKE_BACK, lines)


async def sell_again(tx: Transaction, lines: Iterable[Line]) -> None:
    """Undo `take_back`."""
    await _run(tx, _SELL_AGAIN, lines)


async def _run(tx: Transaction, statement: Update, lines: Iterable[Line]) -> None:
    for line in sorted(lines, key=lambda line: line.goods_id):
        moved = await tx.execute(statement, {"goods": line.goods_id, "units": line.count})
        if moved.rowcount != 1:
            raise StockBroken(f"goods {line.goods_id}: no {line.count} units to move")
