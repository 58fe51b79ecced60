"""Eureka's wire format, JSON and XML, without any I/O.

Both are one document: in the JSON, a member `@name` stands for an XML attribute and `$` for the text of an element
that has attributes. So everything is read into and written from the JSON form, and XML is a plain transcription of
it. The peculiarities are Eureka's own: `versions__delta` and `apps__hashcode`, time stamps and booleans as strings,
`overriddenStatus` in JSON but `overriddenstatus` in XML, an empty map that names its Java class.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

from settlement.services.configcenter.eureka_reader import Reader
from settlement.services.configcenter.safe_xml import InvalidXml, document_of, xml_of

JSON: Final = "application/json"
XML: Final = "application/xml"
OWN_DATA_CENTER: Final = "com.netflix.appinfo.InstanceInfo$DefaultDataCenterInfo"
EMPTY_MAP: Final = {"@class": "java.util.Collections$EmptyMap"}
METADATA_MAX: Final = 50


class Status(StrEnum):
    """What an instance says of itself, or an operator of it. Only UP gets calls."""

    UP = "UP"
    DOWN = "DOWN"
    STARTING = "STARTING"
    OUT_OF_SERVICE = "OUT_OF_SERVICE"
    UNKNOWN = "UNKNOWN"


class Action(StrEnum):
    """What happened to an instance, in a list of changes."""

    ADDED = "ADDED"
    MODIFIED = "MODIFIED"
    DELETED = "DELETED"


class InvalidInstance(ValueError):
    """A body that is no instance; `problems` has one sentence for each thing wrong."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


@dataclass(frozen=True)
class Port:
    """A port and whether it is in use."""

    number: int
    enabled: bool


@dataclass(frozen=True)
class Lease:
    """The lease as Eureka tells it: two lengths in seconds, four moments in epoch milliseconds (0: never)."""

    renewal_interval_s: int = 30
    duration_s: int = 90
    registered_at_ms: int = 0
    renewed_at_ms: int = 0
    evicted_at_ms: int = 0
    up_since_ms: int = 0


@dataclass(frozen=True)
class Instance:
    """One instance of an application, in Eureka's terms; `app` is in upper case."""

    instance_id: str
    app: str
    host_name: str
    ip_addr: str
    port: Port
    secure_port: Port = Port(443, enabled=False)
    status: Status = Status.UP
    overridden_status: Status = Status.UNKNOWN
    lease: Lease = Lease()
    metadata: Mapping[str, str] = field(default_factory=dict)
    data_center: str = "MyOwn"
    data_center_class: str = OWN_DATA_CENTER
    home_page_url: str = ""
    status_page_url: str = ""
    health_check_url: str = ""
    secure_health_check_url: str = ""
    vip_address: str = ""
    secure_vip_address: str = ""
    app_group_name: str = ""
    country_id: int = 1
    coordinating: bool = False
    updated_at_ms: int = 0
    dirty_at_ms: int = 0
    action: Action = Action.ADDED


def read_instance(body: bytes, content_type: str) -> Instance:
    """The instance in the body of a registration, JSON unless the content type says XML.

    Raises InvalidInstance with all problems.
    """
    if "xml" in content_type.lower():
        try:
            return instance_of(document_of(body))
        except InvalidXml as error:
            raise InvalidInstance([str(error)]) from error
    try:
        return instance_of(json.loads(body))
    except (ValueError, RecursionError) as error:
        if isinstance(error, InvalidInstance):
            raise
        raise InvalidInstance(["the body is not JSON"]) from error


def instance_of(document: object) -> Instance:
    """The instance in a parsed document, `{"instance": {...}}`. Raises InvalidInstance with all problems."""
    reader = Reader(document.get("instance") if isinstance(document, Mapping) else None)
    data_center, lease = reader.part("dataCenterInfo"), reader.part("leaseInfo", optional=True)
    instance = Instance(
        instance_id=reader.text("instanceId", length_max=200) or reader.text("hostName", length_max=200),
        app=reader.text("app", required=True, length_max=64).upper(),
        host_name=reader.text("hostName", required=True, length_max=200),
        ip_addr=reader.text("ipAddr", required=True, length_max=64),
        port=_port(reader, "port", Port(7001, enabled=True)),
        secure_port=_port(reader, "securePort", Port(7002, enabled=False)),
        status=_status(reader.text("status"), Status.UP),
        overridden_status=_status(reader.text("overriddenStatus") or reader.text("overriddenstatus"), Status.UNKNOWN),
        lease=_lease(lease),
        metadata=reader.texts("metadata", entries_max=METADATA_MAX),
        data_center=data_center.text("name", required=True, length_max=64),
        data_center_class=data_center.text("@class", length_max=200) or OWN_DATA_CENTER,
        home_page_url=reader.text("homePageUrl"),
        status_page_url=reader.text("statusPageUrl"),
        health_check_url=reader.text("healthCheckUrl"),
        secure_health_check_url=reader.text("secureHealthCheckUrl"),
        vip_address=reader.text("vipAddress"),
        secure_vip_address=reader.text("secureVipAddress"),
        app_group_name=reader.text("appGroupName", length_max=64),
        country_id=reader.integer("countryId", 1, 0, 2**31),
        coordinating=reader.text("isCoordinatingDiscoveryServer").lower() == "true",
        updated_at_ms=reader.integer("lastUpdatedTimestamp", 0, 0, 2**53),
        dirty_at_ms=reader.integer("lastDirtyTimestamp", 0, 0, 2**53),
    )
    if reader.problems:
        raise InvalidInstance(reader.problems)
    return instance


def _port(reader: Reader, name: str, default: Port) -> Port:
    part = reader.part(name, optional=True)
    number = part.integer("$", default.number, 0, 65_535)
    return Port(number, (part.text("@enabled") or str(default.enabled)).lower() == "true")


def _lease(reader: Reader) -> Lease:
    return Lease(
        renewal_interval_s=reader.integer("renewalIntervalInSecs", 30, 1, 600),
        duration_s=reader.integer("durationInSecs", 90, 1, 600),
    )


def _status(text: str, default: Status) -> Status:
    """Eureka takes a word that it does not know for UNKNOWN."""
    if not text:
        return default
    return Status.__members__.get(text.upper(), Status.UNKNOWN)


def instance_document(instance: Instance) -> dict[str, Any]:
    """One instance in the JSON form."""
    return {
        "instanceId": instance.instance_id,
        "hostName": instance.host_name,
        "app": instance.app,
        "ipAddr": instance.ip_addr,
        "status": instance.status.value,
        "overriddenStatus": instance.overridden_status.value,
        "port": _port_document(instance.port),
        "securePort": _port_document(instance.secure_port),
        "countryId": instance.country_id,
        "dataCenterInfo": {"@class": instance.data_center_class, "name": instance.data_center},
        "leaseInfo": _lease_document(instance.lease),
        "metadata": dict(instance.metadata) or dict(EMPTY_MAP),
        **_optional(instance),
        "isCoordinatingDiscoveryServer": _word(instance.coordinating),
        "lastUpdatedTimestamp": str(instance.updated_at_ms),
        "lastDirtyTimestamp": str(instance.dirty_at_ms),
        "actionType": instance.action.value,
    }


def _optional(instance: Instance) -> dict[str, str]:
    members = {
        "appGroupName": instance.app_group_name,
        "homePageUrl": instance.home_page_url,
        "statusPageUrl": instance.status_page_url,
        "healthCheckUrl": instance.health_check_url,
        "secureHealthCheckUrl": instance.secure_health_check_url,
        "vipAddress": instance.vip_address,
        "secureVipAddress": instance.secure_vip_address,
    }
    return {name: text for name, text in members.items() if text}


def _port_document(port: Port) -> dict[str, Any]:
    return {"$": port.number, "@enabled": _word(port.enabled)}


def _lease_document(lease: Lease) -> dict[str, int]:
    return {
        "renewalIntervalInSecs": lease.renewal_interval_s,
        "durationInSecs": lease.duration_s,
        "registrationTimestamp": lease.registered_at_ms,
        "lastRenewalTimestamp": lease.renewed_at_ms,
        "evictionTimestamp": lease.evicted_at_ms,
        "serviceUpTimestamp": lease.up_since_ms,
    }


def _word(value: bool) -> str:
    return "true" if value else "false"


def application_document(name: str, instances: Iterable[Instance]) -> dict[str, Any]:
    """One application with its instances in the JSON form."""
    return {"name": name, "instance": [instance_document(instance) for instance in instances]}


def applications_document(instances: Iterable[Instance], version: int, hashcode: str) -> dict[str, Any]:
    """A list of applications in the JSON form; `hashcode` is that of the whole registry, also in a list of changes."""
    by_app: dict[str, list[Instance]] = {}
    for instance in instances:
        by_app.setdefault(instance.app, []).append(instance)
    return {
        "versions__delta": str(version),
        "apps__hashcode": hashcode,
        "application": [application_document(name, found) for name, found in sorted(by_app.items())],
    }


def hashcode_of(statuses: Iterable[Status]) -> str:
    """How many instances have which status, `DOWN_1_UP_2_`: by it a client sees that it missed a change."""
    counts: dict[str, int] = {}
    for status in statuses:
        counts[status.value] = counts.get(status.value, 0) + 1
    return "".join(f"{status}_{count}_" for status, count in sorted(counts.items()))


def rendered(root: str, document: Mapping[str, Any], accept: str) -> tuple[bytes, str]:
    """The document under its root name as (body, content type): JSON if the Accept header asks for it, else XML."""
    if "json" in accept.lower():
        return json.dumps({root: document}, separators=(",", ":")).encode(), JSON
    return xml_of(root, document), XML
