"""Reports as bytes: the same rows always give the same bytes, so that a content hash means something. Pure."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from typing import Any, Final

# A spreadsheet takes a cell that begins so for a formula.
_FORMULA_STARTS: Final = ("=", "+", "-", "@", "\t", "\r")


def as_csv(columns: Sequence[str], rows: Sequence[dict[str, Any]]) -> bytes:
    """UTF-8, a header, lines ended by CRLF (RFC 4180); an absent value is an empty cell."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow(columns)
    writer.writerows([_cell(row[name]) for name in columns] for row in rows)
    return text.getvalue().encode()


def as_json(kind: str, day: str, rows: Sequence[dict[str, Any]]) -> bytes:
    """One document: kind, day, rows."""
    return json.dumps({"kind": kind, "day": day, "rows": list(rows)}, separators=(",", ":")).encode()


def _cell(value: object) -> object:
    if isinstance(value, str) and value.startswith(_FORMULA_STARTS):
        return "'" + value
    return "" if value is None else value
