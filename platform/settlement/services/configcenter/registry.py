"""The registry: one for our services and for Eureka clients. Leases in memory, registrations in the database.

Three things keep it from doing harm when it, rather than the others, is in trouble:

- **Self-preservation** (`policies.preservation`): while many are silent at once, no lease ends.
- **Memory**: registrations are in the database, so that a restarted registry knows everybody; each has one lease's time
  to be heard, and who is not is dropped as usual.
- **Warming up**: a registry that starts with an empty database cannot know whether it is new or robbed. For one
  lease's time it says so with its list, and those who ask forget nobody.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

import sqlalchemy as sa
from prometheus_client import Counter, Gauge

from settlement.chassis.app import Chassis
from settlement.chassis.database import Transaction
from settlement.chassis.problems import Problem
from settlement.policies.preservation import preserves
from settlement.services.configcenter.eureka_codec import InvalidInstance, Status
from settlement.services.configcenter.leases import HeldLease, Leases
from settlement.services.configcenter.model import registrations
from settlement.services.configcenter.registration import Key, Registration, restored

REGISTRATIONS_MAX: Final = 1_000

_FORGET: Final = (
    sa.delete(registrations)
    .where(registrations.c.service == sa.bindparam("of_service"))
    .where(registrations.c.replica == sa.bindparam("of_replica"))
)


class Registry:
    """Who is where, and whether they are well."""

    def __init__(self, chassis: Chassis) -> None:
        self._chassis = chassis
        self.leases = Leases()
        self.preserving = False
        self._warm_at_ms = chassis.clock.monotonic_ms()
        # What the database does not have yet: after an error it is written with the next change.
        self._unsaved: set[Key] = set()
        self._saving = asyncio.Lock()
        metrics = chassis.metrics.registry
        self._held = Gauge("paylab_registry_leases", "Replicas registered", registry=metrics)
        self._preserved = Gauge(
            "paylab_registry_self_preservation", "1 while no lease may end because many are silent", registry=metrics
        )
        self._evicted = Counter("paylab_registry_evictions", "Leases that ran out and were dropped", registry=metrics)

    @property
    def warming(self) -> bool:
        """Whether it began with nothing, too short a time ago to have heard everybody."""
        return self._chassis.clock.monotonic_ms() < self._warm_at_ms

    async def load(self) -> None:
        """Take over what was registered before a restart; without anything, begin to warm up."""
        rows = await self._chassis.database.read(sa.select(registrations))
        at_ms, now_ms = self._now()
        for row in rows:
            self.leases.put(restored(json.loads(row.document)), at_ms, now_ms, restored=True)
        if not rows:
            self._warm_at_ms = now_ms + self._chassis.settings.integer("registry.lease_ms")

    async def register(self, registration: Registration) -> bool:
        """Enter a replica or change it; returns whether it is new. Raises Problem 503 when the registry is full."""
        known = self.leases.get(registration.key)
        if known is None and len(self.leases) >= REGISTRATIONS_MAX:
            raise Problem(503, "registry_full", "Too many replicas are registered")
        if known is not None and registration.override is None:
            # An operator's word outlives a restart of the replica.
            registration = replace(registration, override=known.registration.override)
        changed = known is None or known.registration != registration
        self.leases.put(registration, *self._now())
        if changed:
            self._chassis.log.info("registered", registered=registration.replica, address=registration.address)
            await self._save([registration.key])
        return known is None

    def renew(self, key: Key, dirty_at_ms: int = 0) -> None:
        """Extend a lease. Raises Problem 404: register again.

        `dirty_at_ms` is when an Eureka client last changed; if that is news, it has to register again, too.
        """
        held = self.held(key)
        described = held.registration.eureka
        if described is not None and dirty_at_ms > described.dirty_at_ms:
            raise Problem(404, "registration_outdated", "This replica has changed; register it again")
        self.leases.renew(key, *self._now())

    def held(self, key: Key) -> HeldLease:
        """The lease of a replica. Raises Problem 404."""
        held = self.leases.get(key)
        if held is None:
            raise Problem(404, "not_registered", "This replica is not registered; register it again")
        return held

    async def deregister(self, key: Key) -> None:
        """Remove a replica. Raises Problem 404."""
        self.held(key)
        self.leases.remove([key], *self._now())
        self._chassis.log.info("deregistered", deregistered=key[1])
        await self._save([key])

    async def override(self, key: Key, status: Status | None) -> None:
        """Say, or no longer say, what status counts for a replica. Raises Problem 404."""
        held = self.held(key)
        await self._change(replace(held.registration, override=status))
        self._chassis.log.warning("status_overridden", overridden=key[1], status=status and status.value)

    async def set_metadata(self, key: Key, changes: dict[str, str]) -> None:
        """Change metadata, by it weight and version too. Raises Problem 404 or 400."""
        held = self.held(key)
        try:
            changed = held.registration.with_metadata(changes)
        except InvalidInstance as error:
            raise Problem(400, "invalid_metadata", "Metadata is wrong", str(error)) from error
        await self._change(changed)
        self._chassis.log.info("metadata_changed", changed=key[1], metadata=changes)

    async def expire(self) -> None:
        """Drop every replica whose lease ran out, unless so many are silent that the registry may be deaf."""
        at_ms, now_ms = self._now()
        self._judge(now_ms)
        dropped = [held.registration.key for held in self.leases.ended(now_ms) if not self._keeps(held, now_ms)]
        if dropped:
            self.leases.remove(dropped, at_ms, now_ms)
            self._evicted.inc(len(dropped))
            self._chassis.log.warning("leases_expired", replicas=[replica for _, replica in dropped])
        self._held.set(len(self.leases))
        if dropped or self._unsaved:
            await self._save(dropped)

    def snapshot(self) -> dict[str, Any]:
        """The registry as `GET /registry` shows it."""
        services: dict[str, list[dict[str, Any]]] = {}
        for held in self.leases:
            found = held.registration
            entry = {
                "replica": found.replica,
                "address": found.address,
                "version": found.version,
                "weight": found.weight,
                "status": found.standing.value,
            }
            services.setdefault(found.service, []).append(entry)
        return {"version": self.leases.version, "warming": self.warming, "services": services}

    def status(self) -> dict[str, Any]:
        """How the registry itself is."""
        _, now_ms = self._now()
        silent, processes = self._silent(now_ms)
        return {
            "version": self.leases.version,
            "warming": self.warming,
            "self_preservation": self.preserving,
            "leases": len(self.leases),
            "processes": processes,
            "processes_silent": silent,
            "leases_kept": [held.registration.replica for held in self.leases.ended(now_ms)],
        }

    def changes(self) -> list[Any]:
        """The recent changes as Eureka instances."""
        return self.leases.changes(self._chassis.clock.monotonic_ms())

    def _judge(self, now_ms: float) -> None:
        settings = self._chassis.settings
        silent, processes = self._silent(now_ms)
        share_min, silent_min = settings.number("registry.preservation_share"), "registry.preservation_silent_min"
        preserving = preserves(silent, processes, share_min, settings.integer(silent_min))
        if preserving != self.preserving:
            tell = self._chassis.log.warning if preserving else self._chassis.log.info
            tell("self_preservation_begun" if preserving else "self_preservation_ended", silent=silent, of=processes)
        self.preserving = preserving
        self._preserved.set(preserving)

    def _silent(self, now_ms: float) -> tuple[int, int]:
        return self.leases.silent(now_ms, self._chassis.settings.number("registry.preservation_silence_share"))

    def _keeps(self, held: HeldLease, now_ms: float) -> bool:
        kept_ms = self._chassis.settings.integer("registry.preservation_max_ms")
        return self.preserving and not held.restored and now_ms - held.ends_ms() < kept_ms

    async def _change(self, registration: Registration) -> None:
        self.leases.change(registration, *self._now())
        await self._save([registration.key])

    async def _save(self, keys: Sequence[Key]) -> None:
        """Bring the database up to what is in memory by now; one at a time, so that the last word stays the last."""
        self._unsaved.update(keys)
        async with self._saving:
            saved = set(self._unsaved)
            await self._chassis.database.run(lambda tx: self._write(tx, sorted(saved)))
            self._unsaved -= saved

    async def _write(self, tx: Transaction, keys: Sequence[Key]) -> None:
        for service, replica in keys:
            await tx.execute(_FORGET, {"of_service": service, "of_replica": replica})
            held = self.leases.get((service, replica))
            if held is not None:
                await tx.execute(sa.insert(registrations), _row(held))

    def _now(self) -> tuple[int, float]:
        return self._chassis.clock.now_ms(), self._chassis.clock.monotonic_ms()


def _row(held: HeldLease) -> dict[str, Any]:
    found = held.registration
    document = json.dumps(found.stored())
    return {
        "service": found.service,
        "replica": found.replica,
        "document": document,
        "registered_at_ms": held.registered_at_ms,
    }
