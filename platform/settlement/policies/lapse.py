"""Patience with a registry that suddenly knows nobody of a service.

On a starved machine the leases of a healthy service can all run out before anybody gets to renew them. Then the last
known replicas are the better guess: one that lives answers, and one that is dead refuses the connection, which is as
certain as having nobody to call. So a list that became empty is ignored for a bounded time. A list that merely became
shorter is believed, for there is somebody else to call.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, Generic, TypeVar

KEPT_MS: Final = 5_000.0

Entry = TypeVar("Entry")


class LastKnown(Generic[Entry]):
    """The last replicas heard of, by service; those of a service that is gone stay for `kept_ms` more."""

    def __init__(self, kept_ms: float = KEPT_MS) -> None:
        self._kept_ms = kept_ms
        self._known: dict[str, tuple[Entry, ...]] = {}
        self._gone_since_ms: dict[str, float] = {}

    def after(self, heard: Mapping[str, Sequence[Entry]], now_ms: float) -> dict[str, tuple[Entry, ...]]:
        """Take in what the registry says at `now_ms` (any clock that only goes forward); returns whom to call."""
        for service, entries in heard.items():
            if entries:
                self._known[service] = tuple(entries)
                self._gone_since_ms.pop(service, None)
        for service in [service for service in self._known if not heard.get(service)]:
            if now_ms - self._gone_since_ms.setdefault(service, now_ms) >= self._kept_ms:
                del self._known[service], self._gone_since_ms[service]
        return dict(self._known)
