"""One registration, whoever made it: our services in our words, Eureka clients in theirs. Pure.

Everybody is in the same registry, so each can be told of in both vocabularies: a service `order` is the application
`ORDER`, a replica is an instance, and version and weight travel as metadata.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Final
from urllib.parse import urlsplit

from settlement.policies.balancer import WEIGHT, WEIGHT_MAX
from settlement.services.configcenter.eureka_codec import (
    Action,
    Instance,
    InvalidInstance,
    Lease,
    Port,
    Status,
    instance_document,
    instance_of,
)

Key = tuple[str, str]

_SERVICE: Final = re.compile(r"[a-z0-9][a-z0-9_.-]{0,63}")
_REPLICA: Final = re.compile(r"[^\s/?#%]{1,200}")
_HOST: Final = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9_])?")
_VERSION_LENGTH_MAX: Final = 32


@dataclass(frozen=True)
class Registration:
    """Who is where. `status` is what a replica says of itself, `override` what an operator says of it.

    `eureka` is the instance as an Eureka client described it; None for our own services.
    """

    service: str
    replica: str
    address: str
    version: str
    lease_ms: int
    weight: int = WEIGHT
    metadata: Mapping[str, str] = field(default_factory=dict)
    status: Status = Status.UP
    override: Status | None = None
    eureka: Instance | None = None

    @property
    def key(self) -> Key:
        """What it is found by."""
        return self.service, self.replica

    @property
    def standing(self) -> Status:
        """The status that counts: an operator cannot declare well who says that it is not."""
        if self.override is None or self.status in (Status.DOWN, Status.STARTING):
            return self.status
        return self.override

    @property
    def origin(self) -> str:
        """The process it lives in, as far as is known: what dies in one crash."""
        return self.metadata.get("process") or f"{self.service}/{self.replica}"

    def with_metadata(self, changes: Mapping[str, str]) -> Registration:
        """With more metadata; `version` and `weight` among them count. Raises InvalidInstance."""
        metadata = {**self.metadata, **changes}
        version, weight = _version_and_weight({"version": self.version, "weight": str(self.weight), **changes})
        return replace(self, metadata=metadata, version=version, weight=weight)

    def stored(self) -> dict[str, Any]:
        """As a document that `restored` reads."""
        plain = asdict(replace(self, eureka=None))
        return {**plain, "eureka": None if self.eureka is None else instance_document(self.eureka)}


def restored(document: Mapping[str, Any]) -> Registration:
    """The registration that was stored."""
    override, eureka = document["override"], document["eureka"]
    members = {
        **document,
        "status": Status(document["status"]),
        "override": None if override is None else Status(override),
        "eureka": None if eureka is None else instance_of({"instance": eureka}),
    }
    return Registration(**members)


def registration_of(instance: Instance) -> Registration:
    """The registration that an Eureka client asks for. Raises InvalidInstance with all problems."""
    address = _address(instance)
    problems = [
        f"instance.{name}: {text[:60]!r} is not allowed here"
        for name, text, form in (
            ("app", instance.app.lower(), _SERVICE),
            ("instanceId", instance.instance_id, _REPLICA),
        )
        if form.fullmatch(text) is None
    ]
    if not is_address(address):
        problems.append(f"instance.hostName: {address[:60]!r} is no address")
    if not (instance.port.enabled or instance.secure_port.enabled):
        problems.append("instance.port: neither port is enabled")
    version, weight = "", WEIGHT
    try:
        version, weight = _version_and_weight(instance.metadata)
    except InvalidInstance as error:
        problems += error.problems
    if problems:
        raise InvalidInstance(problems)
    override = instance.overridden_status
    return Registration(
        service=instance.app.lower(),
        replica=instance.instance_id,
        address=address,
        version=version,
        weight=weight,
        lease_ms=instance.lease.duration_s * 1_000,
        metadata=dict(instance.metadata),
        status=instance.status,
        override=None if override is Status.UNKNOWN else override,
        eureka=instance,
    )


def is_address(address: str) -> bool:
    """Whether this can be called: `http://host:port`, or https, or without the port. Every caller will be given it."""
    try:
        parts = urlsplit(address)
        port, host = parts.port, parts.hostname or ""
        named = _HOST.fullmatch(host) is not None
        if not named:
            ipaddress.IPv6Address(host)
    except ValueError:
        return False
    shown = (host if named else f"[{host}]") + ("" if port is None else f":{port}")
    return parts.scheme in ("http", "https") and port != 0 and address.lower() == f"{parts.scheme}://{shown}"


def _version_and_weight(metadata: Mapping[str, str]) -> tuple[str, int]:
    version, weight = metadata.get("version", ""), metadata.get("weight", str(WEIGHT))
    problems = []
    if len(version) > _VERSION_LENGTH_MAX:
        problems.append(f"metadata.version: longer than {_VERSION_LENGTH_MAX} characters")
    if not (weight.isascii() and weight.isdigit() and len(weight) <= 4 and int(weight) <= WEIGHT_MAX):
        problems.append(f"metadata.weight: expected a whole number from 0 to {WEIGHT_MAX}, got {weight[:60]!r}")
    if problems:
        raise InvalidInstance(problems)
    return version, int(weight)


def _address(instance: Instance) -> str:
    host = f"[{instance.host_name}]" if ":" in instance.host_name else instance.host_name
    if instance.port.enabled:
        return f"http://{host}:{instance.port.number}"
    return f"https://{host}:{instance.secure_port.number}"


def instance_in(registration: Registration, lease: Lease, updated_at_ms: int, action: Action) -> Instance:
    """The registration in Eureka's words, as it stands."""
    described = registration.eureka or _described(registration)
    override = registration.override
    return replace(
        described,
        status=registration.standing,
        overridden_status=Status.UNKNOWN if override is None else override,
        metadata=_told_metadata(registration),
        lease=replace(
            lease,
            duration_s=max(1, registration.lease_ms // 1_000),
            renewal_interval_s=described.lease.renewal_interval_s,
        ),
        updated_at_ms=updated_at_ms,
        action=action,
    )


def _told_metadata(registration: Registration) -> dict[str, str]:
    if registration.eureka is not None:
        return dict(registration.metadata)
    return {**registration.metadata, "version": registration.version, "weight": str(registration.weight)}


def _described(registration: Registration) -> Instance:
    """One of our own replicas as an Eureka client would have described it."""
    parts = urlsplit(registration.address)
    secure = parts.scheme == "https"
    port = Port(parts.port or (443 if secure else 80), enabled=True)
    unused = Port(80 if secure else 443, enabled=False)
    return Instance(
        instance_id=registration.replica,
        app=registration.service.upper(),
        host_name=parts.hostname or "",
        ip_addr=parts.hostname or "",
        port=unused if secure else port,
        secure_port=port if secure else unused,
        lease=Lease(renewal_interval_s=max(1, registration.lease_ms // 3_000)),
        home_page_url=f"{registration.address}/",
        status_page_url=f"{registration.address}/health/live",
        health_check_url=f"{registration.address}/health/ready",
        vip_address=registration.service,
        secure_vip_address=registration.service,
    )
