"""The goods on offer and their prices; generated, so that every run of the same settings sells the same things."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from sqlalchemy import Row, Select, bindparam, func, select

from settlement.chassis.sql import insert_ignore
from settlement.services.order.model import goods, stock
from settlement.services.order.schemas import GoodsPage, GoodsView

if TYPE_CHECKING:
    from settlement.chassis.database import Database, Transaction

_VIEW = select(goods, stock.c.available_units).join(stock, stock.c.goods_id == goods.c.id)
_ONE = _VIEW.where(goods.c.id == bindparam("goods_id"))
_PAGE = _VIEW.where(goods.c.id > bindparam("after")).order_by(goods.c.id).limit(bindparam("page_size"))
_PRICES: Select[Any] = select(goods).where(goods.c.id.in_(bindparam("goods_ids", expanding=True))).order_by(goods.c.id)


def price_minor(goods_id: int) -> int:
    """The generated price: 1.00 to 99.99, spread evenly and without a visible pattern."""
    return 100 + (goods_id * 7_919) % 9_900


def merchant_of(goods_id: int, merchant_count: int) -> int:
    """The merchant who sells a generated article: 1 to `merchant_count`, in turn."""
    return 1 + (goods_id - 1) % merchant_count


class Catalogue:
    """Reads of the goods tables, and their first filling."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def seed(self, *, goods_count: int, stock_per_goods: int, merchant_count: int, currency: str) -> None:
        """Add the goods that are missing up to `goods_count`. Replicas may all call this at the same time."""
        await self._database.run(
            lambda tx: _seed(tx, goods_count, stock_per_goods, merchant_count=merchant_count, currency=currency)
        )

    async def find(self, goods_id: int) -> GoodsView | None:
        """One goods, or None."""
        rows = await self._database.read(_ONE, {"goods_id": goods_id})
        return _view(rows[0]) if rows else None

    async def page(self, *, after: int, limit: int) -> GoodsPage:
        """Up to `limit` goods with an id above `after`."""
        rows = await self._database.read(_PAGE, {"after": after, "page_size": limit + 1})
        shown = [_view(row) for row in rows[:limit]]
        return GoodsPage(goods=shown, next_after=shown[-1].goods_id if len(rows) > limit else None)

    async def prices(self, tx: Transaction, goods_ids: Iterable[int]) -> dict[int, Row[Any]]:
        """Rows (id, name, price_minor, currency, merchant_id) of those goods that exist, by id."""
        return {row.id: row for row in await tx.execute(_PRICES, {"goods_ids": list(goods_ids)})}


async def _seed(tx: Transaction, goods_count: int, units: int, *, merchant_count: int, currency: str) -> None:
    highest = (await tx.execute(select(func.max(goods.c.id)))).scalar() or 0
    missing = range(highest + 1, goods_count + 1)
    if not missing:
        return
    made = [
        {
            "id": number,
            "name": f"goods {number}",
            "price_minor": price_minor(number),
            "currency": currency,
            "merchant_id": merchant_of(number, merchant_count),
        }
        for number in missing
    ]
    await tx.execute(insert_ignore(goods), made)
    full = {"initial_units": units, "available_units": units, "reserved_units": 0, "sold_units": 0}
    await tx.execute(insert_ignore(stock), [{"goods_id": number, **full} for number in missing])


def _view(row: Row[Any]) -> GoodsView:
    return GoodsView(
        goods_id=row.id,
        name=row.name,
        price_minor=row.price_minor,
        currency=row.currency,
        merchant_id=row.merchant_id,
        available_units=row.available_units,
    )
