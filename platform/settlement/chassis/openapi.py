"""The OpenAPI document of a service, as it really answers: every refusal is a problem document.

FastAPI documents a validation error of its own that our handlers replace, and knows nothing of the refusals that the
envelope, the guards and the services make. They all have one form (RFC 9457), so one `default` response tells of them.
"""

from __future__ import annotations

from typing import Any, Final

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from settlement.topology import VERSION

PROBLEM: Final[dict[str, Any]] = {
    "type": "object",
    "description": "What went wrong (RFC 9457); `code` is for programs, the rest for people.",
    "required": ["type", "title", "status", "code"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer", "minimum": 400, "maximum": 599},
        "code": {"type": "string"},
        "detail": {"type": "string"},
        "trace_id": {"type": "string"},
    },
}
_DEFAULT: Final[dict[str, Any]] = {
    "description": "Refused: a problem document",
    "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
}
_REPLACED: Final = ("HTTPValidationError", "ValidationError")


def document(app: FastAPI) -> dict[str, Any]:
    """The document of this application, made once."""
    if app.openapi_schema is None:
        made = get_openapi(title=app.title, version=VERSION, routes=app.routes)
        for operations in made.get("paths", {}).values():
            for operation in operations.values():
                operation["responses"].pop("422", None)
                operation["responses"]["default"] = _DEFAULT
        schemas = made.setdefault("components", {}).setdefault("schemas", {})
        for name in _REPLACED:
            schemas.pop(name, None)
        schemas["Problem"] = PROBLEM
        app.openapi_schema = made
    return app.openapi_schema
