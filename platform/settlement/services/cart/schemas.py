"""What clients send to and get from the cart."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

ITEMS_MAX = 100
COUNT_MAX = 9_999
GOODS_ID_MAX = 2**53 - 1

Count = Annotated[int, Field(strict=True, ge=1, le=COUNT_MAX)]


class ItemChange(BaseModel):
    """How many of a goods the cart shall hold."""

    model_config = ConfigDict(extra="forbid")

    count: Count


class CartItem(BaseModel):
    """One goods in a cart: first put there at `created_at_ms` (of the epoch), last changed in `version` of the cart."""

    goods_id: int
    count: int
    created_at_ms: int
    version: int


class CartView(BaseModel):
    """A user's cart; `version` grows with every change."""

    user_id: int
    version: int
    items: list[CartItem]


class OrderedItem(BaseModel):
    """One line of an order that was created."""

    goods_id: int


class OrderCreated(BaseModel):
    """What the cart needs of an `order.created` event; `cart_version` is null if the order was not made from it."""

    user_id: int
    cart_version: int | None
    items: list[OrderedItem]
