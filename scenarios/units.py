"""Quantities as people write them: `800ms`, `2s`, `99%`, `20/s`.

One place reads and writes them, so that a scenario, a threshold and a report agree on what `1.5min` is.
"""

import re
from math import isfinite

SECONDS_PER_UNIT = {"ms": 0.001, "s": 1.0, "min": 60.0, "h": 3600.0}
RATE_UNITS_PER_S = {"": 1.0, "/s": 1.0, "/min": 1 / 60.0, "/h": 1 / 3600.0}

NUMBER = r"[0-9]+(?:\.[0-9]+)?"
DURATION_PATTERN = rf"^{NUMBER} ?(ms|s|min|h)$"
RATE_PATTERN = rf"^{NUMBER} ?(/s|/min|/h)$"

DURATION_EXPECTED = "expected a number with one of ms, s, min, h, like 800ms or 2.5s"
RATE_EXPECTED = "expected a number per second, like 20 or 20/s or 90/min"


def split_quantity(text: str) -> tuple[float, str]:
    """Number and unit of `text`, as ("800ms" -> (800.0, "ms")). Raises ValueError when it is no quantity."""
    matched = re.fullmatch(r"\s*([+-]?[0-9]+(?:\.[0-9]+)?)\s*(\D*?)\s*", text)
    if not matched or not isfinite(float(matched[1])):
        raise ValueError(f"{text!r} is not a quantity")
    return float(matched[1]), matched[2]


def parse_duration_s(value: object) -> float:
    """Seconds of "800ms", "2s", "1.5min". Raises ValueError that says what was expected. The sign is kept."""
    if not isinstance(value, str):
        raise ValueError(f"{value!r} has no unit; {DURATION_EXPECTED}")
    try:
        number, unit = split_quantity(value)
    except ValueError:
        raise ValueError(f"{value!r} is not a duration; {DURATION_EXPECTED}") from None
    if not unit:
        raise ValueError(f"{value!r} has no unit; {DURATION_EXPECTED}")
    if unit not in SECONDS_PER_UNIT:
        raise ValueError(f"{value!r}: unknown unit {unit!r}; {DURATION_EXPECTED}")
    return number * SECONDS_PER_UNIT[unit]


def parse_rate_per_s(value: object) -> float:
    """Events per second of 20, "20/s" or "90/min". Raises ValueError that says what was expected. The sign is kept."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        raise ValueError(f"{value!r} is not a rate; {RATE_EXPECTED}")
    try:
        number, unit = (float(value), "") if isinstance(value, (int, float)) else split_quantity(value)
    except ValueError:
        raise ValueError(f"{value!r} is not a rate; {RATE_EXPECTED}") from None
    if unit not in RATE_UNITS_PER_S or not isfinite(number):
        raise ValueError(f"{value!r} is not a rate; {RATE_EXPECTED}")
    return number * RATE_UNITS_PER_S[unit]


def format_duration(seconds: float) -> str:
    """The shortest exact text of a duration: 0.8 -> "800ms", 90 -> "90s"."""
    if 0 < abs(seconds) < 1:
        return f"{seconds * 1000:.6g}ms"
    return f"{seconds:.6g}s"
