"""Which series a PromQL expression names. Not a parser (promtool is one): enough to find what does not exist."""

from __future__ import annotations

import re

# What stands in braces, brackets and quotes, and the label lists of aggregations and joins, names no series.
_NO_SERIES = re.compile(
    r"\{[^{}]*(?:\"[^\"]*\"[^{}]*)*\}|\[[^\]]*\]|\"[^\"]*\"|\b(?:by|without|on|ignoring|group_left|group_right)\s*\([^)]*\)"
)
_NAME = re.compile(r"(?<![\w:.])([a-zA-Z_:][\w:]*)\b(?!\s*\()")
_KEYWORDS = {"and", "or", "unless", "bool", "offset", "by", "without", "on", "ignoring", "inf", "nan"}


def series_of(expression: str) -> set[str]:
    """The names of all series that an expression reads."""
    bare = _NO_SERIES.sub(" ", expression)
    return {name for name in _NAME.findall(bare) if name.lower() not in _KEYWORDS}
