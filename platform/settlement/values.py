"""Values that are cheap to make.

A frozen dataclass refuses assignment, also its own: its `__init__` has to go round that for every field, and takes six
times as long as plain assignments. One transaction makes about sixty such values.
"""

from __future__ import annotations

from dataclasses import MISSING, field, fields, make_dataclass
from typing import Any, TypeVar

T = TypeVar("T")


def unguarded(frozen: type[T]) -> type[T]:
    """The frozen dataclass without its guard: compared, hashed and printed as before, and made by plain assignments.

    That nobody changes it is enforced by mypy, which knows it as frozen. Fields have defaults, never factories.
    """
    described: list[Any] = [
        (each.name, each.type) if each.default is MISSING else (each.name, each.type, field(default=each.default))
        for each in fields(frozen)  # type: ignore[arg-type]
    ]
    made_plainly: Any = vars(make_dataclass(frozen.__name__, described))["__init__"]
    made_plainly.__qualname__ = f"{frozen.__qualname__}.__init__"
    type.__setattr__(frozen, "__init__", made_plainly)
    del frozen.__setattr__, frozen.__delattr__
    return frozen
