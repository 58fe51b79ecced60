"""Creating an order: whose goods, at today's prices, once a key.

A pending order reserves nothing. Stock is taken by the payment's transaction (see `participant`), so an order can be
created for goods that are sold out by the time it is paid; the payment is then refused and no money moves.

The cart learns of an order by an event, a little later, and shows what was ordered until then. So an order remembers
the version of the cart that it was made from, and the next order takes only what was put there afterwards.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError
from sqlalchemy import Executable, Row, bindparam, func, insert, select

from settlement.chassis.http_client import NotSent, Unknown
from settlement.chassis.problems import Problem
from settlement.chassis.sql import insert_ignore
from settlement.services.order.events import publish
from settlement.services.order.model import OrderStatus, cart_turns, orders
from settlement.services.order.schemas import TOTAL_MINOR_MAX, CartContent, OrderRequest, OrderView
from settlement.services.order.snapshot import OrderedGoods, dump
from settlement.services.order.stock import Line
from settlement.services.order.views import created_view, first_view

if TYPE_CHECKING:
    from settlement.chassis.app import Chassis
    from settlement.chassis.database import Transaction
    from settlement.services.order.catalogue import Catalogue

Read = Callable[[Executable, dict[str, Any]], Awaitable[Sequence[Row[Any]]]]

_BY_KEY = select(orders).where(orders.c.user_id == bindparam("owner"), orders.c.idempotency_key == bindparam("key"))
_INSERT = insert(orders)
_FIRST_TURN = insert_ignore(cart_turns)
_TURN = select(cart_turns).where(cart_turns.c.user_id == bindparam("owner")).with_for_update()
_CART_TAKEN = select(func.max(orders.c.cart_version)).where(orders.c.user_id == bindparam("owner"))


class _Once:
    """A request and its idempotency key, if it has one: at most one order comes of the two."""

    def __init__(self, user_id: int, request: OrderRequest, key: str | None) -> None:
        self.user_id = user_id
        self.request = request
        self.key = key
        self.fingerprint = hashlib.sha256(request.model_dump_json().encode()).hexdigest()

    async def answer(self, read: Read) -> OrderView | None:
        """What the same key was answered before, or None. Problem 422 if it came with another request."""
        if self.key is None:
            return None
        rows = await read(_BY_KEY, {"owner": self.user_id, "key": self.key})
        if not rows:
            return None
        if rows[0].request_sha256 != self.fingerprint:
            detail = "this key was used for an order with other parameters"
            raise Problem(422, "idempotency_key_reused", "Idempotency key reused", detail)
        return first_view(rows[0], self.request.pay_method)


class OrderCreation:
    """Turns requests into pending orders."""

    def __init__(self, chassis: Chassis, catalogue: Catalogue) -> None:
        self._chassis = chassis
        self._catalogue = catalogue

    async def create(self, user_id: int, request: OrderRequest, key: str | None) -> tuple[OrderView, bool]:
        """Create an order, or find the one this key created before; the flag says which (True: replayed).

        Raises Problem 409 `cart_empty`, 422 `goods_not_found | total_too_large | idempotency_key_reused`, 503
        `cart_unavailable`.
        """
        once = _Once(user_id, request, key)
        replayed = await once.answer(self._chassis.database.read)
        if replayed is not None:
            return replayed, True
        cart = await self._cart(user_id) if request.items is None else None
        # The same request may come twice at the same time: whoever finds the key taken looks for the order again.
        return await self._chassis.database.run(partial(self._create, once, cart), after_duplicate=True)

    async def _create(self, once: _Once, cart: CartContent | None, tx: Transaction) -> tuple[OrderView, bool]:
        async def read(query: Executable, given: dict[str, Any]) -> Sequence[Row[Any]]:
            return (await tx.execute(query, given)).all()

        if cart is not None:
            # Two orders from one cart take turns: neither may overlook what the other is taking.
            await tx.execute(_FIRST_TURN, {"user_id": once.user_id})
            await tx.execute(_TURN, {"owner": once.user_id})
        # Asked again inside, and before all else: the other one may have been this very request.
        replayed = await once.answer(read)
        if replayed is not None:
            return replayed, True
        lines = await _lines(once, cart, tx)
        values = await self._values(once, lines, cart.version if cart is not None else None, tx)
        await tx.execute(_INSERT, values)
        await self._publish(tx, values, lines)
        return created_view(values), False

    async def _cart(self, user_id: int) -> CartContent:
        try:
            reply = await self._chassis.client.call("cart", "GET", f"/internal/carts/{user_id}", idempotent=True)
            if reply.status == 200:
                return CartContent.model_validate(reply.json)
            reason = f"status {reply.status}"
        except (NotSent, Unknown, ValidationError) as error:
            reason = repr(error)
        self._chassis.log.warning("cart_unreadable", user_id=user_id, reason=reason)
        detail = "the cart could not be read; nothing was ordered"
        raise Problem(503, "cart_unavailable", "The cart is not available", detail, headers={"Retry-After": "1"})

    async def _priced(self, lines: list[Line], tx: Transaction) -> tuple[list[OrderedGoods], str]:
        """The lines with today's names and prices, and their currency."""
        known = await self._catalogue.prices(tx, (line.goods_id for line in lines))
        missing = [line.goods_id for line in lines if line.goods_id not in known]
        if missing:
            raise Problem(422, "goods_not_found", "No such goods", f"unknown goods: {', '.join(map(str, missing))}")
        ordered = [
            OrderedGoods(line.goods_id, row.name, line.count, row.price_minor, row.merchant_id)
            for line, row in ((line, known[line.goods_id]) for line in lines)
        ]
        if sum(line.amount_minor for line in ordered) > TOTAL_MINOR_MAX:
            raise Problem(422, "total_too_large", "Total too large", f"at most {TOTAL_MINOR_MAX} minor units an order")
        return ordered, known[lines[0].goods_id].currency

    async def _values(
        self, once: _Once, lines: list[Line], cart_version: int | None, tx: Transaction
    ) -> dict[str, Any]:
        """The new row of `orders`."""
        ordered, currency = await self._priced(lines, tx)
        request = once.request
        now_ms = self._chassis.clock.now_ms()
        return {
            "order_no": _order_no(now_ms),
            "user_id": once.user_id,
            "goods_list": dump(ordered),
            "total_minor": sum(line.amount_minor for line in ordered),
            "currency": currency,
            "status": OrderStatus.PENDING.value,
            "pay_method": request.pay_method,
            "channel": request.channel,
            "notify_url": request.notify_url,
            "return_url": request.return_url,
            "created_at_ms": now_ms,
            "updated_at_ms": now_ms,
            "expires_at_ms": now_ms + 1000 * self._chassis.settings.integer("order.expire_after_s"),
            "cart_version": cart_version,
            "idempotency_key": once.key,
            "request_sha256": once.fingerprint,
        }

    async def _publish(self, tx: Transaction, values: dict[str, Any], lines: list[Line]) -> None:
        more = {
            "total_minor": values["total_minor"],
            "cart_version": values["cart_version"],
            "items": [asdict(line) for line in lines],
        }
        await publish(self._chassis.outbox, tx, "order.created", values, values["created_at_ms"], **more)


async def _lines(once: _Once, cart: CartContent | None, tx: Transaction) -> list[Line]:
    """What to order: the lines of the request, or what no order has taken from the cart yet."""
    if cart is None:
        return [Line(line.goods_id, line.count) for line in once.request.items or ()]
    newest_taken: int | None = (await tx.execute(_CART_TAKEN, {"owner": once.user_id})).scalar()
    lines = [
        Line(line.goods_id, line.count) for line in cart.items if newest_taken is None or line.version > newest_taken
    ]
    if not lines:
        detail = "there is nothing in the cart that was not ordered already"
        raise Problem(409, "cart_empty", "The cart is empty", detail)
    return lines


def _order_no(now_ms: int) -> str:
    """A number that sorts by time and cannot be guessed: 13 digits of milliseconds, 12 random hexadecimal digits."""
    return f"{now_ms:013d}{secrets.token_hex(6)}"
