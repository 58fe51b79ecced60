"""Which replica gets the next call: the one with the fewest calls in flight; equals take turns.

Least-loaded needs no measurement of latency: a slow replica keeps its calls in flight longer and so gets fewer.
"""

from __future__ import annotations

from collections.abc import Sequence, Set


class LeastLoaded:
    """Counts the calls in flight per address and picks the least loaded."""

    def __init__(self) -> None:
        self._in_flight: dict[str, int] = {}
        self._picked_at: dict[str, int] = {}
        self._picks = 0

    def pick(self, addresses: Sequence[str]) -> str:
        """The address to call; among equals the one picked longest ago. Raises ValueError if there is none."""
        if not addresses:
            raise ValueError("no address to pick from")
        chosen = min(addresses, key=lambda address: (self.in_flight(address), self._picked_at.get(address, 0)))
        self._picks += 1
        self._picked_at[chosen] = self._picks
        return chosen

    def in_flight(self, address: str) -> int:
        """Calls to this address that have not ended."""
        return self._in_flight.get(address, 0)

    def started(self, address: str) -> None:
        """A call to this address begins."""
        self._in_flight[address] = self.in_flight(address) + 1

    def ended(self, address: str) -> None:
        """A call to this address has ended, however."""
        left = self.in_flight(address) - 1
        if left > 0:
            self._in_flight[address] = left
        else:
            self._in_flight.pop(address, None)

    def forget(self, known: Set[str]) -> None:
        """Drop what is remembered of addresses that are not in `known`."""
        self._picked_at = {address: at for address, at in self._picked_at.items() if address in known}
