"""What clients send to and get from the order service. Amounts are minor units, times epoch milliseconds."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from settlement.chassis.fields import PayMethod, Url

OrderWord = Literal["pending", "paying", "paid", "refunding", "refunded", "cancelled"]
GoodsId = Annotated[int, Field(strict=True, ge=1, le=2**53 - 1)]
Count = Annotated[int, Field(strict=True, ge=1, le=9_999)]

LINES_MAX = 100
TOTAL_MINOR_MAX = 10**12


class OrderLine(BaseModel):
    """So many units of one goods."""

    model_config = ConfigDict(extra="forbid")

    goods_id: GoodsId
    count: Count


class OrderRequest(BaseModel):
    """An order to create: either from the user's cart or from the lines given, never both."""

    model_config = ConfigDict(extra="forbid")

    from_cart: Annotated[bool, Field(strict=True)] = False
    items: list[OrderLine] | None = Field(default=None, min_length=1, max_length=LINES_MAX)
    pay_method: PayMethod
    channel: str | None = Field(default=None, max_length=50, pattern=r"^[a-z0-9_-]+$")
    notify_url: Url | None = None
    return_url: Url | None = None

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if self.from_cart == (self.items is not None):
            raise ValueError("give either from_cart: true or items")
        goods_ids = [line.goods_id for line in self.items or []]
        if len(goods_ids) != len(set(goods_ids)):
            raise ValueError("items must name each goods_id once")
        return self


class CartLine(BaseModel):
    """One line as the cart service tells it, with the version of the cart that it was last changed in."""

    goods_id: GoodsId
    count: Count
    version: int


class CartContent(BaseModel):
    """The cart service's answer: a user's whole cart; its version grows with every change."""

    version: int
    items: list[CartLine] = Field(max_length=LINES_MAX)


class GoodsView(BaseModel):
    """One goods of the catalogue, with the units that can be ordered now."""

    goods_id: int
    name: str
    price_minor: int
    currency: str
    merchant_id: int
    available_units: int


class GoodsPage(BaseModel):
    """A page of the catalogue; `next_after` is the cursor of the next page, null on the last."""

    goods: list[GoodsView]
    next_after: int | None


class OrderedGoodsView(BaseModel):
    """One line of an order, at the price of the moment it was created."""

    goods_id: int
    name: str
    count: int
    price_minor: int
    merchant_id: int


class OrderView(BaseModel):
    """An order as its owner sees it."""

    order_no: str
    user_id: int
    status: OrderWord
    total_minor: int
    currency: str
    items: list[OrderedGoodsView]
    pay_method: PayMethod
    channel: str | None
    out_trade_no: str | None
    notify_url: str | None
    return_url: str | None
    paid_gid: str | None
    refund_gid: str | None
    created_at_ms: int
    updated_at_ms: int
    expires_at_ms: int


class OrderPage(BaseModel):
    """A page of a user's orders, newest first; `next_after` is the cursor of the next page, null on the last."""

    orders: list[OrderView]
    next_after: str | None
