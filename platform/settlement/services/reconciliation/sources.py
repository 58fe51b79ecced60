"""Where both records come from: pages of the channel's statement and of the payment service's movements."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from settlement.chassis.http_client import CallFailed
from settlement.services.reconciliation.comparing import Line, Movement

if TYPE_CHECKING:
    from settlement.chassis.http_client import ServiceClient

PAGE_SIZE = 1_000
ITEMS_MAX = 500_000
_MOVEMENT_FIELDS = tuple(Movement.__slots__)


class SourceFailed(Exception):
    """One side did not tell all of its record; nothing can be concluded."""


async def statement_of(client: ServiceClient, channel: str, from_ms: int, until_ms: int) -> list[Line]:
    """Every line that the channel booked in [from_ms, until_ms). Raises SourceFailed."""
    lines: list[Line] = []
    cursor: dict[str, Any] = {"after": 0}
    while True:
        page = await _page(client, "channel", "/statements", channel, from_ms, until_ms, cursor)
        lines += [line_of(entry) for entry in page["entries"]]
        if page["next_after"] is None:
            return lines
        _require_bounded(len(lines))
        cursor = {"after": page["next_after"]}


async def movements_of(client: ServiceClient, channel: str, from_ms: int, until_ms: int) -> list[Movement]:
    """Every payment and refund of ours through a channel that began in [from_ms, until_ms). Raises SourceFailed."""
    movements: list[Movement] = []
    cursor: dict[str, Any] = {"after_ms": 0, "after": ""}
    while True:
        page = await _page(client, "payment", "/internal/movements", channel, from_ms, until_ms, cursor)
        movements += [Movement(**{name: item[name] for name in _MOVEMENT_FIELDS}) for item in page["movements"]]
        if page["next"] is None:
            return movements
        _require_bounded(len(movements))
        cursor = page["next"]


def line_of(entry: dict[str, Any]) -> Line:
    """A statement's line from its wire form."""
    return Line(
        entry_id=entry["id"],
        kind=entry["kind"],
        out_trade_no=entry["out_trade_no"],
        refund_no=entry["refund_no"],
        amount_minor=entry["amount_minor"],
        currency=entry["currency"],
        booked_at_ms=entry["booked_at_ms"],
    )


async def _page(
    client: ServiceClient, service: str, path: str, channel: str, from_ms: int, until_ms: int, cursor: dict[str, Any]
) -> Any:
    query = {"channel": channel, "from_ms": from_ms, "until_ms": until_ms, "limit": PAGE_SIZE, **cursor}
    try:
        reply = await client.call(service, "GET", f"{path}?{urlencode(query)}", idempotent=True)
    except CallFailed as error:
        raise SourceFailed(f"{service} could not be asked: {error}") from error
    if reply.status != 200:
        raise SourceFailed(f"{service} answered {reply.status}")
    return reply.json


def _require_bounded(count: int) -> None:
    if count >= ITEMS_MAX:
        raise SourceFailed(f"more than {ITEMS_MAX} items: reconcile a shorter period")
