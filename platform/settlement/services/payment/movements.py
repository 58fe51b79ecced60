"""What moved through a channel, as we have it: pages for reconciliation.

Ordered by the moment we began: unlike the moment of the last change, it stays, so a payment is found on its own day
also after it was refunded on another.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from sqlalchemy import and_, bindparam, or_, select

from settlement.services.payment.model import payments

if TYPE_CHECKING:
    from settlement.chassis.database import Database

ChannelName = Literal["card", "wallet"]

_PAGE = (
    select(
        payments.c.gid,
        payments.c.kind,
        payments.c.out_trade_no,
        payments.c.refund_no,
        payments.c.amount_minor,
        payments.c.currency,
        payments.c.state,
        payments.c.created_at_ms,
    )
    .where(
        payments.c.channel == bindparam("of_channel"),
        payments.c.created_at_ms >= bindparam("from_ms"),
        payments.c.created_at_ms < bindparam("until_ms"),
        or_(
            payments.c.created_at_ms > bindparam("after_ms"),
            and_(payments.c.created_at_ms == bindparam("after_ms"), payments.c.gid > bindparam("after_gid")),
        ),
    )
    .order_by(payments.c.created_at_ms, payments.c.gid)
    .limit(bindparam("page_size"))
)


async def movements(
    database: Database, channel: ChannelName, from_ms: int, until_ms: int, *, after_ms: int, after: str, limit: int
) -> dict[str, Any]:
    """Payments and refunds begun in [from_ms, until_ms), beyond the cursor; `next` is null on the last page.

    Amounts are minor units without a sign, `kind` says payment or refund, `state` where the money is.
    """
    period = {"of_channel": channel, "from_ms": from_ms, "until_ms": until_ms}
    cursor = {"after_ms": after_ms, "after_gid": after, "page_size": limit + 1}
    rows = await database.read(_PAGE, {**period, **cursor})
    shown = [_wire_form(dict(row._mapping)) for row in rows[:limit]]
    more = len(rows) > limit
    following = {"after_ms": shown[-1]["created_at_ms"], "after": shown[-1]["gid"]} if more else None
    return {"movements": shown, "next": following}


def _wire_form(row: dict[str, Any]) -> dict[str, Any]:
    if row["kind"] == "refund" and row["refund_no"] is None:
        row["refund_no"] = row["gid"]  # what the channel was told, see `PaymentBusiness.reach_out`
    return row
