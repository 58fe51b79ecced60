"""The settings' endpoints.

Settings and their history are read without credentials, by decision: no setting is a secret (those come through the
environment alone) and everything binds to loopback. Changing one needs the operator's token. `If-Match: "7"` makes a
change conditional on version 7 being in force, as `ETag` named it.
"""

from __future__ import annotations

from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Header, Query
from starlette.responses import JSONResponse, Response

from settlement.chassis.problems import Problem
from settlement.chassis.refusals import Responses, refusals
from settlement.chassis.security import operator
from settlement.services.configcenter.config import PAGE_MAX, Change, Config, differences
from settlement.services.configcenter.schemas import (
    Comparison,
    ConfigIn,
    ConfigView,
    Profile,
    ProfileList,
    RollbackIn,
    Version,
    VersionPage,
    VersionView,
)

WAIT_MS_MAX: Final = 30_000

TAGGED: Final[Responses] = {
    200: {"headers": {"ETag": {"required": True, "schema": {"type": "string", "pattern": r'^"\d+"$'}}}}
}
NO_VERSION: Final = refusals({404: "no_such_version"})
WRITING: Final = {
    400: "malformed_if_match",
    409: "written_at_once",
    412: "version_conflict",
    422: "invalid_settings",
}
ROLLING_BACK: Final = {**WRITING, 404: "no_such_version"}

IfMatch = Annotated[str | None, Header(max_length=32)]


def add_config(router: APIRouter, config: Config) -> None:
    """Add the settings' routes."""
    _add_reading(router, config)
    _add_history(router, config)
    _add_writing(router, config)


def _add_reading(router: APIRouter, config: Config) -> None:
    @router.get("/config", response_model=ProfileList)
    async def show_profiles() -> Response:
        return JSONResponse({"profiles": await config.profiles()})

    @router.get("/config/{profile}", response_model=ConfigView, responses=TAGGED)
    async def show_config(
        profile: Profile,
        after: Annotated[int | None, Query(ge=0, le=2**53)] = None,
        wait_ms: Annotated[int, Query(ge=0, le=WAIT_MS_MAX)] = 0,
    ) -> Response:
        version, values = await (config.latest(profile) if after is None else config.newer(profile, after, wait_ms))
        return _shown(version, values)


def _add_history(router: APIRouter, config: Config) -> None:
    @router.get("/config/{profile}/history", response_model=VersionPage)
    async def show_history(
        profile: Profile,
        before: Annotated[int | None, Query(ge=1, le=2**31)] = None,
        limit: Annotated[int, Query(ge=1, le=PAGE_MAX)] = PAGE_MAX,
    ) -> Response:
        versions = await config.history(profile, before, limit)
        more = len(versions) == limit and versions[-1]["version"] > 1
        return JSONResponse({"versions": versions, "next_before": versions[-1]["version"] if more else None})

    @router.get("/config/{profile}/versions/{version}", response_model=VersionView, responses=NO_VERSION)
    async def show_version(profile: Profile, version: Version) -> Response:
        return JSONResponse(await config.version(profile, version))

    @router.get("/config/{profile}/diff", response_model=Comparison, responses=NO_VERSION)
    async def show_diff(
        profile: Profile,
        old: Annotated[int, Query(alias="from", ge=0, lt=2**31)],
        new: Annotated[int | None, Query(alias="to", ge=0, lt=2**31)] = None,
    ) -> Response:
        to = (await config.latest(profile))[0] if new is None else new
        changes = differences(await config.values_of(profile, old), await config.values_of(profile, to))
        return JSONResponse({"from": old, "to": to, "changes": changes})


def _add_writing(router: APIRouter, config: Config) -> None:
    @router.put(
        "/config/{profile}",
        dependencies=[Depends(operator)],
        response_model=ConfigView,
        responses={**TAGGED, **refusals(WRITING)},
    )
    async def put_config(profile: Profile, body: ConfigIn, if_match: IfMatch = None) -> Response:
        change = Change(body.values, body.author, body.comment, _expected(if_match))
        return _shown(await config.put(profile, change), body.values)

    @router.post(
        "/config/{profile}/rollback",
        dependencies=[Depends(operator)],
        response_model=ConfigView,
        responses={**TAGGED, **refusals(ROLLING_BACK)},
    )
    async def roll_back(profile: Profile, body: RollbackIn, if_match: IfMatch = None) -> Response:
        version = await config.roll_back(profile, body.version, body.author, body.comment, _expected(if_match))
        return _shown(version, await config.values_of(profile, version))


def _shown(version: int, values: dict[str, Any]) -> Response:
    return JSONResponse({"version": version, "values": values}, headers={"ETag": f'"{version}"'})


def _expected(if_match: str | None) -> int | None:
    if if_match is None or if_match.strip() == "*":
        return None
    text = if_match.strip().strip('"')
    if not (text.isascii() and text.isdigit() and len(text) <= 10):
        raise Problem(400, "malformed_if_match", 'If-Match takes one version, like "7"')
    return int(text)
