"""What the rest of the platform is told of a decision: `payment.succeeded`, `refund.failed` and so on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import Row

from settlement.protocol.records import Decision

if TYPE_CHECKING:
    from settlement.chassis.database import Transaction
    from settlement.chassis.outbox import Outbox


async def publish(outbox: Outbox, tx: Transaction, transaction: Row[Any]) -> None:
    """Record the event of a decided transaction, a row of `transactions`, beside its decision."""
    succeeded = transaction.decision == Decision.COMMIT
    data = {
        "gid": transaction.gid,
        "order_no": transaction.order_no,
        "user_id": transaction.user_id,
        "amount_minor": transaction.amount_minor,
        "currency": transaction.currency,
        "method": transaction.method,
        "decided_at_ms": transaction.decided_at_ms,
    }
    if transaction.kind == "refund":
        data["payment_gid"] = transaction.payment_gid
    if not succeeded:
        data["reason"] = transaction.reason
    event_type = f"{transaction.kind}.{'succeeded' if succeeded else 'failed'}"
    await outbox.add(tx, type=event_type, subject=transaction.gid, data=data)


async def publish_intervention(outbox: Outbox, tx: Transaction, line: dict[str, Any]) -> None:
    """Record the event of an operator's order, a row of `interventions`, beside it: who, why, and against what."""
    await outbox.add(tx, type="transaction.intervened", subject=line["gid"], data=line)
