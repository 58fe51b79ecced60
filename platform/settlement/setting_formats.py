"""Settings that are texts with a grammar of their own: what is wrong with one, sentence by sentence; empty if nothing.

Whoever uses such a text and whoever takes it in ask the same function, so that no version of the settings holds a text
that a service would stumble over later.
"""

from __future__ import annotations

import re
from ipaddress import ip_address
from typing import Final
from urllib.parse import urlsplit

HOSTS_MAX: Final = 100
_HOST: Final = re.compile(r"[a-z0-9_]([a-z0-9_.-]{0,251}[a-z0-9_])?", re.IGNORECASE)


def host_problems(text: str) -> list[str]:
    """Of a list of host names and addresses, separated by commas; an empty list names nobody."""
    names = hosts_of(text)
    if len(names) > HOSTS_MAX:
        return [f"more than {HOSTS_MAX} hosts"]
    return [f"{name[:60]!r} is no host: a name or an address, without scheme and port" for name in sorted(names)
            if not (_HOST.fullmatch(name) or _is_address(name))]  # fmt: skip


def hosts_of(text: str) -> set[str]:
    """The hosts that such a list names, in lower case."""
    return {name for part in text.split(",") if (name := part.strip().lower())}


def _is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True


def storage_problems(url: str) -> list[str]:
    """Of the address under which reports are kept; an empty one is the service's own folder."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return [_not_at(url)]
    folder = parts.scheme == "file" and parts.path.startswith("/") and not parts.netloc
    bucket = parts.scheme == "s3" and bool(parts.netloc)
    return [] if not url or folder or bucket else [_not_at(url)]


def _not_at(url: str) -> str:
    return f"reports can be kept at file:///folder or s3://bucket/prefix, not at {url[:100]!r}"
