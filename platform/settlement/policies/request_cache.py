"""A bounded cache of answers: each good for its time to live, the one used longest ago forgotten first.

What has gone stale may be kept for a while longer, for the day on which its source cannot be asked: `find` says which
it is. That only one of many callers fetches what is missing is the business of whoever can wait, not of the cache.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import Generic, TypeVar

Value = TypeVar("Value")


@dataclass(frozen=True, slots=True)
class Found(Generic[Value]):
    """What was remembered; `fresh` is false once its time to live is over."""

    value: Value
    fresh: bool
    age_ms: float


class RequestCache(Generic[Value]):
    """Answers by key; at most `entries_max`, kept `stale_ms` beyond their time to live."""

    def __init__(self, entries_max: int, ttl_ms: float, stale_ms: float = 0.0) -> None:
        if entries_max < 1:
            raise ValueError(f"a cache of {entries_max} entries")
        self._entries_max = entries_max
        self._ttl_ms = ttl_ms
        self._stale_ms = stale_ms
        self._entries: OrderedDict[str, tuple[float, Value]] = OrderedDict()
        self.hits = 0
        self.misses = 0

    def __len__(self) -> int:
        """Entries remembered."""
        return len(self._entries)

    def follow(self, ttl_ms: float, stale_ms: float = 0.0) -> None:
        """Take new values from the settings; they count for what is remembered already."""
        self._ttl_ms = ttl_ms
        self._stale_ms = stale_ms

    def find(self, key: str, now_ms: float) -> Found[Value] | None:
        """The answer remembered for this key, fresh or stale; None if there is none or it is too old."""
        entry = self._entries.get(key)
        age_ms = now_ms - entry[0] if entry is not None else 0.0
        if entry is None or age_ms >= self._ttl_ms + self._stale_ms:
            self._entries.pop(key, None)
            self.misses += 1
            return None
        self._entries.move_to_end(key)
        fresh = age_ms < self._ttl_ms
        self.hits += fresh
        self.misses += not fresh
        return Found(entry[1], fresh, age_ms)

    def fresh(self, key: str, now_ms: float) -> Value | None:
        """The answer, if it is within its time to live."""
        found = self.find(key, now_ms)
        return found.value if found is not None and found.fresh else None

    def put(self, key: str, value: Value, now_ms: float) -> None:
        """Remember an answer that was true at `now_ms`; an older one never replaces a newer one."""
        known = self._entries.get(key)
        if known is not None and known[0] > now_ms:
            return
        self._entries[key] = (now_ms, value)
        self._entries.move_to_end(key)
        if len(self._entries) > self._entries_max:
            self._entries.popitem(last=False)

    def drop(self, key: str) -> None:
        """Forget one answer."""
        self._entries.pop(key, None)

    def clear(self) -> None:
        """Forget everything."""
        self._entries.clear()
