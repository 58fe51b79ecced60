"""Refuses JSON that parses but that no column, no signature and no other parser would take the same way.

NaN and Infinity, numbers beyond 64 bits, NUL characters, halves of surrogate pairs, deep nesting: each is a 500 or a
silent difference somewhere behind. A scan of the bytes decides whether a body could contain any of them; only then
is it parsed here, so that an ordinary body costs one scan.
"""

from __future__ import annotations

import json
import re
from typing import Any, Final

DEPTH_MAX: Final = 32
INTEGER_MIN: Final = -(2**63)
INTEGER_MAX: Final = 2**63 - 1

_ESCAPES: Final = re.compile(rb"\\u(?:0000|[dD][89a-fA-F])")
# Where a number may begin, for identifiers are full of digits with an `e` between them.
_LARGE_NUMBERS: Final = re.compile(rb"[\[:,\s]-?\d(?:\d{18}|[\d.]*[eE]\+?\d{2})")
_REFUSED_CHARACTERS: Final = re.compile("[\x00\ud800-\udfff]")
_TEXT: Final = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"', re.DOTALL)
_BRACKETS: Final = b"[]{}"
_ALL_BUT_BRACKETS: Final = bytes(byte for byte in range(256) if byte not in _BRACKETS)


class RefusedJson(ValueError):
    """The body is not JSON that we take; `code` is for the problem document."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


def guard(body: bytes) -> None:
    """Raise RefusedJson if this body must not be parsed further. Cheap for ordinary bodies; does not check syntax."""
    try:
        text = body.decode()
    except UnicodeDecodeError as error:
        raise RefusedJson("malformed_json", "the body is not UTF-8") from error
    if "\x00" in text:
        raise RefusedJson("malformed_json", "the body contains a NUL byte")
    if body.count(b"[") + body.count(b"{") > DEPTH_MAX:
        _refuse_deep(body)
    if _is_suspicious(body):
        _refuse_values(text)


def _is_suspicious(body: bytes) -> bool:
    # One expression for all of it would be tried at every byte; these are searched for.
    if b"NaN" in body or b"Infinity" in body or (b"\\u" in body and _ESCAPES.search(body)):
        return True
    return _LARGE_NUMBERS.search(b" " + body) is not None


def _refuse_deep(body: bytes) -> None:
    depth = 0
    for bracket in _TEXT.sub(b"", body).translate(None, _ALL_BUT_BRACKETS):
        depth += 1 if bracket in b"[{" else -1
        if depth > DEPTH_MAX:
            raise RefusedJson("json_too_deep", f"the body is nested deeper than {DEPTH_MAX} levels")


def _refuse_values(text: str) -> None:
    try:
        document = json.loads(text, parse_int=_integer, parse_float=_float, parse_constant=_constant)
    except RefusedJson:
        raise
    except ValueError as error:
        raise RefusedJson("malformed_json", "the body is not JSON") from error
    _refuse_texts(document)


def _integer(digits: str) -> int:
    if len(digits) > 20 or not INTEGER_MIN <= int(digits) <= INTEGER_MAX:
        raise RefusedJson("number_out_of_range", "a number does not fit into 64 bits")
    return int(digits)


def _float(digits: str) -> float:
    value = float(digits)
    if value in (float("inf"), float("-inf")):
        raise RefusedJson("number_out_of_range", "a number is too large")
    return value


def _constant(name: str) -> float:
    raise RefusedJson("malformed_json", f"{name} is not JSON")


def _refuse_texts(value: Any) -> None:
    if isinstance(value, str):
        if _REFUSED_CHARACTERS.search(value):
            raise RefusedJson("text_not_allowed", "a text contains a NUL character or half a surrogate pair")
    elif isinstance(value, dict):
        for key, item in value.items():
            _refuse_texts(key)
            _refuse_texts(item)
    elif isinstance(value, list):
        for item in value:
            _refuse_texts(item)
