"""The config center's endpoints.

Settings and their history are read without credentials, by decision: no setting is a secret (those come through the
environment alone) and everything binds to loopback. Changing a setting needs the operator's token, changing the
registry a signature.
"""

from __future__ import annotations

from typing import Annotated, Final

from fastapi import APIRouter, Depends, Query
from starlette.responses import JSONResponse, Response

from settlement.chassis.app import Chassis, ServiceApp
from settlement.chassis.security import operator, signed_service
from settlement.services.configcenter.schemas import ConfigIn, Name, Profile, RegistrationIn
from settlement.services.configcenter.service import Config, Registry

EXPIRY_INTERVAL_MS: Final = 100
WAIT_MS_MAX: Final = 30_000


def create(chassis: Chassis) -> ServiceApp:
    """Registry and config of the platform."""
    registry, config = Registry(chassis), Config(chassis)
    router = APIRouter()
    _add_registry(router, registry)
    _add_config(router, config)

    async def start() -> None:
        if chassis.initial_settings and (await config.latest(chassis.profile))[0] == 0:
            await config.put(chassis.profile, chassis.initial_settings)
        await registry.load()
        chassis.every(EXPIRY_INTERVAL_MS, registry.expire, "registry_expiry")
        chassis.spawn(_wake_at_shutdown(chassis, config), "config_watchers")

    return ServiceApp(router, start)


async def _wake_at_shutdown(chassis: Chassis, config: Config) -> None:
    await chassis.stopping.wait()
    config.wake()


def _add_registry(router: APIRouter, registry: Registry) -> None:
    @router.get("/registry")
    async def show_registry() -> Response:
        return JSONResponse(registry.snapshot())

    @router.put("/registry/{service}/{replica}", dependencies=[Depends(signed_service)])
    async def register(service: Name, replica: Name, body: RegistrationIn) -> Response:
        created = await registry.register(service, replica, body)
        return JSONResponse({"lease_ms": body.lease_ms}, 201 if created else 200)

    @router.put("/registry/{service}/{replica}/lease", dependencies=[Depends(signed_service)])
    async def renew(service: Name, replica: Name) -> Response:
        registry.renew(service, replica)
        return JSONResponse({"renewed": True})

    @router.delete("/registry/{service}/{replica}", dependencies=[Depends(signed_service)])
    async def deregister(service: Name, replica: Name) -> Response:
        await registry.deregister(service, replica)
        return Response(status_code=204)


def _add_config(router: APIRouter, config: Config) -> None:
    @router.get("/config/{profile}")
    async def show_config(
        profile: Profile,
        after: Annotated[int | None, Query(ge=0, le=2**53)] = None,
        wait_ms: Annotated[int, Query(ge=0, le=WAIT_MS_MAX)] = 0,
    ) -> Response:
        version, values = await config.latest(profile) if after is None else await config.newer(profile, after, wait_ms)
        return JSONResponse({"version": version, "values": values})

    @router.put("/config/{profile}", dependencies=[Depends(operator)])
    async def put_config(profile: Profile, body: ConfigIn) -> Response:
        return JSONResponse({"version": await config.put(profile, body.values), "values": body.values})

    @router.get("/config/{profile}/history")
    async def show_history(profile: Profile) -> Response:
        return JSONResponse({"versions": await config.history(profile)})
