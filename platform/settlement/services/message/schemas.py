"""What the message service reads of events, and what it shows. Amounts are minor units, times epoch milliseconds."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field
from sqlalchemy import Row

from settlement.chassis.fields import Currency, PayMethod

Channel = Literal["inbox", "sms"]
DeliveryState = Literal["due", "delivered", "given_up"]
OrderNo = Annotated[str, Field(min_length=1, max_length=64)]


class OrderCreated(BaseModel):
    """What is told of an `order.created` event."""

    user_id: int
    order_no: OrderNo
    total_minor: int
    currency: Currency


class Decided(BaseModel):
    """What is told of a `payment.*` or `refund.*` event."""

    user_id: int
    order_no: OrderNo
    gid: Annotated[str, Field(min_length=1, max_length=64)]
    amount_minor: int
    currency: Currency
    method: PayMethod
    reason: Annotated[str, Field(max_length=64)] = ""


class MessageView(BaseModel):
    """A message as its user sees it; `read_at_ms` is null while it is unread."""

    id: int
    kind: str
    order_no: str
    gid: str | None
    amount_minor: int
    currency: str
    title: str
    text: str
    occurred_at_ms: int
    read_at_ms: int | None


class MessagePage(BaseModel):
    """A page of a user's messages, newest first; `next_before` is the cursor of the next page, null on the last."""

    messages: list[MessageView]
    next_before: int | None


class Unread(BaseModel):
    """How many messages a user has not read yet."""

    unread: int


class DeliveryView(BaseModel):
    """One delivery as an operator sees it."""

    id: int
    message_id: int
    user_id: int
    kind: str
    channel: str
    state: str
    attempts: int
    next_at_ms: int
    delivered_at_ms: int | None
    last_error: str | None


class DeliveryPage(BaseModel):
    """A page of deliveries, oldest first; `next_after` is the cursor of the next page, null on the last."""

    deliveries: list[DeliveryView]
    next_after: int | None


def message_view(row: Row[Any]) -> MessageView:
    """A row of `messages`, as its user sees it."""
    return MessageView.model_validate(row._mapping)
