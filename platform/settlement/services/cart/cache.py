"""The cached list of a cart.

Replicas share the database but not their memory, so dropping an entry on a local write is not enough: another replica
would order from a cart that its user has long changed. An entry is therefore only as good as the version it was read
at, and every look-up asks the database for the version, one row by primary key. That is never stale, and spares
reading and rendering the list.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

USERS_MAX = 10_000


@dataclass(frozen=True, slots=True)
class CachedCart:
    """A cart as JSON, and the version it was read at."""

    version: int
    body: bytes


class CartCache:
    """The carts used last, at most USERS_MAX of them."""

    def __init__(self, users_max: int = USERS_MAX) -> None:
        self._users_max = users_max
        self._entries: OrderedDict[int, CachedCart] = OrderedDict()
        self.hits = 0
        self.misses = 0

    def get(self, user_id: int, version: int) -> bytes | None:
        """The cart at exactly this version, or None."""
        entry = self._entries.get(user_id)
        if entry is None or entry.version != version:
            self.misses += 1
            return None
        self.hits += 1
        self._entries.move_to_end(user_id)
        return entry.body

    def put(self, user_id: int, version: int, body: bytes) -> None:
        """Remember a cart, forgetting the one used longest ago if there are too many."""
        self._entries[user_id] = CachedCart(version, body)
        self._entries.move_to_end(user_id)
        if len(self._entries) > self._users_max:
            self._entries.popitem(last=False)
