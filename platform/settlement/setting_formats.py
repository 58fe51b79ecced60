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
LEVELS: Final = ("DEBUG", "INFO", "WARNING", "ERROR")
LOGGERS_MAX: Final = 50
_LEVEL: Final = re.compile(r"(?P<logger>[A-Za-z_][A-Za-z0-9_.]{0,99})=(?P<level>[A-Z]+)")
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
    return {name.lower() for name in _parts(text)}


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


def level_problems(text: str) -> list[str]:
    """Of a list of log levels, like `gateway=DEBUG, aiohttp.client=ERROR`."""
    found, named = list[str](), set[str]()
    rules = _parts(text)
    if len(rules) > LOGGERS_MAX:
        return [f"more than {LOGGERS_MAX} loggers"]
    for rule in rules:
        match = _LEVEL.fullmatch(rule)
        if match is None:
            found.append(f"{rule[:60]!r} is not of the form logger=LEVEL")
        elif match["level"] not in LEVELS:
            found.append(f"{rule[:60]!r}: expected one of {', '.join(LEVELS)}")
        elif match["logger"] in named:
            found.append(f"{match['logger']} has two levels; one is possible")
        else:
            named.add(match["logger"])
    return found


def levels_of(text: str) -> dict[str, str]:
    """Logger -> level of such a list, which has no problems."""
    return dict(rule.split("=", 1) for rule in _parts(text))


def _parts(text: str) -> list[str]:
    return [rule for part in text.split(",") if (rule := part.strip())]
