"""The OpenAPI document of a service, as it really answers: each operation with its own refusals, and no others.

Where the refusals of an operation come from:

- what the route declares (`responses=refusals(...)`) and what its guards do (`@guards(...)`): see `refusals.py`;
- what follows from its inputs: 400, 408, 413 and 422 of whatever is checked before the service sees it;
- what follows from its path: 429 and 503 `overloaded`, unless admission exempts it (see `admission.py`);
- 503 of the database, unless it answers WITHOUT_DATABASE.

All are problem documents (RFC 9457) with one of the codes named. A 500 is not among them: that is a defect.
"""

from __future__ import annotations

import http
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, Final

from fastapi import FastAPI
from fastapi.dependencies.models import Dependant
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute

from settlement.chassis.problems import PROBLEM_TYPE
from settlement.chassis.refusals import CODES, NEEDED, WITHOUT_DATABASE, Codes, Guard, guard_of
from settlement.policies.codes import OVERLOADED, RATE_LIMITED
from settlement.topology import VERSION

if TYPE_CHECKING:
    from settlement.chassis.admission import Admission

PROBLEM: Final[dict[str, Any]] = {
    "type": "object",
    "description": "What went wrong (RFC 9457); `code` is for programs, the rest for people.",
    "required": ["type", "title", "status", "code", "trace_id"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer", "minimum": 400, "maximum": 599},
        "code": {"type": "string"},
        "detail": {"type": "string"},
        "trace_id": {"type": "string"},
    },
}
HEADERS: Final[dict[str, dict[str, Any]]] = {
    "Paylab-Replica": {"description": "Who answered", "required": True, "schema": {"type": "string"}},
    "WWW-Authenticate": {"description": "What is asked for", "required": True, "schema": {"type": "string"}},
    "Retry-After": {
        "description": "In how many seconds to come back, where that is known",
        "schema": {"type": "integer", "minimum": 1},
    },
    "RateLimit-Policy": {
        "description": 'What the caller is promised, like "user";q=40;w=2; absent where nothing is limited',
        "schema": {"type": "string", "pattern": r'^"[a-z]+";q=\d+;w=\d+$'},
    },
    "RateLimit": {
        "description": 'What is left of it, like "user";r=12;t=2; absent where nothing is limited',
        "schema": {"type": "string", "pattern": r'^"[a-z]+";r=\d+;t=\d+$'},
    },
}
# Of those that look into a body before anything else does.
BODY: Final[Codes] = {
    400: frozenset({"malformed_json", "number_out_of_range", "text_not_allowed", "json_too_deep"}),
    408: frozenset({"request_timeout"}),
    413: frozenset({"body_too_large"}),
}
INPUT: Final[Codes] = {400: frozenset({"text_not_allowed"}), 422: frozenset({"validation_failed"})}
DATABASE: Final[Codes] = {503: frozenset({"database_busy", "database_unavailable"})}
WRITING: Final[Codes] = {503: frozenset({"outcome_unknown"})}
TOO_OFTEN: Final[Codes] = {429: frozenset({RATE_LIMITED})}
FULL: Final[Codes] = {503: frozenset({OVERLOADED})}

_RETRY_AFTER: Final = {"$ref": "#/components/headers/Retry-After"}
_SPECIAL_HEADERS: Final[dict[int, dict[str, Any]]] = {
    401: {"WWW-Authenticate": {"$ref": "#/components/headers/WWW-Authenticate"}},
    409: {"Retry-After": _RETRY_AFTER},
    429: {"Retry-After": {**HEADERS["Retry-After"], "required": True}},
    503: {"Retry-After": _RETRY_AFTER},
}
_REPLACED: Final = ("HTTPValidationError", "ValidationError")


def document(app: FastAPI) -> dict[str, Any]:
    """The document of this application, made once."""
    if app.openapi_schema is None:
        made = get_openapi(title=app.title, version=VERSION, routes=app.routes)
        components = made.setdefault("components", {})
        for route in app.router.routes:
            if isinstance(route, APIRoute) and route.include_in_schema:
                for method in route.methods or ():
                    operation = made["paths"][route.path_format][method.lower()]
                    _complete(operation, route, app.state.chassis.admission)
                components.setdefault("securitySchemes", {}).update(_schemes(_guards(route.dependant)))
        schemas = components.setdefault("schemas", {})
        for name in _REPLACED:
            schemas.pop(name, None)
        schemas["Problem"] = PROBLEM
        components["headers"] = HEADERS
        app.openapi_schema = made
    return app.openapi_schema


def _complete(operation: dict[str, Any], route: APIRoute, admission: Admission) -> None:
    """Give an operation its credentials, its refusals, and the headers that every answer carries."""
    guards = list(_guards(route.dependant))
    if guards:
        operation["security"] = [{name: [] for name in schemes} for guard in guards for schemes in guard.alternatives]
    codes = _codes(operation, route, guards, admission)
    for parameter in operation.get("parameters", ()):
        if parameter["schema"].pop(*NEEDED, None):
            parameter["required"] = True
    for name in WITHOUT_DATABASE:
        operation.pop(name, None)
    operation["responses"] = {status: told for status, told in operation["responses"].items() if int(status) < 400}
    for status in sorted(codes):
        told = _refusal(status, codes[status])
        told["headers"] |= route.responses.get(status, {}).get("headers", {})
        operation["responses"][str(status)] = told
    counted = ("RateLimit-Policy", "RateLimit") if admission.counts(route.path_format) else ()
    for told in operation["responses"].values():
        told.setdefault("headers", {}).update(_headers("Paylab-Replica", *counted))


def _codes(
    operation: dict[str, Any], route: APIRoute, guards: Iterable[Guard], admission: Admission
) -> dict[int, frozenset[str]]:
    """Every problem of an operation: its codes by status, none where any may come."""
    declared = {int(status): frozenset(told[CODES]) for status, told in route.responses.items() if CODES in told}
    sources: list[Codes] = [declared, *(guard.refused for guard in guards)]
    if "requestBody" in operation:
        sources += [INPUT, BODY]
    if "parameters" in operation:
        sources.append(INPUT)
    if admission.counts(route.path_format):
        sources.append(TOO_OFTEN)
    if admission.can_be_full(route.path_format):
        sources.append(FULL)
    if not WITHOUT_DATABASE.keys() & operation.keys():
        sources += [DATABASE] if route.methods == {"GET"} else [DATABASE, WRITING]
    found: dict[int, frozenset[str]] = {}
    for source in sources:
        for status, codes in source.items():
            found[status] = found.get(status, frozenset()) | codes
    return found | {status: frozenset() for status, codes in declared.items() if not codes}


def _refusal(status: int, codes: frozenset[str]) -> dict[str, Any]:
    """The response of one status: which problems, with which headers."""
    members: dict[str, Any] = {"status": {"const": status}}
    if codes:
        members["code"] = {"enum": sorted(codes)}
    schema = {"allOf": [{"$ref": "#/components/schemas/Problem"}, {"type": "object", "properties": members}]}
    return {
        "description": f"{http.HTTPStatus(status).phrase}: {', '.join(sorted(codes)) or 'for any reason'}",
        "content": {PROBLEM_TYPE: {"schema": schema}},
        "headers": dict(_SPECIAL_HEADERS.get(status, {})),
    }


def _headers(*names: str) -> dict[str, Any]:
    return {name: {"$ref": f"#/components/headers/{name}"} for name in names}


def _guards(dependant: Dependant) -> Iterator[Guard]:
    """The guards among what a route depends on, however far down."""
    for needed in dependant.dependencies:
        guard = guard_of(needed.call)
        if guard is not None:
            yield guard
        yield from _guards(needed)


def _schemes(guards: Iterable[Guard]) -> dict[str, Any]:
    return {name: scheme for guard in guards for each in guard.alternatives for name, scheme in each.items()}
