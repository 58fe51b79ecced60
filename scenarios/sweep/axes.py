"""What a sweep varies, and how far: `KEY=VALUES` with KEY as in `--set`, VALUES in one of three forms.

1,2,4              a list of any YAML values: numbers, 500ms, compact, {pay: 70, browse: 30}
20:200:20          from 20 to 200 in steps of 20, the end included; units as in 1s:5s:1s
20..200            any whole number between; with a decimal point (0.5..2.0) any number: for samples only
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from scenarios.spec.overrides import UnusableOverride, yaml_value
from scenarios.spec.problems import shown

EXPECTED = "expected values like 1,2,4 or 20:200:20 (from:to:step) or 20..200 (to draw samples from)"
VALUES_MAX = 100_000
DIGITS = 6
"""Of a drawn number: beyond what any scenario means, and short enough to read."""

_NUMBER = r"([+-]?[0-9]+(?:\.[0-9]+)?)"
_UNIT = r"(%|/?[a-z]+)?"
_RANGE = re.compile(rf"\s*{_NUMBER}{_UNIT}:{_NUMBER}{_UNIT}:{_NUMBER}{_UNIT}\s*")
_SPAN = re.compile(rf"\s*{_NUMBER}{_UNIT}\.\.{_NUMBER}{_UNIT}\s*")


class UnusableAxis(ValueError):
    """An axis that gives no values; the message says why and what was expected."""


@dataclass(frozen=True)
class Axis:
    """`values` to take in turn, or a `span` (lowest, highest) to draw from, in `unit`; `whole`: whole numbers only."""

    key: str
    values: tuple[Any, ...] = ()
    span: tuple[Decimal, Decimal] | None = None
    unit: str = ""
    whole: bool = True
    file: str = "--vary"
    line: int | None = None

    def at(self, share: float) -> Any:
        """The value at a share in [0, 1): of the list or of the span, in equal parts."""
        if self.span is None:
            return self.values[int(share * len(self.values))]
        low, high = self.span
        if self.whole:
            return _with_unit(low + int(share * (int(high - low) + 1)), self.unit)
        drawn = float(low) + share * float(high - low)
        return _with_unit(Decimal(f"{drawn:.{DIGITS}g}"), self.unit)


def read_axis(text: str) -> Axis:
    """`KEY=VALUES` as an axis. Raises UnusableAxis."""
    key, equals, values = text.partition("=")
    if not equals or not key.strip() or not values.strip():
        raise UnusableAxis(f"{shown(text)} is no axis; expected KEY=VALUES, like load.stages.0.rate=20:200:20")
    return axis(key.strip(), values)


def axis(key: str, values: str | Iterable[Any], file: str = "--vary", line: int | None = None) -> Axis:
    """The axis `key` with values as text or as a list. Raises UnusableAxis."""
    if not isinstance(values, str):
        return Axis(key, _distinct(key, list(values)), file=file, line=line)
    if found := _RANGE.fullmatch(values):
        return Axis(key, _steps(key, found), file=file, line=line)
    if found := _SPAN.fullmatch(values):
        unit = _common_unit(key, found[2], found[4])
        low, high = Decimal(found[1]), Decimal(found[3])
        if low >= high:
            raise UnusableAxis(f"{key}: {shown(values)} is empty; expected the lower end first")
        return Axis(key, span=(low, high), unit=unit, whole="." not in found[1] + found[3], file=file, line=line)
    try:
        return Axis(key, _distinct(key, yaml_value(f"[{values}]")), file=file, line=line)
    except UnusableOverride:
        raise UnusableAxis(f"{key}: {shown(values)} cannot be read; {EXPECTED}") from None


def _steps(key: str, found: "re.Match[str]") -> tuple[Any, ...]:
    unit = _common_unit(key, found[2], found[4], found[6])
    low, high, step = (Decimal(found[group]) for group in (1, 3, 5))
    if step <= 0 or low > high:
        raise UnusableAxis(f"{key}: {shown(found[0])} is empty; expected from:to:step, upwards, with a step above zero")
    if (high - low) / step > VALUES_MAX:
        raise UnusableAxis(f"{key}: {shown(found[0])} has more than {VALUES_MAX} values; expected a larger step")
    return tuple(_with_unit(low + number * step, unit) for number in range(int((high - low) / step) + 1))


def _common_unit(key: str, *units: str | None) -> str:
    found = set(units)
    if len(found) > 1:
        named = ", ".join(sorted(unit or "none" for unit in found))
        raise UnusableAxis(f"{key}: the ends have different units ({named}); expected the same")
    return next(iter(found)) or ""


def _with_unit(number: Decimal, unit: str) -> Any:
    """A number as YAML has it, or text with its unit."""
    if unit:
        return f"{number:f}{unit}"
    return int(number) if number == number.to_integral_value() else float(number)


def _distinct(key: str, values: list[Any]) -> tuple[Any, ...]:
    if not values:
        raise UnusableAxis(f"{key}: has no values; {EXPECTED}")
    seen: set[str] = set()
    for value in values:
        if (text := repr(value)) in seen:
            raise UnusableAxis(f"{key}: {shown(value)} is given twice; expected each value once")
        seen.add(text)
    return tuple(values)


def read_seeds(text: str) -> tuple[int, ...]:
    """`1:10` (both included) or `1,5,7` as seeds. Raises UnusableAxis."""
    expected = "expected seeds like 1:10 (both included) or 1,5,7"
    ends = re.fullmatch(r"\s*([0-9]+)\s*:\s*([0-9]+)\s*", text)
    try:
        seeds = range(int(ends[1]), int(ends[2]) + 1) if ends else [int(part) for part in text.split(",")]
    except ValueError:
        raise UnusableAxis(f"{shown(text)} are no seeds; {expected}") from None
    return checked_seeds(seeds, expected)


SEED_MAX = 2**31 - 1


def checked_seeds(seeds: Iterable[int], expected: str = "expected different whole numbers") -> tuple[int, ...]:
    """Seeds that are some, different, and within bounds. Raises UnusableAxis."""
    found = tuple(seeds)
    if not found or len(found) > VALUES_MAX:
        raise UnusableAxis(f"{len(found)} seeds; {expected}, at least one and at most {VALUES_MAX}")
    wrong = [seed for seed in found if not isinstance(seed, int) or not 0 <= seed <= SEED_MAX]
    if wrong or len(set(found)) < len(found):
        problem = f"{shown(wrong[0])} is no seed" if wrong else "a seed is given twice"
        raise UnusableAxis(f"{problem}; {expected}, from 0 to {SEED_MAX}")
    return found
