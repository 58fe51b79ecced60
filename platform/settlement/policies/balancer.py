"""Which replica gets the next call: the one with the fewest calls in flight for its weight; equals take smooth turns.

Least-loaded needs no measurement of latency: a slow replica keeps its calls in flight longer and so gets fewer. A
replica of weight 200 is expected to bear twice the calls of one of weight 100. Among those that are equally loaded
(all of them, when calls are short) the turns follow the weights as in nginx's smooth weighted round robin: each gains
its weight, the richest is picked and pays for all, so that 3:1 is played as a a b a and not as a a a b.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from typing import Final

WEIGHT: Final = 100
WEIGHT_MAX: Final = 1_000


class LeastLoaded:
    """Counts the calls in flight per address and picks the least loaded for its weight."""

    def __init__(self) -> None:
        self._in_flight: dict[str, int] = {}
        self._credit: dict[str, float] = {}

    def pick(self, addresses: Sequence[str], weights: Mapping[str, int] | None = None) -> str:
        """The address to call. Who has no weight given has WEIGHT; weight 0 is picked only if all have it.

        Raises ValueError if there is no address.
        """
        if not addresses:
            raise ValueError("no address to pick from")
        if not weights:
            return self._among_equals(addresses)
        weighed = {address: weights.get(address, WEIGHT) for address in addresses}
        weighed = {address: weight for address, weight in weighed.items() if weight > 0} or dict.fromkeys(weighed, 1)
        loads = {address: self.in_flight(address) / weight for address, weight in weighed.items()}
        least = min(loads.values())
        return self._in_turn({address: weight for address, weight in weighed.items() if loads[address] <= least})

    def _among_equals(self, addresses: Sequence[str]) -> str:
        """The same for equal weights, which is nearly always."""
        in_flight, credit = self._in_flight, self._credit
        if in_flight:
            calls = [in_flight.get(address, 0) for address in addresses]
            least = min(calls)
            addresses = [address for address, count in zip(addresses, calls, strict=True) if count == least]
        if len(addresses) == 1:
            return addresses[0]  # it would gain its weight and pay it at once
        richest, most = "", float("-inf")
        for address in addresses:
            owned = credit[address] = credit.get(address, 0.0) + WEIGHT
            if owned > most:
                richest, most = address, owned
        credit[richest] = most - WEIGHT * len(addresses)
        return richest

    def _in_turn(self, weights: Mapping[str, int]) -> str:
        for address, weight in weights.items():
            self._credit[address] = self._credit.get(address, 0.0) + weight
        chosen = max(weights, key=lambda address: self._credit[address])
        self._credit[chosen] -= sum(weights.values())
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
        self._credit = {address: credit for address, credit in self._credit.items() if address in known}
