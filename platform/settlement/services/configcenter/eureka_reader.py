"""Reads members of a document whose writers agree on names but not on types: 8080, "8080", true, "true", null.

Problems are collected, not raised, so that whoever sent the document learns of all of them at once.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

TEXT_LENGTH_MAX: Final = 500
KEY_LENGTH_MAX: Final = 64
SHOWN_MAX: Final = 60


class Reader:
    """One object of a document; `problems` is shared with the objects inside it."""

    def __init__(self, members: object, place: str = "instance", problems: list[str] | None = None) -> None:
        self.problems: list[str] = [] if problems is None else problems
        self._place = place
        self._members: Mapping[str, Any] = members if isinstance(members, Mapping) else {}
        if not isinstance(members, Mapping):
            self.problems.append(f"{place}: expected an object")

    def part(self, name: str, optional: bool = False) -> Reader:
        """The object of that name; an empty one if it is optional and absent."""
        found = self._members.get(name)
        if optional and (found is None or found == ""):
            found = {}
        if isinstance(found, str | int) and not isinstance(found, bool):
            found = {"$": found}  # an XML element without attributes, `<port>8080</port>`
        return Reader(found, f"{self._place}.{name}", self.problems)

    def text(self, name: str, required: bool = False, length_max: int = TEXT_LENGTH_MAX) -> str:
        """A text, empty when absent; numbers and booleans are taken for their words."""
        value = self._members.get(name)
        if value is None or value == "":
            if required:
                self._complain(name, "is missing")
            return ""
        if isinstance(value, bool):
            return "true" if value else "false"
        if not isinstance(value, str | int):
            self._complain(name, "expected a text")
            return ""
        text = str(value).strip()
        wrong = _wrong_with(text, length_max)
        if wrong:
            self._complain(name, wrong)
        return text

    def integer(self, name: str, default: int, minimum: int, maximum: int) -> int:
        """A whole number, also when written as a text."""
        text = self.text(name)
        if not text:
            return default
        if not (text.isascii() and text.isdigit() and len(text) <= 18 and minimum <= int(text) <= maximum):
            self._complain(name, f"expected a whole number from {minimum} to {maximum}, got {text[:SHOWN_MAX]!r}")
            return default
        return int(text)

    def texts(self, name: str, entries_max: int) -> dict[str, str]:
        """A map of texts, without the attributes that tell Java which class of map it was."""
        found = self._members.get(name)
        if found is None or found == "":
            return {}
        part = Reader(found, f"{self._place}.{name}", self.problems)
        names = [key for key in part._members if not key.startswith(("@", "$"))]
        if len(names) > entries_max:
            self._complain(name, f"more than {entries_max} entries")
            return {}
        wrong = [key for key in names if _wrong_with(key, KEY_LENGTH_MAX)]
        for key in wrong:
            part._complain(key[:KEY_LENGTH_MAX], f"the name {_wrong_with(key, KEY_LENGTH_MAX)}")
        return {key: part.text(key) for key in names if key not in wrong}

    def _complain(self, name: str, what: str) -> None:
        self.problems.append(f"{self._place}.{name}: {what}")


def _wrong_with(text: str, length_max: int) -> str:
    if len(text) > length_max:
        return f"is longer than {length_max} characters"
    if not text.isprintable():
        return "has a character that cannot be printed"  # most of those are not allowed in XML at all
    return ""
