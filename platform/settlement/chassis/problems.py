"""Errors as RFC 9457 problem documents: one error class, one renderer, no stack trace ever leaves the process."""

from __future__ import annotations

import http
from collections.abc import Mapping
from typing import Any, Final

import structlog
from fastapi import Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response

from settlement.chassis.trace import current_trace

PROBLEM_TYPE: Final = "application/problem+json"
ERRORS_SHOWN_MAX: Final = 50

_log = structlog.get_logger()


class Problem(Exception):
    """An answer that is not what the caller hoped for.

    `status` is the HTTP status, `code` a stable snake_case word for programs, `title` one sentence for people,
    `detail` what is special about this time. `extra` members are added to the document (gid, status, ...),
    `headers` to the response (Retry-After, ...).
    """

    def __init__(
        self,
        status: int,
        code: str,
        title: str = "",
        detail: str = "",
        *,
        extra: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(f"{status} {code}: {detail or title}")
        self.status = status
        self.code = code
        self.title = title or code.replace("_", " ").capitalize()
        self.detail = detail
        self.extra = dict(extra or {})
        self.headers = dict(headers or {})

    def document(self) -> dict[str, Any]:
        """The members of the problem document, as JSON values."""
        members: dict[str, Any] = {"type": "about:blank", "status": self.status, "title": self.title, "code": self.code}
        if self.detail:
            members["detail"] = self.detail
        return {**members, "trace_id": current_trace().trace_id, **self.extra}

    def response(self) -> Response:
        """The problem as a response."""
        return JSONResponse(self.document(), self.status, self.headers, media_type=PROBLEM_TYPE)


async def render_problem(_request: Request, error: Exception) -> Response:
    """Render a Problem raised by a handler or a dependency."""
    assert isinstance(error, Problem)  # noqa: S101 - registered for this class only
    return error.response()


async def render_http_exception(_request: Request, error: Exception) -> Response:
    """Render the framework's own errors: unknown route, wrong method, unreadable body."""
    assert isinstance(error, HTTPException)  # noqa: S101 - registered for this class only
    phrase = http.HTTPStatus(error.status_code).phrase
    code = {404: "not_found", 400: "malformed_request"}.get(error.status_code, phrase.lower().replace(" ", "_"))
    detail = error.detail if error.detail != phrase else ""
    return Problem(error.status_code, code, phrase, detail, headers=error.headers).response()


async def render_validation_error(_request: Request, error: Exception) -> Response:
    """Render what pydantic refused: every wrong field at once, without echoing the input."""
    assert isinstance(error, RequestValidationError)  # noqa: S101 - registered for this class only
    found = error.errors()
    if any(item["type"] == "json_invalid" for item in found):
        return Problem(400, "malformed_json", "The body is not JSON").response()
    errors = [
        {"where": ".".join(str(part) for part in item["loc"])[:200], "message": item["msg"][:200], "type": item["type"]}
        for item in found[:ERRORS_SHOWN_MAX]
    ]
    detail = "; ".join(f"{item['where']}: {item['message']}" for item in errors[:5])
    return Problem(
        422, "validation_failed", "The request has wrong values", detail, extra={"errors": errors}
    ).response()


async def render_overflow(_request: Request, error: Exception) -> Response:
    """A number that no 64-bit column holds reached the database driver, which refused it before executing anything."""
    _log.warning("number_out_of_range", error=str(error))
    return Problem(422, "number_out_of_range", "A number is too large").response()


def unexpected_problem() -> Problem:
    """What a caller is told of a bug of ours; the log line with the same trace id has the rest."""
    return Problem(500, "internal_error", "Something went wrong here; the log has the trace id")


async def render_busy(_request: Request, error: Exception) -> Response:
    """A lock or a connection of the database could not be had in time; nothing was kept."""
    _log.warning("database_busy", error=str(error))
    return Problem(503, "database_busy", "Try again", headers={"Retry-After": "1"}).response()


async def render_unavailable(_request: Request, error: Exception) -> Response:
    """The database cannot be reached; nothing was kept."""
    _log.error("database_unavailable", error=str(error))
    title = "The database cannot be reached; nothing was changed"
    return Problem(503, "database_unavailable", title, headers={"Retry-After": "1"}).response()


async def render_commit_unknown(_request: Request, error: Exception) -> Response:
    """The database was lost in the middle of a commit: it happened or it did not, and repeating will tell."""
    _log.error("commit_unknown", error=str(error))
    title = "The database was lost; whether this happened is not known yet"
    return Problem(503, "outcome_unknown", title, headers={"Retry-After": "1"}).response()
