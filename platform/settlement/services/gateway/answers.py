"""What a client is told of a transaction. It follows from the durable record alone, so every replay says the same."""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import Row
from starlette.responses import JSONResponse, Response

from settlement.chassis.problems import Problem
from settlement.protocol.records import Decision

# The HTTP status of a refusal, by its reason. A reason that is not here is a conflict with the state of things: 409.
STATUS_OF: Final = {
    "declined": 402,
    "insufficient_funds": 402,
    "order_not_found": 404,
    "payment_not_found": 404,
    "amount_mismatch": 422,
    "participant_unavailable": 503,
    "channel_unavailable": 503,
    "channel_refused": 503,
    "prepare_timeout": 503,
    "not_confirmed": 503,
    "coordinator_recovered": 503,
}
# The reasons of each status, as `refusals` takes them.
FAILURES: Final = {
    status: " | ".join(reason for reason, found in STATUS_OF.items() if found == status)
    for status in STATUS_OF.values()
}
# When to come back, with a new Idempotency-Key, after a refusal that says nothing about the payment itself.
RETRY_AFTER_S: Final = 1
_STATUS_WORDS: Final = {None: "processing", Decision.COMMIT: "succeeded", Decision.ABORT: "failed"}


def describe(row: Row[Any]) -> dict[str, Any]:
    """A payment or refund as its owner sees it."""
    body: dict[str, Any] = {
        "gid": row.gid,
        "status": _STATUS_WORDS[row.decision],
        "order_no": row.order_no,
        "amount_minor": row.amount_minor,
        "currency": row.currency,
        "method": row.method,
    }
    if row.kind == "refund":
        body["payment_gid"] = row.payment_gid
    if row.decision == Decision.ABORT:
        body["reason"] = row.reason
    if row.return_url:
        body["return_url"] = row.return_url
    return body


def describe_to_operator(row: Row[Any]) -> dict[str, Any]:
    """A transaction with everything the coordinator knows of it."""
    return dict(row._mapping)


def first_answer(row: Row[Any], *, replayed: bool) -> Response:
    """The answer to the request that began (or, replayed, had begun) this transaction."""
    headers = {"Idempotent-Replayed": "true"} if replayed else {}
    body = describe(row)
    if row.decision != Decision.ABORT:
        return JSONResponse(body, 201, headers)
    status = STATUS_OF.get(row.reason, 409)
    if status == 503:
        headers["Retry-After"] = str(RETRY_AFTER_S)
    problem = Problem(
        status,
        row.reason or "failed",
        f"The {row.kind} failed",
        "nothing was charged" if row.kind == "payment" else "nothing was refunded",
        extra=body,
        headers=headers,
    )
    return problem.response()
