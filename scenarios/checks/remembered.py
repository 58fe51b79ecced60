"""Remember what was derived from a history: dozens of metrics ask for the same tables.

A history never changes, so a pure function of it has one result; it is kept with the history and goes with it.
"""

from collections.abc import Callable
from functools import wraps
from typing import Concatenate, ParamSpec, TypeVar

from scenarios.history import History

P = ParamSpec("P")
T = TypeVar("T")


def remembered(function: Callable[Concatenate[History, P], T]) -> Callable[Concatenate[History, P], T]:
    """`function`, computed once for each history and further (hashable) arguments. Nobody may change the result."""

    @wraps(function)
    def once(history: History, /, *args: P.args, **kwargs: P.kwargs) -> T:
        kept = vars(history).setdefault("_remembered", {})
        key = (function, args, tuple(sorted(kwargs.items())))
        if key not in kept:
            kept[key] = function(history, *args, **kwargs)
        result: T = kept[key]
        return result

    return once
