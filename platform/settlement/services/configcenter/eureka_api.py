"""Eureka's REST operations on the one registry, as Spring Cloud and other Eureka clients use them below `/eureka`.

Reading is open like `GET /registry`. Who changes something has to show a password, by HTTP Basic as Eureka clients
do (`http://eureka:PASSWORD@host:8761/eureka`); with `registry.eureka_access` = open nobody has to, and then the names
of the platform's own services are out of reach, for whoever registers as `payment` gets its calls.
"""

from __future__ import annotations

import base64
import binascii
import hmac
from collections.abc import Iterable
from functools import partial
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Path, Query, Request
from starlette.responses import JSONResponse, Response

from settlement.chassis.problems import Problem
from settlement.chassis.refusals import WITHOUT_DATABASE, Responses, guards, refusals
from settlement.chassis.security import OPERATOR, OPERATOR_TOKEN, chassis_of, unauthorized
from settlement.services.configcenter.eureka_codec import (
    JSON,
    XML,
    Instance,
    InvalidInstance,
    Status,
    application_document,
    applications_document,
    hashcode_of,
    instance_document,
    read_instance,
    rendered,
)
from settlement.services.configcenter.eureka_schemas import (
    INSTANCE,
    Applications,
    OneApplication,
    OneInstance,
)
from settlement.services.configcenter.registration import Key, registration_of
from settlement.services.configcenter.registry import Registry
from settlement.services.configcenter.schemas import RegistryStatus
from settlement.topology import SERVICES

BASE: Final = "/eureka"
XML_TOO: Final[Responses] = {
    200: {"description": "As Accept asks: JSON, or else XML of the same structure", "content": {XML: {}}},
    **refusals({503: "warming_up"}),
}
ONE: Final[Responses] = {**XML_TOO, **refusals({404: "not_registered", 503: "warming_up"})}
INSTANCE_BODY: Final = {
    "requestBody": {
        "required": True,
        "content": {
            JSON: {"schema": {"type": "object", "required": ["instance"], "properties": {"instance": INSTANCE}}},
            XML: {},
        },
    }
}
REGISTERING: Final = refusals({400: "invalid_instance", 403: "platform_service", 503: "registry_full"})
RENEWING: Final = refusals({403: "platform_service", 404: "not_registered | registration_outdated"})
CHANGING: Final = refusals({403: "platform_service", 404: "not_registered"})
DESCRIBING: Final = refusals({400: "invalid_metadata", 403: "platform_service", 404: "not_registered"})
METADATA_CHANGES_MAX: Final = 20
RETRY_AFTER_S: Final = 3
PASSWORD: Final = {"eurekaPassword": {"type": "http", "scheme": "basic"}}

AppName = Annotated[str, Path(max_length=64)]
InstanceId = Annotated[str, Path(max_length=200)]
Address = Annotated[str, Path(max_length=200)]
Moment = Annotated[int, Query(ge=0, le=2**53, alias="lastDirtyTimestamp")]


@guards(PASSWORD, OPERATOR, refused={401: "eureka_password_required"})
async def trusted_client(request: Request) -> bool:
    """Whether the caller showed a password. Raises 401 if it had to."""
    chassis = chassis_of(request)
    good = [secret for secret in (chassis.secrets.operator, chassis.secrets.eureka) if secret]
    shown = [request.headers.get(OPERATOR_TOKEN, ""), _basic_password(request.headers.get("authorization", ""))]
    if any(hmac.compare_digest(each.encode("utf-8", "replace"), secret.encode()) for each in shown for secret in good):
        return True
    if chassis.settings.text("registry.eureka_access") == "open":
        return False
    title = "Eureka clients need the registry's password"
    raise unauthorized("eureka_password_required", title, challenge='Basic realm="eureka"')


Trusted = Annotated[bool, Depends(trusted_client)]


def _basic_password(authorization: str) -> str:
    scheme, _, encoded = authorization.partition(" ")
    if scheme.lower() != "basic":
        return ""
    try:
        return base64.b64decode(encoded, validate=True).decode().partition(":")[2]
    except (binascii.Error, ValueError):
        return ""


def add_eureka(router: APIRouter, registry: Registry) -> None:
    """Add Eureka's routes to the registry's."""
    _add_reading(router, registry)
    _add_changing(router, registry)
    _add_overriding(router, registry)


def _add_reading(router: APIRouter, registry: Registry) -> None:
    get = partial(router.get, openapi_extra=WITHOUT_DATABASE)

    async def apps(request: Request) -> Response:
        return _applications(request, registry, _instances(registry))

    get(f"{BASE}/apps", response_model=Applications, responses=XML_TOO)(apps)
    get(f"{BASE}/apps/", include_in_schema=False)(apps)  # what clients really ask for

    async def delta(request: Request) -> Response:
        return _applications(request, registry, registry.changes())

    get(f"{BASE}/apps/delta", response_model=Applications, responses=XML_TOO)(delta)

    @get(f"{BASE}/apps/{{app}}", response_model=OneApplication, responses=ONE)
    async def application(request: Request, app: AppName) -> Response:
        found = [instance for instance in _instances(registry) if instance.app == app.upper()]
        if not found:
            raise _unknown(registry)
        return _answer(request, registry, "application", application_document(app.upper(), found))

    @get(f"{BASE}/apps/{{app}}/{{instance_id}}", response_model=OneInstance, responses=ONE)
    async def instance_of_app(request: Request, app: AppName, instance_id: InstanceId) -> Response:
        found = registry.held(_key(app, instance_id)).instance()
        return _answer(request, registry, "instance", instance_document(found))

    @get(f"{BASE}/instances/{{instance_id}}", response_model=OneInstance, responses=ONE)
    async def instance(request: Request, instance_id: InstanceId) -> Response:
        for found in _instances(registry):
            if found.instance_id == instance_id:
                return _answer(request, registry, "instance", instance_document(found))
        raise _unknown(registry)

    @get(f"{BASE}/vips/{{vip}}", response_model=Applications, responses=ONE)
    async def vips(request: Request, vip: Address) -> Response:
        return _at(request, registry, vip, "vip_address")

    @get(f"{BASE}/svips/{{vip}}", response_model=Applications, responses=ONE)
    async def secure_vips(request: Request, vip: Address) -> Response:
        return _at(request, registry, vip, "secure_vip_address")

    @get(f"{BASE}/status", response_model=RegistryStatus)
    async def status() -> Response:
        return JSONResponse(registry.status())


def _add_changing(router: APIRouter, registry: Registry) -> None:
    @router.post(f"{BASE}/apps/{{app}}", status_code=204, responses=REGISTERING, openapi_extra=INSTANCE_BODY)
    async def register(request: Request, app: AppName, trusted: Trusted) -> Response:
        try:
            described = read_instance(await request.body(), request.headers.get("content-type", ""))
            registration = registration_of(described)
        except InvalidInstance as error:
            raise _invalid(error) from error
        if described.app != app.upper():
            raise _invalid(InvalidInstance([f"instance.app: {described.app} is posted to {app.upper()}"]))
        _refuse_stranger(trusted, registration.key)
        await registry.register(registration)
        return Response(status_code=204)

    @router.put(
        f"{BASE}/apps/{{app}}/{{instance_id}}",
        response_class=Response,
        responses=RENEWING,
        openapi_extra=WITHOUT_DATABASE,
    )
    async def renew(app: AppName, instance_id: InstanceId, trusted: Trusted, dirty_at_ms: Moment = 0) -> Response:
        key = _key(app, instance_id)
        _refuse_stranger(trusted, key)
        registry.renew(key, dirty_at_ms)
        return Response(status_code=200)

    @router.delete(f"{BASE}/apps/{{app}}/{{instance_id}}", response_class=Response, responses=CHANGING)
    async def cancel(app: AppName, instance_id: InstanceId, trusted: Trusted) -> Response:
        key = _key(app, instance_id)
        _refuse_stranger(trusted, key)
        await registry.deregister(key)
        return Response(status_code=200)


def _add_overriding(router: APIRouter, registry: Registry) -> None:
    @router.put(f"{BASE}/apps/{{app}}/{{instance_id}}/status", response_class=Response, responses=CHANGING)
    async def override(app: AppName, instance_id: InstanceId, trusted: Trusted, value: Status) -> Response:
        key = _key(app, instance_id)
        _refuse_stranger(trusted, key)
        await registry.override(key, None if value is Status.UNKNOWN else value)
        return Response(status_code=200)

    @router.delete(f"{BASE}/apps/{{app}}/{{instance_id}}/status", response_class=Response, responses=CHANGING)
    async def back_to_normal(app: AppName, instance_id: InstanceId, trusted: Trusted) -> Response:
        key = _key(app, instance_id)
        _refuse_stranger(trusted, key)
        await registry.override(key, None)
        return Response(status_code=200)

    @router.put(f"{BASE}/apps/{{app}}/{{instance_id}}/metadata", response_class=Response, responses=DESCRIBING)
    async def metadata(request: Request, app: AppName, instance_id: InstanceId, trusted: Trusted) -> Response:
        key = _key(app, instance_id)
        _refuse_stranger(trusted, key)
        changes = dict(request.query_params)
        wrong = [name[:64] for name, value in changes.items() if not _is_metadata(name, value)]
        if wrong or len(changes) > METADATA_CHANGES_MAX:
            raise Problem(400, "invalid_metadata", "Metadata is wrong", ", ".join(wrong)[:500] or "too many entries")
        await registry.set_metadata(key, changes)
        return Response(status_code=200)


def _is_metadata(name: str, value: str) -> bool:
    return 0 < len(name) <= 64 and len(value) <= 500 and name.isprintable() and value.isprintable()


def _key(app: str, instance_id: str) -> Key:
    return app.lower(), instance_id


def _refuse_stranger(trusted: bool, key: Key) -> None:
    if not trusted and key[0] in SERVICES:
        raise Problem(403, "platform_service", "The platform's own services are not open to everybody")


def _invalid(error: InvalidInstance) -> Problem:
    problems = error.problems[:50]
    return Problem(
        400, "invalid_instance", "This is no Eureka instance", "; ".join(problems)[:500], extra={"errors": problems}
    )


def _instances(registry: Registry) -> list[Instance]:
    return [held.instance() for held in registry.leases]


def _unknown(registry: Registry) -> Problem:
    return _warming() if registry.warming else Problem(404, "not_registered", "Nobody of that name is registered")


def _warming() -> Problem:
    detail = "the registry has just started with nothing; keep the list you have"
    later = {"Retry-After": str(RETRY_AFTER_S)}
    return Problem(503, "warming_up", "Not everybody was heard yet", detail, headers=later)


def _at(request: Request, registry: Registry, vip: str, attribute: str) -> Response:
    found = [
        instance
        for instance in _instances(registry)
        if vip.lower() in (address.strip().lower() for address in getattr(instance, attribute).split(","))
    ]
    if not found:
        raise _unknown(registry)
    return _applications(request, registry, found)


def _applications(request: Request, registry: Registry, instances: Iterable[Instance]) -> Response:
    hashcode = hashcode_of(held.registration.standing for held in registry.leases)
    document = applications_document(instances, registry.leases.version, hashcode)
    return _answer(request, registry, "applications", document)


def _answer(request: Request, registry: Registry, root: str, document: dict[str, Any]) -> Response:
    if registry.warming:
        raise _warming()
    body, media_type = rendered(root, document, request.headers.get("accept", ""))
    return Response(body, media_type=media_type)
