"""The registry (leases in memory, registrations on disk) and the versioned config with its watchers."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import sqlalchemy as sa

from settlement.chassis.app import Chassis
from settlement.chassis.problems import Problem
from settlement.services.configcenter.model import config_versions, registrations
from settlement.services.configcenter.schemas import RegistrationIn
from settlement.settings import validate

HISTORY_MAX: Final = 100
REGISTRATIONS_MAX: Final = 1_000

_FORGET: Final = (
    sa.delete(registrations)
    .where(registrations.c.service == sa.bindparam("of_service"))
    .where(registrations.c.replica == sa.bindparam("of_replica"))
)
_LATEST: Final = (
    sa.select(config_versions.c.version, config_versions.c.document)
    .where(config_versions.c.profile == sa.bindparam("profile"))
    .order_by(config_versions.c.version.desc())
    .limit(1)
)


@dataclass
class _Lease:
    registration: RegistrationIn
    expires_at_ms: float


class Registry:
    """Who is where. `version` grows with every change; renewals change nothing."""

    def __init__(self, chassis: Chassis) -> None:
        self._chassis = chassis
        self._leases: dict[tuple[str, str], _Lease] = {}
        self._version = 1

    async def load(self) -> None:
        """Take over what was registered before a restart; everybody has one lease's time to renew."""
        for row in await self._chassis.database.read(sa.select(registrations)):
            registration = RegistrationIn(
                address=row.address, version=row.version, lease_ms=row.lease_ms, metadata=json.loads(row.metadata)
            )
            self._leases[row.service, row.replica] = self._lease(registration)

    async def register(self, service: str, replica: str, registration: RegistrationIn) -> bool:
        """Enter a replica or move it; returns whether it is new. Raises Problem 503 when the registry is full."""
        known = self._leases.get((service, replica))
        if known is None and len(self._leases) >= REGISTRATIONS_MAX:
            raise Problem(503, "registry_full", "Too many replicas are registered")
        self._leases[service, replica] = self._lease(registration)
        if known is not None and known.registration == registration:
            return False
        self._version += 1
        row = {
            **registration.model_dump(exclude={"metadata"}),
            "metadata": json.dumps(registration.metadata),
            "service": service,
            "replica": replica,
            "registered_at_ms": self._chassis.clock.now_ms(),
        }
        async with self._chassis.database.transaction() as tx:
            await tx.execute(sa.insert(registrations).prefix_with("OR REPLACE", dialect="sqlite"), row)
        self._chassis.log.info("registered", registered=replica, address=registration.address)
        return known is None

    def renew(self, service: str, replica: str) -> None:
        """Extend a lease. Raises Problem 404: register again."""
        lease = self._leases.get((service, replica))
        if lease is None:
            raise Problem(404, "not_registered", "This replica is not registered; register it again")
        self._leases[service, replica] = self._lease(lease.registration)

    async def deregister(self, service: str, replica: str) -> None:
        """Remove a replica. Raises Problem 404."""
        if (service, replica) not in self._leases:
            raise Problem(404, "not_registered", "This replica is not registered")
        await self._remove([(service, replica)])
        self._chassis.log.info("deregistered", deregistered=replica)

    async def expire(self) -> None:
        """Remove every replica whose lease ran out."""
        now_ms = self._chassis.clock.monotonic_ms()
        expired = [key for key, lease in self._leases.items() if lease.expires_at_ms < now_ms]
        if expired:
            await self._remove(expired)
            self._chassis.log.warning("leases_expired", replicas=[replica for _, replica in expired])

    def snapshot(self) -> dict[str, Any]:
        """The registry as `GET /registry` shows it."""
        services: dict[str, list[dict[str, str]]] = {}
        for (service, replica), lease in sorted(self._leases.items(), key=lambda item: item[0]):
            entry = {
                "replica": replica,
                "address": lease.registration.address,
                "version": lease.registration.version,
            }
            services.setdefault(service, []).append(entry)
        return {"version": self._version, "services": services}

    async def _remove(self, keys: list[tuple[str, str]]) -> None:
        for key in keys:
            del self._leases[key]
        self._version += 1
        async with self._chassis.database.transaction() as tx:
            for service, replica in keys:
                await tx.execute(_FORGET, {"of_service": service, "of_replica": replica})

    def _lease(self, registration: RegistrationIn) -> _Lease:
        return _Lease(registration, self._chassis.clock.monotonic_ms() + registration.lease_ms)


class Config:
    """Versioned settings by profile. A profile nobody wrote yet is at version 0 and has no values."""

    def __init__(self, chassis: Chassis) -> None:
        self._chassis = chassis
        self._changed = asyncio.Event()

    async def latest(self, profile: str) -> tuple[int, dict[str, Any]]:
        """Version and values in force."""
        rows = await self._chassis.database.read(_LATEST, {"profile": profile})
        return (rows[0].version, json.loads(rows[0].document)) if rows else (0, {})

    async def newer(self, profile: str, after: int, wait_ms: int) -> tuple[int, dict[str, Any]]:
        """The latest version, waiting up to `wait_ms` for one that is not `after`."""
        loop = asyncio.get_running_loop()
        deadline_s = loop.time() + wait_ms / 1_000
        while True:
            found = await self.latest(profile)
            left_s = deadline_s - loop.time()
            if found[0] != after or left_s <= 0 or self._chassis.stopping.is_set():
                return found
            await self._change_or_timeout(left_s)

    async def put(self, profile: str, values: Mapping[str, Any]) -> int:
        """Write a new version. Raises Problem 422 listing everything that is wrong with the values."""
        problems = validate(values)
        if problems:
            raise Problem(
                422, "invalid_settings", "Settings are wrong", "; ".join(problems), extra={"errors": problems}
            )
        version = await self._write(profile, values)
        self.wake()
        self._chassis.log.info("config_changed", profile=profile, version=version)
        return version

    async def history(self, profile: str) -> list[dict[str, Any]]:
        """The last versions, newest first."""
        statement = (
            sa.select(config_versions)
            .where(config_versions.c.profile == profile)
            .order_by(config_versions.c.version.desc())
            .limit(HISTORY_MAX)
        )
        return [
            {"version": row.version, "values": json.loads(row.document), "created_at_ms": row.created_at_ms}
            for row in await self._chassis.database.read(statement)
        ]

    def wake(self) -> None:
        """Let every watcher look again."""
        self._changed.set()
        self._changed = asyncio.Event()

    async def _change_or_timeout(self, left_s: float) -> None:
        try:
            async with asyncio.timeout(left_s):
                await self._changed.wait()
        except TimeoutError:
            return

    async def _write(self, profile: str, values: Mapping[str, Any]) -> int:
        async with self._chassis.database.transaction() as tx:
            latest = (await tx.execute(_LATEST, {"profile": profile})).first()
            version = (latest.version if latest else 0) + 1
            row = {
                "profile": profile,
                "version": version,
                "document": json.dumps(values),
                "created_at_ms": self._chassis.clock.now_ms(),
            }
            await tx.execute(sa.insert(config_versions), row)
        return version
