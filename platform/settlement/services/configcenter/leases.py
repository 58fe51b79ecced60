"""Leases in memory: who renewed when, who has fallen silent, what changed lately. No I/O; the clock comes in.

`now_ms` is a monotonic clock and decides, `at_ms` is the wall clock and is only told to clients.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from settlement.policies.preservation import silent_origins
from settlement.services.configcenter.eureka_codec import Action, Instance, Lease
from settlement.services.configcenter.registration import Key, Registration, instance_in

# As long as Eureka remembers them: a client that asks more seldom compares hash codes and fetches everything.
CHANGES_KEPT_MS: Final = 180_000
CHANGES_MAX: Final = 2_000


@dataclass
class HeldLease:
    """A registration with its lease; `restored` as long as nobody was heard since the registry started."""

    registration: Registration
    registered_at_ms: int
    renewed_at_ms: int
    updated_at_ms: int
    heard_ms: float
    restored: bool = False

    def ends_ms(self) -> float:
        """When it ends unless it is renewed, on the monotonic clock."""
        return self.heard_ms + self.registration.lease_ms

    def is_silent(self, now_ms: float, silence_share: float) -> bool:
        """Whether nothing was heard for this share of the lease."""
        return now_ms - self.heard_ms > silence_share * self.registration.lease_ms

    def instance(self, action: Action = Action.ADDED, evicted_at_ms: int = 0) -> Instance:
        """In Eureka's words."""
        lease = Lease(
            registered_at_ms=self.registered_at_ms,
            renewed_at_ms=self.renewed_at_ms,
            evicted_at_ms=evicted_at_ms,
            up_since_ms=self.registered_at_ms,
        )
        return instance_in(self.registration, lease, self.updated_at_ms, action)


class Leases:
    """All leases, by service and replica, and the recent changes. `version` grows with every change."""

    def __init__(self) -> None:
        self._held: dict[Key, HeldLease] = {}
        self._changes: dict[Key, tuple[float, Instance]] = {}
        self.version = 1

    def __len__(self) -> int:
        return len(self._held)

    def __iter__(self) -> Iterator[HeldLease]:
        return iter([self._held[key] for key in sorted(self._held)])

    def get(self, key: Key) -> HeldLease | None:
        """The lease of a replica."""
        return self._held.get(key)

    def put(self, registration: Registration, at_ms: int, now_ms: float, restored: bool = False) -> None:
        """Enter or change a registration; its lease begins anew."""
        known = self._held.get(registration.key)
        since_ms = at_ms if known is None else known.registered_at_ms
        held = HeldLease(registration, since_ms, at_ms, at_ms, now_ms, restored)
        self._held[registration.key] = held
        if not restored and (known is None or known.registration != registration):
            self._changed(held.instance(Action.ADDED if known is None else Action.MODIFIED), registration.key, now_ms)

    def change(self, registration: Registration, at_ms: int, now_ms: float) -> None:
        """Change what is known of a replica, and leave its lease as it is: the replica itself was not heard."""
        held = self._held[registration.key]
        if held.registration == registration:
            return
        held.registration, held.updated_at_ms = registration, at_ms
        self._changed(held.instance(Action.MODIFIED), registration.key, now_ms)

    def renew(self, key: Key, at_ms: int, now_ms: float) -> bool:
        """The replica was heard; False if it is not registered."""
        held = self._held.get(key)
        if held is None:
            return False
        held.renewed_at_ms, held.heard_ms, held.restored = at_ms, now_ms, False
        return True

    def remove(self, keys: Iterable[Key], at_ms: int, now_ms: float) -> None:
        """Forget replicas."""
        for key in keys:
            held = self._held.pop(key)
            held.updated_at_ms = at_ms
            self._changed(held.instance(Action.DELETED, evicted_at_ms=at_ms), key, now_ms)

    def ended(self, now_ms: float) -> list[HeldLease]:
        """The leases that ran out."""
        return [held for held in self._held.values() if held.ends_ms() < now_ms]

    def silent(self, now_ms: float, silence_share: float) -> tuple[int, int]:
        """How many processes are silent, and of how many; those not heard since the registry started do not count."""
        heard = [held for held in self._held.values() if not held.restored]
        origins = silent_origins((held.registration.origin, held.is_silent(now_ms, silence_share)) for held in heard)
        return sum(origins.values()), len(origins)

    def changes(self, now_ms: float) -> list[Instance]:
        """What changed lately, each replica with its last change, oldest first."""
        oldest_ms = now_ms - CHANGES_KEPT_MS
        self._changes = {key: change for key, change in self._changes.items() if change[0] >= oldest_ms}
        return [instance for _, instance in self._changes.values()]

    def _changed(self, instance: Instance, key: Key, now_ms: float) -> None:
        self.version += 1
        self._changes.pop(key, None)
        self._changes[key] = (now_ms, instance)
        if len(self._changes) > CHANGES_MAX:
            del self._changes[next(iter(self._changes))]
