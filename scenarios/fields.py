"""The kinds of values that scenario files are made of, as pydantic types: each says what it expected when it refuses.

Every type knows its JSON Schema too, so that an editor flags `delay: 800` while it is being typed.
"""

from collections.abc import Callable, Iterable
from difflib import get_close_matches
from math import isfinite
from typing import Annotated

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer, WithJsonSchema

from scenarios.units import DURATION_PATTERN, RATE_PATTERN, format_duration, parse_duration_s, parse_rate_per_s
from settlement.topology import SERVICES, TOPOLOGIES

DURATION_S_MAX = 24 * 3600.0
RATE_PER_S_MAX = 10_000.0


class Model(BaseModel):
    """A part of a scenario: unknown keys are errors, nothing is converted silently, nothing changes afterwards."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, validate_by_name=False, validate_by_alias=True)


def nearest(name: str, names: Iterable[str]) -> str:
    """`did you mean kill? ` when one of `names` resembles `name`, else nothing."""
    near = get_close_matches(name, list(names), n=1, cutoff=0.6)
    return f"did you mean {near[0]}? " if near else ""


def one_of(what: str, names: Iterable[str]) -> Callable[[object], str]:
    """A validator that takes only the given names, and says which they are."""
    known = tuple(names)

    def check(value: object) -> str:
        if isinstance(value, str) and value in known:
            return value
        raise ValueError(f"unknown {what} {value!r}; {nearest(str(value), known)}expected one of {', '.join(known)}")

    return check


def _above_zero(seconds: float) -> float:
    if seconds <= 0:
        raise ValueError(f"{format_duration(seconds)} is no time at all; expected a duration above zero")
    return seconds


def _not_negative(seconds: float) -> float:
    if seconds < 0:
        raise ValueError(f"{format_duration(seconds)} is negative; expected zero or more")
    return seconds


def _at_most_a_day(seconds: float) -> float:
    if seconds > DURATION_S_MAX:
        raise ValueError(f"{format_duration(seconds)} is too long; expected at most {format_duration(DURATION_S_MAX)}")
    return seconds


def _possible_rate(rate: float) -> float:
    if not 0 <= rate <= RATE_PER_S_MAX:
        raise ValueError(f"{rate:g} per second is impossible; expected 0 to {RATE_PER_S_MAX:g}")
    return rate


def _share(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value <= 1:
        raise ValueError(f"{value!r} is not a share; expected a number above 0 and at most 1, like 0.5")
    return float(value)


def _weight(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not isfinite(value) or value < 0:
        raise ValueError(f"{value!r} is not a weight; expected zero or a positive number, like 70")
    return float(value)


def _service(value: object) -> str:
    return one_of("service", SERVICES)(value)


_DURATION_SCHEMA = WithJsonSchema(
    {"type": "string", "pattern": DURATION_PATTERN, "examples": ["800ms", "2s", "1.5min"]}
)
_RATE_SCHEMA = WithJsonSchema(
    {
        "anyOf": [
            {"type": "number", "minimum": 0, "maximum": RATE_PER_S_MAX},
            {"type": "string", "pattern": RATE_PATTERN},
        ]
    }
)
_AS_TEXT = PlainSerializer(format_duration)

# A moment or a length of time, in seconds; written `2s`. Duration must be above zero, Moment may be zero.
Duration = Annotated[
    float, BeforeValidator(parse_duration_s), AfterValidator(_above_zero), AfterValidator(_at_most_a_day),
    _AS_TEXT, _DURATION_SCHEMA,
]  # fmt: skip
Moment = Annotated[
    float, BeforeValidator(parse_duration_s), AfterValidator(_not_negative), AfterValidator(_at_most_a_day),
    _AS_TEXT, _DURATION_SCHEMA,
]  # fmt: skip
# Events per second; written 20 or 20/s or 90/min.
Rate = Annotated[float, BeforeValidator(parse_rate_per_s), AfterValidator(_possible_rate), _RATE_SCHEMA]
Share = Annotated[
    float, BeforeValidator(_share), WithJsonSchema({"type": "number", "exclusiveMinimum": 0, "maximum": 1})
]
Weight = Annotated[float, BeforeValidator(_weight), WithJsonSchema({"type": "number", "minimum": 0})]
Replica = Annotated[int, Field(ge=0, le=99)]
ServiceName = Annotated[str, BeforeValidator(_service), WithJsonSchema({"enum": list(SERVICES)})]
TopologyName = Annotated[
    str, BeforeValidator(one_of("topology", TOPOLOGIES)), WithJsonSchema({"enum": list(TOPOLOGIES)})
]
