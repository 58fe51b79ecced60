"""What the tests of message, statistics and audit share: events as other services deliver them."""

from __future__ import annotations

import uuid
from typing import Any

NOON_MS = 1_700_000_000_000 // 60_000 * 60_000


def event(event_type: str, subject: str = "1", at_ms: int = NOON_MS, /, **data: object) -> dict[str, Any]:
    """An event as it goes over the wire, with an id of its own."""
    return {
        "event_id": str(uuid.uuid4()),
        "type": event_type,
        "subject": subject,
        "data": data,
        "occurred_at_ms": at_ms,
    }


def order_event(what: str, order_no: str, amount_minor: int = 500, at_ms: int = NOON_MS, **more: object) -> Any:
    """`order.created` and so on, as the order service tells it; one merchant has it all, unless `merchants` says."""
    data = {"user_id": 7, "order_no": order_no, "amount_minor": amount_minor, "total_minor": amount_minor}
    data |= {"currency": "CNY", "method": "card", "at_ms": at_ms}
    data |= {"merchants": [{"merchant_id": 1, "amount_minor": amount_minor}]}
    return event(f"order.{what}", order_no, at_ms, **{**data, **more})


def decided(what: str, gid: str, amount_minor: int = 500, at_ms: int = NOON_MS, **more: object) -> Any:
    """`payment.succeeded` and so on, as the gateway tells it."""
    data = {"user_id": 7, "gid": gid, "order_no": f"o-{gid}", "amount_minor": amount_minor, "currency": "CNY"}
    return event(what, gid, at_ms, **{**data, "method": "card", "decided_at_ms": at_ms, **more})


async def deliver(cluster: Any, service: str, *events: dict[str, Any]) -> list[str]:
    """Deliver a batch; returns the ids that were accepted."""
    reply = await cluster.call(service, "POST", "/events", json={"events": list(events)})
    assert reply.status == 200
    accepted: list[str] = reply.json["accepted"]
    return accepted


async def ask(cluster: Any, service: str, path: str, **query: object) -> Any:
    """What an operator is answered."""
    reply = await cluster.http(service).get(path, params=query, headers=cluster.as_operator())
    assert reply.status_code == 200, reply.text
    return reply.json()
