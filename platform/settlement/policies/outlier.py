"""Outlier ejection: a replica that fails several times in a row is left alone for a while, longer each time.

Never more than half of the replicas at once: when everything fails, the fault is elsewhere, and calling is better
than not calling. A refused connection is another matter: nobody is there, however many others are not there either.
One is enough, and as long as anybody is left, nobody who refused is called; a registry that keeps the dead on its list
costs a caller one attempt for each of them.
"""

from __future__ import annotations

from collections.abc import Sequence, Set
from dataclasses import dataclass


@dataclass
class _Record:
    failures_in_row: int = 0
    ejections: int = 0
    refused: bool = False
    ejected_until_ms: float = 0.0


class OutlierEjection:
    """Remembers failures per address and says which addresses may be called."""

    def __init__(
        self,
        failures_to_eject: int = 3,
        ejection_base_ms: float = 1_000.0,
        ejection_max_ms: float = 10_000.0,
        ejected_share_max: float = 0.5,
    ) -> None:
        self._failures_to_eject = failures_to_eject
        self._ejection_base_ms = ejection_base_ms
        self._ejection_max_ms = ejection_max_ms
        self._ejected_share_max = ejected_share_max
        self._records: dict[str, _Record] = {}

    def succeeded(self, address: str) -> None:
        """A call was answered: the address starts over with a clean record."""
        self._records.pop(address, None)

    def failed(self, address: str, now_ms: float, *, refused: bool = False) -> None:
        """A call was not answered, or answered with an error of the server; `refused`: not even a connection."""
        record = self._records.setdefault(address, _Record())
        record.failures_in_row += 1
        record.refused = refused
        enough = refused or record.failures_in_row >= self._failures_to_eject
        if enough and now_ms >= record.ejected_until_ms:
            pause_ms = min(self._ejection_max_ms, self._ejection_base_ms * 2**record.ejections)
            record.ejections = min(record.ejections + 1, 30)
            record.ejected_until_ms = now_ms + pause_ms

    def allowed(self, addresses: Sequence[str], now_ms: float) -> list[str]:
        """The addresses that may be called, in the given order; never empty unless `addresses` is."""
        ejected = {address for address in addresses if self._ejected_until(address) > now_ms}
        if not ejected:
            return list(addresses)
        there = [address for address in addresses if address not in ejected or not self._records[address].refused]
        there = there or list(addresses)
        may_stay = int(len(there) * self._ejected_share_max)
        # Those that come back last stay out; the others have to serve although they failed.
        out = sorted(ejected & set(there), key=lambda address: (-self._ejected_until(address), address))[:may_stay]
        return [address for address in there if address not in out]

    def forget(self, known: Set[str]) -> None:
        """Drop the records of addresses that are not in `known`."""
        self._records = {address: record for address, record in self._records.items() if address in known}

    def _ejected_until(self, address: str) -> float:
        record = self._records.get(address)
        return record.ejected_until_ms if record is not None else 0.0
