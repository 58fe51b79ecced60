"""What a user does with the cart, and what an order does to it.

The list is cached, but replicas share the database and not their memory (nor, for sure, Redis): dropping an entry on a
write is not enough, another replica would order from a cart that its user has long changed. So an entry counts only for
the version it was read at, every change gives the cart its next version in the same transaction, and every look-up asks
the database for the version, one row by primary key. That is never stale, and spares reading and rendering the list.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import Delete, Row, bindparam, delete, func, insert, select, update

from settlement.chassis.problems import Problem
from settlement.chassis.sql import insert_ignore
from settlement.services.cart.model import cart, cart_versions
from settlement.services.cart.schemas import ITEMS_MAX, CartItem, CartView, OrderCreated

if TYPE_CHECKING:
    from settlement.chassis.cache import Cache
    from settlement.chassis.clock import Clock
    from settlement.chassis.database import Database, Transaction
    from settlement.chassis.degradation import Degradation
    from settlement.chassis.live_settings import LiveSettings

_VERSION = select(cart_versions.c.version).where(cart_versions.c.user_id == bindparam("owner"))
# Labelled, because a row is a tuple and has a method `count` already.
_ITEM_COLUMNS = (cart.c.goods_id, cart.c["count"].label("units"), cart.c.created_at_ms, cart.c.version)
_ITEMS = select(*_ITEM_COLUMNS).where(cart.c.user_id == bindparam("owner")).order_by(cart.c.id)
_SIZE = select(func.count()).select_from(cart).where(cart.c.user_id == bindparam("owner"))
_THIS = (cart.c.user_id == bindparam("owner"), cart.c.goods_id == bindparam("goods"))
_ITEM = select(*_ITEM_COLUMNS).where(*_THIS).with_for_update()
_SET_COUNT = update(cart).where(*_THIS).values({"count": bindparam("units"), "version": _VERSION.scalar_subquery()})
_ADD = insert(cart).values(
    {
        "user_id": bindparam("owner"),
        "goods_id": bindparam("goods"),
        "count": bindparam("units"),
        "created_at_ms": bindparam("now_ms"),
        "version": _VERSION.scalar_subquery(),
    }
)
_REMOVE = delete(cart).where(*_THIS)
_REMOVE_ORDERED = delete(cart).where(*_THIS, cart.c.version <= bindparam("ordered_version"))
_CLEAR = delete(cart).where(cart.c.user_id == bindparam("owner"))
_NEXT_VERSION = (
    update(cart_versions)
    .where(cart_versions.c.user_id == bindparam("owner"))
    .values(version=cart_versions.c.version + 1)
)
_FIRST_VERSION = insert_ignore(cart_versions)


class CartService:
    """Carts of users."""

    def __init__(
        self, database: Database, clock: Clock, cache: Cache, settings: LiveSettings, degradation: Degradation
    ) -> None:
        self._database = database
        self._clock = clock
        self._cache = cache
        self._settings = settings
        self._degradation = degradation

    async def render(self, user_id: int) -> bytes:
        """The cart as the JSON of a `CartView`."""
        # The version is read before the items: if a change comes between, a newer list is kept under an older version
        # and the next look-up discards it. The other way round it would be taken for current.
        versions = await self._database.read(_VERSION, {"owner": user_id})
        version = versions[0].version if versions else 0
        if self._degradation.active("cart_cache"):
            return await self._listed(user_id, version)
        ttl_ms = self._settings.integer("cart.cache_ttl_ms")
        return await self._cache.get_or_compute(str(user_id), lambda: self._listed(user_id, version), ttl_ms, version)

    async def _listed(self, user_id: int, version: int) -> bytes:
        items = [_item(row) for row in await self._database.read(_ITEMS, {"owner": user_id})]
        return CartView(user_id=user_id, version=version, items=items).model_dump_json().encode()

    async def put(self, user_id: int, goods_id: int, count: int) -> CartItem:
        """Make the cart hold `count` of a goods. Problem 409 `cart_full` beyond ITEMS_MAX different goods."""
        this = {"owner": user_id, "goods": goods_id}

        async def change(tx: Transaction) -> CartItem:
            await _advance(tx, user_id)
            if (await tx.execute(_SET_COUNT, {**this, "units": count})).rowcount == 0:
                if (await tx.execute(_SIZE, {"owner": user_id})).scalar_one() >= ITEMS_MAX:
                    raise Problem(409, "cart_full", "The cart is full", f"at most {ITEMS_MAX} different goods")
                await tx.execute(_ADD, {**this, "units": count, "now_ms": self._clock.now_ms()})
            return _item((await tx.execute(_ITEM, this)).one())

        return await self._database.run(change)

    async def remove(self, user_id: int, goods_id: int) -> None:
        """Take a goods out; nothing happens if it is not there."""
        await self._database.run(lambda tx: _drop(tx, user_id, _REMOVE, {"owner": user_id, "goods": goods_id}))

    async def clear(self, user_id: int) -> None:
        """Take everything out."""
        await self._database.run(lambda tx: _drop(tx, user_id, _CLEAR, {"owner": user_id}))

    async def take_out(self, tx: Transaction, order: OrderCreated) -> None:
        """Take out what an order was made from; what was put there since, even the same goods, stays."""
        if order.cart_version is None:
            return
        for line in order.items:
            ordered = {"owner": order.user_id, "goods": line.goods_id, "ordered_version": order.cart_version}
            await tx.execute(_REMOVE_ORDERED, ordered)
        await _advance(tx, order.user_id)


def _item(row: Row[Any]) -> CartItem:
    return CartItem(goods_id=row.goods_id, count=row.units, created_at_ms=row.created_at_ms, version=row.version)


async def _drop(tx: Transaction, user_id: int, removal: Delete, parameters: dict[str, Any]) -> None:
    if (await tx.execute(removal, parameters)).rowcount:
        await _advance(tx, user_id)


async def _advance(tx: Transaction, user_id: int) -> None:
    """Give the user's cart its next version. From here on this transaction has the cart to itself."""
    while (await tx.execute(_NEXT_VERSION, {"owner": user_id})).rowcount == 0:
        if (await tx.execute(_FIRST_VERSION, {"user_id": user_id, "version": 1})).rowcount == 1:
            return
