"""Small XML documents to and from plain dictionaries, safe to use on what strangers send.

An element becomes its text, or a dictionary of its children when it has some; attributes are members `@name`, and the
text beside attributes is the member `$`. A child that repeats becomes a list when written from one; reading keeps the
last (no document that is read here repeats one). Declarations of a document type are refused altogether: without them
there are no entities to expand a thousandfold and none that name a file.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final
from xml.parsers import expat
from xml.sax.saxutils import escape, quoteattr

DEPTH_MAX: Final = 10
ELEMENTS_MAX: Final = 500
# Java's XML writers call it so; JSON's do not.
_XML_NAMES: Final = {"overriddenStatus": "overriddenstatus"}
_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*")


class InvalidXml(ValueError):
    """The text is no XML document that is taken here; says why."""


class _Builder:
    """Collects what the parser reports."""

    def __init__(self) -> None:
        self.root: dict[str, Any] = {}
        self._path: list[tuple[str, dict[str, Any], list[str]]] = [("", self.root, [])]
        self._elements = 0

    def begin(self, name: str, attributes: dict[str, str]) -> None:
        self._elements += 1
        if len(self._path) > DEPTH_MAX or self._elements > ELEMENTS_MAX:
            raise InvalidXml(f"more than {ELEMENTS_MAX} elements or {DEPTH_MAX} levels")
        members = {f"@{attribute}": value for attribute, value in attributes.items()}
        self._path.append((name, members, []))

    def text(self, data: str) -> None:
        self._path[-1][2].append(data)

    def end(self, _name: str) -> None:
        name, members, texts = self._path.pop()
        text = "".join(texts).strip()
        if not members:
            self._path[-1][1][name] = text
            return
        if text:
            members["$"] = text
        self._path[-1][1][name] = members


def document_of(body: bytes) -> dict[str, Any]:
    """The document as `{root name: content}`. Raises InvalidXml."""
    builder = _Builder()
    parser = expat.ParserCreate("utf-8")
    parser.StartElementHandler = builder.begin
    parser.EndElementHandler = builder.end
    parser.CharacterDataHandler = builder.text
    parser.StartDoctypeDeclHandler = _refuse_document_type
    parser.EntityDeclHandler = _refuse_document_type
    try:
        parser.Parse(body, True)
    except expat.ExpatError as error:
        raise InvalidXml(f"not well-formed XML: {expat.ErrorString(error.code)} in line {error.lineno}") from error
    return builder.root


def _refuse_document_type(*_arguments: object) -> None:
    raise InvalidXml("a document type declaration is not allowed")


def xml_of(root: str, content: object) -> bytes:
    """The document with that root element. Members whose names XML does not allow are left out."""
    return "".join(_element(root, content)).encode()


def _element(name: str, content: object) -> list[str]:
    if isinstance(content, list):
        return [text for item in content for text in _element(name, item)]
    name = _XML_NAMES.get(name, name)
    if _NAME.fullmatch(name) is None:
        return []
    if not isinstance(content, Mapping):
        return [f"<{name}>{escape(str(content))}</{name}>"]
    attributes = "".join(f" {key[1:]}={quoteattr(str(value))}" for key, value in content.items() if key.startswith("@"))
    inner = [escape(str(content["$"]))] if "$" in content else []
    for key, value in content.items():
        if not key.startswith(("@", "$")):
            inner += _element(key, value)
    return [f"<{name}{attributes}>", *inner, f"</{name}>"]
