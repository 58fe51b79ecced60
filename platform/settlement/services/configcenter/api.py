"""The config center's endpoints: the registry in our words here, in Eureka's in `eureka_api`, settings in `config_api`.

Everybody may read the registry; our services sign what they change in it.
"""

from __future__ import annotations

from typing import Final

from fastapi import APIRouter, Depends
from starlette.responses import JSONResponse, Response

from settlement.chassis.app import Chassis, ServiceApp
from settlement.chassis.refusals import WITHOUT_DATABASE, Responses, refusals
from settlement.chassis.security import signed_service
from settlement.services.configcenter.config import Change, Config
from settlement.services.configcenter.config_api import add_config
from settlement.services.configcenter.eureka_api import add_eureka
from settlement.services.configcenter.registration import Registration
from settlement.services.configcenter.registry import Registry
from settlement.services.configcenter.schemas import Name, Registered, RegistrationIn, RegistryView, Renewed

EXPIRY_INTERVAL_MS: Final = 100
REGISTERING: Final[Responses] = {
    200: {"description": "Registered again"},
    201: {"description": "Registered", "model": Registered},
    **refusals({503: "registry_full"}),
}
NOT_REGISTERED: Final = refusals({404: "not_registered"})


def create(chassis: Chassis) -> ServiceApp:
    """Registry and config of the platform."""
    registry, config = Registry(chassis), Config(chassis)
    router = APIRouter()
    _add_registry(router, registry)
    add_eureka(router, registry)
    add_config(router, config)

    async def start() -> None:
        if chassis.initial_settings and (await config.latest(chassis.profile))[0] == 0:
            await config.put(chassis.profile, Change(chassis.initial_settings, "paylab", "as started"))
        await registry.load()
        chassis.every(EXPIRY_INTERVAL_MS, registry.expire, "registry_expiry")
        chassis.spawn(_wake_at_shutdown(chassis, config), "config_watchers")

    return ServiceApp(router, start)


async def _wake_at_shutdown(chassis: Chassis, config: Config) -> None:
    await chassis.stopping.wait()
    config.wake()


def _add_registry(router: APIRouter, registry: Registry) -> None:
    @router.get("/registry", response_model=RegistryView, openapi_extra=WITHOUT_DATABASE)
    async def show_registry() -> Response:
        return JSONResponse(registry.snapshot())

    @router.put(
        "/registry/{service}/{replica}",
        dependencies=[Depends(signed_service)],
        response_model=Registered,
        responses=REGISTERING,
    )
    async def register(service: Name, replica: Name, body: RegistrationIn) -> Response:
        created = await registry.register(Registration(service, replica, **body.model_dump()))
        return JSONResponse({"lease_ms": body.lease_ms}, 201 if created else 200)

    @router.put(
        "/registry/{service}/{replica}/lease",
        dependencies=[Depends(signed_service)],
        response_model=Renewed,
        responses=NOT_REGISTERED,
        openapi_extra=WITHOUT_DATABASE,
    )
    async def renew(service: Name, replica: Name) -> Response:
        registry.renew((service, replica))
        return JSONResponse({"renewed": True})

    @router.delete(
        "/registry/{service}/{replica}",
        status_code=204,
        dependencies=[Depends(signed_service)],
        responses=NOT_REGISTERED,
    )
    async def deregister(service: Name, replica: Name) -> Response:
        await registry.deregister((service, replica))
        return Response(status_code=204)
