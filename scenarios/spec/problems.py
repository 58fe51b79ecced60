"""What is wrong with a scenario, where, and what was expected instead."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from scenarios.fields import nearest

Place = tuple[str | int, ...]  # the keys and indices that lead to a value, like ("load", "stages", 0, "rate")
SHOWN_LENGTH_MAX = 60


@dataclass(frozen=True)
class Problem:
    """One thing wrong: `file:line: key: what is wrong; expected ...`. `line` is None where there is none (--set)."""

    file: str
    line: int | None
    message: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.message}" if self.line else f"{self.file}: {self.message}"


class InvalidScenario(Exception):
    """A scenario with at least one problem; `problems` has all of them, in the order of the file."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = list(problems)
        super().__init__("\n".join(map(str, self.problems)))


def dotted(place: Place) -> str:
    """`load.stages.0.rate`."""
    return ".".join(map(str, place))


def shown(value: object) -> str:
    """A value as a message shows it, cut when it is long."""
    try:
        text = repr(value)
    except (ValueError, RecursionError):  # an integer too long to print, a structure that contains itself
        return "this value"
    return text if len(text) <= SHOWN_LENGTH_MAX else text[: SHOWN_LENGTH_MAX - 3] + "..."


def model_problems(model: type[BaseModel], error: ValidationError, base: Place = ()) -> list[tuple[Place, str]]:
    """(place, message) of every error that pydantic found in a value of `model` at `base`."""
    return [((*base, *detail["loc"]), _message(detail, model)) for detail in error.errors()]


def _message(detail: ErrorDetails, model: type[BaseModel]) -> str:
    kind, context = detail["type"], detail.get("ctx", {})
    if kind == "value_error":
        return str(context["error"])
    if kind == "extra_forbidden":
        keys = keys_of(_owner(model, detail["loc"][:-1]))
        return f"unknown key; {nearest(str(detail['loc'][-1]), keys)}expected one of {', '.join(keys)}"
    if kind == "missing":
        return f"is missing; expected {_meaning(model, detail['loc'])}"
    return f"{shown(detail['input'])} does not fit; expected {_expected(kind, context)}"


def _expected(kind: str, context: dict[str, Any]) -> str:
    texts = {
        "int_type": "a whole number", "int_from_float": "a whole number", "string_type": "text",
        "dict_type": "keys with values", "list_type": "a list", "model_type": "keys with values",
        "bool_type": "true or false", "string_pattern_mismatch": "text that matches {pattern}",
        "greater_than_equal": "{ge} or more", "less_than_equal": "{le} or less",
        "too_short": "at least {min_length}", "too_long": "at most {max_length}",
        "string_too_short": "some text", "string_too_long": "at most {max_length} characters",
        "literal_error": "{expected}", "invalid_key": "a key that is text", "int_parsing_size": "a smaller number",
    }  # fmt: skip
    return texts.get(kind, "another kind of value").format(**context)


def keys_of(model: type[BaseModel]) -> list[str]:
    """The keys that a file may use in `model`."""
    return [field.alias or name for name, field in model.model_fields.items()]


def _owner(model: type[BaseModel], place: Place) -> type[BaseModel]:
    for key in place:
        inner = [] if isinstance(key, int) else [f for n, f in model.model_fields.items() if key == (f.alias or n)]
        candidates = [inner[0].annotation, *getattr(inner[0].annotation, "__args__", ())] if inner else [model]
        model = next((c for c in candidates if isinstance(c, type) and issubclass(c, BaseModel)), model)
    return model


def _meaning(model: type[BaseModel], place: Place) -> str:
    owner = _owner(model, place[:-1])
    field = next((f for n, f in owner.model_fields.items() if place[-1] == (f.alias or n)), None)
    return (field.description if field else None) or f"a value for {place[-1]}"
