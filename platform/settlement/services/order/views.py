"""From a row of `orders` to what its owner is shown."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from sqlalchemy import Row

from settlement.services.order.model import OrderStatus
from settlement.services.order.schemas import OrderedGoodsView, OrderView
from settlement.services.order.snapshot import load


def order_view(row: Row[Any]) -> OrderView:
    """The order as it is now."""
    return _view(row._asdict())


def first_view(row: Row[Any], pay_method: str) -> OrderView:
    """The order as it was answered when it was created with `pay_method`, whatever has become of it since."""
    changed_since = {
        "status": OrderStatus.PENDING,
        "pay_method": pay_method,
        "updated_at_ms": row.created_at_ms,
        "out_trade_no": None,
        "paid_gid": None,
        "refund_gid": None,
    }
    return _view({**row._asdict(), **changed_since})


def created_view(values: Mapping[str, Any]) -> OrderView:
    """The order just inserted with these values."""
    return _view({"out_trade_no": None, "paid_gid": None, "refund_gid": None, **values})


_COPIED = OrderView.model_fields.keys() - {"items", "status"}


def _view(values: Mapping[str, Any]) -> OrderView:
    lines = [OrderedGoodsView(**asdict(line)) for line in load(values["goods_list"])]
    status = OrderStatus(values["status"]).name.lower()
    return OrderView.model_validate({**{name: values[name] for name in _COPIED}, "items": lines, "status": status})
