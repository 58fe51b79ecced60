"""argon2id, off the event loop: one hash takes milliseconds, and argon2 lets go of the interpreter meanwhile."""

from __future__ import annotations

import asyncio
import os
from typing import Final

from argon2.exceptions import VerificationError
from argon2.low_level import Type, hash_secret, verify_secret

from settlement.chassis.live_settings import LiveSettings

SALT_BYTES: Final = 16
HASH_BYTES: Final = 32


class Passwords:
    """Hashes and verifies with the parameters in force; at most two hashes at a time, for each fills its memory."""

    def __init__(self, settings: LiveSettings) -> None:
        self._settings = settings
        self._slots = asyncio.Semaphore(2)
        self._decoy = ""

    async def hashed(self, password: str) -> tuple[str, str]:
        """The encoded hash (with its parameters) and the salt in hex."""
        salt = os.urandom(SALT_BYTES)
        async with self._slots:
            encoded = await asyncio.to_thread(self._hash, password, salt)
        return encoded, salt.hex()

    async def matches(self, encoded: str | None, password: str) -> bool:
        """Whether the password belongs to the hash; None takes as long as a wrong password does."""
        if encoded is None:
            await self._matches(await self._decoy_hash(), password)
            return False
        return await self._matches(encoded, password)

    async def prepare(self) -> None:
        """Hash the decoy in advance, or the first login that nobody has would take twice as long."""
        await self._decoy_hash()

    async def _decoy_hash(self) -> str:
        # A login that nobody has must not answer faster: that would tell which logins exist.
        if not self._decoy:
            self._decoy, _ = await self.hashed("nobody's password")
        return self._decoy

    async def _matches(self, encoded: str, password: str) -> bool:
        async with self._slots:
            return await asyncio.to_thread(_verify, encoded, password)

    def _hash(self, password: str, salt: bytes) -> str:
        time_cost = self._settings.integer("usercenter.argon2_time_cost")
        memory_kib = self._settings.integer("usercenter.argon2_memory_kib")
        return hash_secret(password.encode(), salt, time_cost, memory_kib, 1, HASH_BYTES, Type.ID).decode()


def _verify(encoded: str, password: str) -> bool:
    try:
        return verify_secret(encoded.encode(), password.encode(), Type.ID)
    except VerificationError:
        return False
