"""The keys that sign session tokens: the first signs, all of them verify, so that keys can change without a log-out.

    PAYLAB_JWT_SECRET=2026b:NEW-SECRET,2026a:OLD-SECRET

To rotate: put the new key behind the old one everywhere, then in front, and take the old one out when the last token
that it signed has expired (`usercenter.token_ttl_s`). Taking a key out earlier logs out whoever holds a token of it.
A secret without a name is named after its own hash.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field
from typing import Final

# RFC 7518, 3.2: a key for HS256 has at least as many bits as the hash.
SECRET_LENGTH_MIN: Final = 32
KEYS_MAX: Final = 8
_NAMED: Final = re.compile(r"(?P<kid>[A-Za-z0-9_.-]{1,32}):(?P<secret>.*)", re.DOTALL)


class BadKeys(ValueError):
    """Keys that cannot be used; `problems` has one sentence each, and no secret in it."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


@dataclass(frozen=True, slots=True)
class Key:
    """One secret and its name (the `kid` of the tokens it signed)."""

    kid: str
    secret: str = field(repr=False)


class KeyRing:
    """Keys by name, the signing one first."""

    def __init__(self, keys: list[Key]) -> None:
        problems = _problems(keys)
        if problems:
            raise BadKeys(problems)
        self.signing = keys[0]
        self._secrets = {key.kid: key.secret for key in keys}

    @classmethod
    def parse(cls, text: str) -> KeyRing:
        """Read `kid:secret,kid:secret,...`. Raises BadKeys."""
        return cls([_key(entry.strip()) for entry in text.split(",")])

    def secret_of(self, kid: object) -> str | None:
        """The secret of this name; None if there is none (any more)."""
        return self._secrets.get(kid) if isinstance(kid, str) else None


def _key(entry: str) -> Key:
    named = _NAMED.fullmatch(entry)
    if named is not None:
        return Key(named["kid"], named["secret"])
    return Key(hashlib.sha256(entry.encode()).hexdigest()[:8], entry)


def _problems(keys: list[Key]) -> list[str]:
    problems = [
        f"key {number} is too short (at least {SECRET_LENGTH_MIN} characters)"
        for number, key in enumerate(keys, 1)
        if len(key.secret) < SECRET_LENGTH_MIN
    ]
    if not 1 <= len(keys) <= KEYS_MAX:
        problems.append(f"{len(keys)} keys; expected 1 to {KEYS_MAX}")
    kids = [key.kid for key in keys]
    problems += [f"two keys are called {kid}" for kid in sorted({kid for kid in kids if kids.count(kid) > 1})]
    return problems
