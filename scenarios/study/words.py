"""Estimates in words: a figure never stands without its interval.

`ms(estimate)` gives `46.1 ms [44, 48.2]`; every function takes an estimate in its metric's unit (seconds, shares).
"""

from collections.abc import Sequence
from math import isfinite

from simulator.analysis import Estimate

DIGITS = 3
NOTHING = 1e-4
"""What is smaller is written as 0: no unit here means anything so small."""


def ms(estimate: Estimate) -> str:
    """Seconds as milliseconds; from one second on they stay what they are."""
    return seconds(estimate) if estimate.value >= 1 else _with_interval(estimate, 1000, " ms")


def seconds(estimate: Estimate) -> str:
    """Seconds."""
    return _with_interval(estimate, 1, " s")


def percent(estimate: Estimate) -> str:
    """A share as per cent; an interval does not reach beyond what a share can be."""
    clipped = Estimate(estimate.value, max(0.0, estimate.low), min(1.0, estimate.high), estimate.count, estimate.level)
    return _with_interval(clipped, 100, " %", digits=4)


def points(estimate: Estimate) -> str:
    """A difference of shares as percentage points."""
    return _with_interval(estimate, 100, " points", sign=True)


def change_ms(estimate: Estimate) -> str:
    """A difference of seconds as milliseconds, with its sign."""
    return _with_interval(estimate, 1000, " ms", sign=True)


def number(estimate: Estimate, unit: str = "") -> str:
    """A plain figure."""
    return _with_interval(estimate, 1, unit and f" {unit}")


def listed(parts: Sequence[str]) -> str:
    """`a, b and c`."""
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}" if parts else "nothing"


def _with_interval(estimate: Estimate, factor: float, unit: str, digits: int = DIGITS, sign: bool = False) -> str:
    value, low, high = (_figure(each * factor, digits, sign) for each in (estimate.value, estimate.low, estimate.high))
    if not isfinite(estimate.value):
        return "no end" if estimate.value > 0 else "unknown"
    if estimate.low == estimate.high:
        return f"{value}{unit}"
    if not isfinite(estimate.half_width):
        return f"{value}{unit} [no interval]"
    return f"{value}{unit} [{low}, {high}]"


def _figure(value: float, digits: int, sign: bool) -> str:
    """A value with so many significant digits, never in powers of ten."""
    rounded = float(f"{value:.{digits}g}")
    if abs(rounded) < NOTHING:
        return "0"
    text = f"{rounded:,.0f}" if abs(rounded) >= 10 ** (digits - 1) else f"{rounded:.{digits}g}"
    return f"+{text}" if sign and rounded > 0 else text
