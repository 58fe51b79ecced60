"""What an operation may refuse, said where it is decided; `openapi.py` puts it all into the service's document.

- A route names the problems that its service raises, by status and code:

      @router.get("/orders/{order_no}", response_model=OrderView, responses=refusals({404: "order_not_found"}))

- A guard names its own, and the credentials it asks for, with `@guards(...)`; whatever depends on it inherits both.
- What the envelope, admission, the database and the checking of inputs refuse follows from the route itself.

None of it costs anything at run time. `response_model` does not either: a handler that returns a `Response` is taken at
its word, so the model is documentation, and the tests hold the answers against it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeVar

# FastAPI's own form of `responses=`.
Responses = dict[int | str, dict[str, Any]]
# OpenAPI's security schemes by name.
Schemes = Mapping[str, Mapping[str, str]]
# Codes by status.
Codes = Mapping[int, frozenset[str]]

CODES: Final = "x-problem-codes"
# `openapi_extra=` of a route that answers from memory: no outage of the database is told of there.
WITHOUT_DATABASE: Final[dict[str, Any]] = {"x-without-database": True}
# `json_schema_extra=` of a header whose absence is refused with a problem of its own.
NEEDED: Final[dict[str, Any]] = {"x-needed": True}

Dependency = TypeVar("Dependency", bound=Callable[..., Any])


@dataclass(frozen=True)
class Guard:
    """Who passes: whoever has all credentials of one of the alternatives. `refused` are the problems of the others."""

    alternatives: tuple[Schemes, ...]
    refused: Codes


_GUARDS: Final[dict[Callable[..., Any], Guard]] = {}


def refusals(codes: Mapping[int, str], headers: Mapping[str, Any] | None = None) -> Responses:
    """For `responses=`: the problems of a route by status, their codes separated by ` | `; "" stands for any code.

    `headers` are those that these problems may carry, in OpenAPI's form.
    """
    return {status: {CODES: sorted(found), "headers": headers or {}} for status, found in _parsed(codes).items()}


def guards(*alternatives: Schemes, refused: Mapping[int, str]) -> Callable[[Dependency], Dependency]:
    """Mark a dependency as a guard: what credentials let pass, and what everybody else is answered."""

    def mark(dependency: Dependency) -> Dependency:
        _GUARDS[dependency] = Guard(alternatives, _parsed(refused))
        return dependency

    return mark


def guard_of(dependency: Callable[..., Any] | None) -> Guard | None:
    """The guard that this dependency is, if it is one."""
    return _GUARDS.get(dependency) if dependency is not None else None


def api_key(header: str, description: str) -> dict[str, str]:
    """The security scheme of a secret in a header."""
    return {"type": "apiKey", "in": "header", "name": header.title(), "description": description}


def _parsed(codes: Mapping[int, str]) -> dict[int, frozenset[str]]:
    return {status: frozenset(filter(None, text.split(" | "))) for status, text in codes.items()}
