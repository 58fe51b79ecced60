"""Settings by profile, in versions that are only ever added: written, rolled back, compared, watched."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from settlement.chassis.app import Chassis
from settlement.chassis.database import Transaction
from settlement.chassis.problems import Problem
from settlement.services.configcenter.model import config_versions
from settlement.settings import PROFILES, validate

PAGE_MAX: Final = 100
WRITE_ATTEMPTS_MAX: Final = 5

_LATEST: Final = (
    sa.select(config_versions.c.version, config_versions.c.document)
    .where(config_versions.c.profile == sa.bindparam("profile"))
    .order_by(config_versions.c.version.desc())
    .limit(1)
)
_ONE: Final = (
    sa.select(config_versions)
    .where(config_versions.c.profile == sa.bindparam("profile"))
    .where(config_versions.c.version == sa.bindparam("version"))
)


@dataclass(frozen=True)
class Change:
    """A version to be written: who, why, on which version it is based (None: on any), where it was taken from."""

    values: Mapping[str, Any]
    author: str
    comment: str
    expected: int | None = None
    restored_from: int | None = None


class Config:
    """Versioned settings. A profile nobody wrote yet is at version 0 and has no values."""

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
            # Before looking: a change made while the database is asked must not be slept through.
            changed = self._changed
            found = await self.latest(profile)
            left_s = deadline_s - loop.time()
            if found[0] != after or left_s <= 0 or self._chassis.stopping.is_set():
                return found
            await _set_or_timeout(changed, left_s)

    async def put(self, profile: str, change: Change) -> int:
        """Write a new version.

        Raises Problem 422 listing everything that is wrong with the values, 412 if the profile has moved on.
        """
        problems = validate(change.values)
        if problems:
            raise Problem(
                422, "invalid_settings", "Settings are wrong", "; ".join(problems), extra={"errors": problems}
            )
        version, before = await self._written(profile, change)
        self.wake()
        self._chassis.log.info(
            "config_changed",
            profile=profile,
            version=version,
            author=change.author,
            comment=change.comment,
            restored_from=change.restored_from,
            changes=differences(before, change.values),
        )
        return version

    async def roll_back(self, profile: str, version: int, author: str, comment: str, expected: int | None) -> int:
        """Write a new version with the values of an old one. Raises Problem 404, 412 or 422."""
        values = await self.values_of(profile, version)
        reason = comment or f"rolled back to version {version}"
        return await self.put(profile, Change(values, author, reason, expected, restored_from=version))

    async def values_of(self, profile: str, version: int) -> dict[str, Any]:
        """The values of any version; version 0 has none. Raises Problem 404."""
        if version == 0:
            return {}
        values: dict[str, Any] = (await self.version(profile, version))["values"]
        return values

    async def version(self, profile: str, version: int) -> dict[str, Any]:
        """One version with author, comment and time. Raises Problem 404."""
        rows = await self._chassis.database.read(_ONE, {"profile": profile, "version": version})
        if not rows:
            raise Problem(404, "no_such_version", f"The profile {profile} has no version {version}")
        return _shown(rows[0])

    async def history(self, profile: str, before: int | None, limit: int) -> list[dict[str, Any]]:
        """Up to `limit` versions below `before` (None: from the latest), newest first."""
        statement = sa.select(config_versions).where(config_versions.c.profile == profile)
        if before is not None:
            statement = statement.where(config_versions.c.version < before)
        statement = statement.order_by(config_versions.c.version.desc()).limit(limit)
        return [_shown(row) for row in await self._chassis.database.read(statement)]

    async def profiles(self) -> dict[str, int]:
        """The version in force of every profile."""
        return {profile: (await self.latest(profile))[0] for profile in PROFILES}

    def wake(self) -> None:
        """Let every watcher look again."""
        self._changed.set()
        self._changed = asyncio.Event()

    async def _written(self, profile: str, change: Change) -> tuple[int, dict[str, Any]]:
        for _ in range(WRITE_ATTEMPTS_MAX):
            try:
                return await self._chassis.database.run(lambda tx: self._write(tx, profile, change))
            except IntegrityError:
                continue  # somebody wrote this very version meanwhile; the next look sees theirs
        raise Problem(409, "written_at_once", "Others keep writing versions; try again")

    async def _write(self, tx: Transaction, profile: str, change: Change) -> tuple[int, dict[str, Any]]:
        found = await tx.execute(_LATEST.with_for_update(), {"profile": profile})
        latest = found.first()
        current = latest.version if latest else 0
        if change.expected is not None and change.expected != current:
            detail = f"the change is based on version {change.expected}, in force is {current}"
            raise Problem(412, "version_conflict", "The profile has changed", detail, extra={"version": current})
        row = {
            "profile": profile,
            "version": current + 1,
            "document": json.dumps(change.values),
            "author": change.author,
            "comment": change.comment,
            "restored_from": change.restored_from,
            "created_at_ms": self._chassis.clock.now_ms(),
        }
        await tx.execute(sa.insert(config_versions), row)
        return current + 1, json.loads(latest.document) if latest else {}


def differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """What changed, by name: `{"before": ..., "after": ...}`, null where the default holds."""
    names = sorted(name for name in {**before, **after} if before.get(name) != after.get(name))
    return {name: {"before": before.get(name), "after": after.get(name)} for name in names}


async def _set_or_timeout(event: asyncio.Event, left_s: float) -> None:
    try:
        async with asyncio.timeout(left_s):
            await event.wait()
    except TimeoutError:
        return


def _shown(row: Any) -> dict[str, Any]:
    return {
        "version": row.version,
        "values": json.loads(row.document),
        "author": row.author,
        "comment": row.comment,
        "restored_from": row.restored_from,
        "created_at_ms": row.created_at_ms,
    }
