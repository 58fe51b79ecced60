"""`--set key=value`: change a scenario from the command line; checked exactly as the file is."""

from dataclasses import dataclass
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from scenarios.spec.problems import Place, shown

OVERRIDE_FILE = "--set"
EXPECTED = "expected key=value, like load.stages.0.rate=50"
SETTINGS_PLACE: Place = ("platform", "settings")  # below it, a key contains dots itself


class UnusableOverride(Exception):
    """An override that leads nowhere; the message says why."""


@dataclass(frozen=True)
class Change:
    """One value to put into a scenario, and where the wish for it was written: `file` and `line`, for messages."""

    key: str
    value: Any
    file: str = OVERRIDE_FILE
    line: int | None = None


def parse_override(text: str) -> Change:
    """What `key=value` asks for. Raises UnusableOverride."""
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        raise UnusableOverride(f"{shown(text)} is no override; {EXPECTED}")
    return Change(key.strip(), yaml_value(value))


def apply_override(data: dict[str, Any], change: Change) -> Place:
    """Change `data`; returns the place that was changed. Raises UnusableOverride."""
    place = _place(change.key)
    owner: Any = data
    for depth in range(len(place) - 1):
        owner = _inside(owner, place, depth)
    return _put(owner, place, change.value)


def _place(key: str) -> Place:
    parts = key.split(".")
    if tuple(parts[:2]) == SETTINGS_PLACE and len(parts) > 2:
        parts = [*SETTINGS_PLACE, ".".join(parts[2:])]  # type: ignore[list-item] # the place holds names only here
    return tuple(int(part) if part.isdigit() else part for part in parts)


def yaml_value(text: str) -> Any:
    """What YAML makes of the right side of an override. Raises UnusableOverride."""
    try:
        return YAML(typ="safe", pure=True).load(text)
    except (YAMLError, ValueError) as error:
        raise UnusableOverride(f"{shown(text)} is no YAML value; {EXPECTED}") from error


def _inside(owner: Any, place: Place, depth: int) -> Any:
    key = _key(owner, place, depth)
    if isinstance(owner, dict) and owner.get(key) is None:
        owner[key] = {}
    return owner[key]


def _put(owner: Any, place: Place, value: Any) -> Place:
    key = _key(owner, place, len(place) - 1)
    owner[key] = value
    return (*place[:-1], key)


def _key(owner: Any, place: Place, depth: int) -> Any:
    key, above = place[depth], ".".join(map(str, place[:depth])) or "the scenario"
    if isinstance(owner, dict):
        return str(key)
    if not isinstance(owner, list):
        raise UnusableOverride(f"{above} is {shown(owner)}, with nothing inside; {EXPECTED}")
    if not isinstance(key, int) or key >= len(owner):
        raise UnusableOverride(f"{above} has no {key}; expected a number from 0 to {len(owner) - 1}")
    return key
