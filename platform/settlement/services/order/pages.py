"""The list of goods as bytes, and how it is served when there is no time to read it.

Normally every request reads the database, because the list shows the stock of now. While the feature `goods_list` is
degraded (see `chassis/degradation.py`) a page read within the last STALE_MS is served again: browsing goes on, and
ordering checks the stock anyway.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from settlement.policies.request_cache import RequestCache
from settlement.services.order.catalogue import Catalogue

if TYPE_CHECKING:
    from settlement.chassis.clock import Clock

STALE_MS: Final = 30_000
PAGES_MAX: Final = 256


class Pages:
    """Pages of the list; `degraded` says whether old ones will do."""

    def __init__(self, catalogue: Catalogue, clock: Clock, degraded: Callable[[], bool]) -> None:
        self._catalogue = catalogue
        self._clock = clock
        self._degraded = degraded
        self._known: RequestCache[bytes] = RequestCache(PAGES_MAX, STALE_MS)

    async def page(self, *, after: int, limit: int) -> bytes:
        """A `GoodsPage` as JSON."""
        key, now_ms = f"{after} {limit}", self._clock.monotonic_ms()
        if self._degraded():
            known = self._known.fresh(key, now_ms)
            if known is not None:
                return known
        body = (await self._catalogue.page(after=after, limit=limit)).model_dump_json().encode()
        self._known.put(key, body, now_ms)
        return body
