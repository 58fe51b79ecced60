"""Bodies that would be taken differently by another parser, or break a column, are refused; all others pass."""

from __future__ import annotations

import json
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from settlement.chassis.json_guard import RefusedJson, guard

REFUSED = {
    "nan": b'{"a":NaN}',
    "infinity": b"[-Infinity]",
    "float overflow": b"[1e999]",
    "integer beyond 64 bits": b"[9223372036854775808]",
    "negative beyond 64 bits": b"[-9223372036854775809]",
    "integer too long to parse": b"[" + b"9" * 5_000 + b"]",
    "deep list": b"[" * 100 + b"]" * 100,
    "deep object": b'{"a":' * 100 + b"1" + b"}" * 100,
    "very deep": b"[" * 60_000,
    "nul": b'["a\\u0000"]',
    "nul in a key": b'{"a\\u0000":1}',
    "raw nul": b'["a\x00"]',
    "half a surrogate pair": b'["\\ud800"]',
    "other half": b'["\\uDC00x"]',
    "not utf-8": b'["\xff"]',
    "utf-16": '["a"]'.encode("utf-16"),
    "surrogate in utf-8": b'["\xed\xa0\x80"]',
}
PASSED = {
    "largest integer": b"[9223372036854775807,-9223372036854775808]",
    "digits in a text": b'["99999999999999999999999999"]',
    "the word NaN in a text": b'["NaN and Infinity"]',
    "a surrogate pair": b'["\\ud83d\\ude00"]',
    "an escaped backslash before u0000": b'["\\\\u0000"]',
    "a small exponent": b"[1e-300, 1e22]",
    "wide but flat": b"[" + b"{}," * 5_000 + b"{}]",
    "brackets in a text": b'["' + b"[" * 1_000 + b'"]',
}


@pytest.mark.parametrize("body", REFUSED.values(), ids=REFUSED)
def test_refused(body: bytes) -> None:
    with pytest.raises(RefusedJson):
        guard(body)


@pytest.mark.parametrize("body", PASSED.values(), ids=PASSED)
def test_passed(body: bytes) -> None:
    guard(body)


_scalars = (
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False)
)
_texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"))
_documents = st.recursive(
    _scalars | _texts, lambda inner: st.lists(inner) | st.dictionaries(_texts, inner), max_leaves=20
)


@given(_documents, st.booleans())
def test_every_ordinary_document_passes(document: object, ascii_only: bool) -> None:
    guard(json.dumps(document, ensure_ascii=ascii_only).encode())


@given(st.binary())
def test_whatever_comes_is_passed_or_refused(body: bytes) -> None:
    with suppress(RefusedJson):
        guard(body)
