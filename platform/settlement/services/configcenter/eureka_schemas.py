"""Eureka's JSON, as the OpenAPI document describes it: what is told of instances, and what is taken of them."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from settlement.services.configcenter.eureka_codec import Action, Status

Word = Literal["true", "false"]

# What has to be in a registration. Numbers and booleans may be texts, members that are not known are overlooked.
INSTANCE: Final[dict[str, Any]] = {
    "type": "object",
    "required": ["app", "hostName", "ipAddr", "port", "dataCenterInfo"],
    "properties": {
        "instanceId": {"type": "string", "maxLength": 200, "description": "hostName, if it is not given"},
        "app": {"type": "string", "minLength": 1, "maxLength": 64, "description": "As in the path"},
        "hostName": {"type": "string", "minLength": 1, "maxLength": 200},
        "ipAddr": {"type": "string", "minLength": 1, "maxLength": 64},
        "status": {"enum": [status.value for status in Status]},
        "port": {
            "type": "object",
            "properties": {"$": {"type": "integer", "minimum": 1, "maximum": 65_535}, "@enabled": {"const": "true"}},
            "required": ["$", "@enabled"],
        },
        "dataCenterInfo": {
            "type": "object",
            "required": ["name"],
            "properties": {"name": {"type": "string", "minLength": 1, "maxLength": 64}},
        },
        "metadata": {
            "type": "object",
            "maxProperties": 50,
            "additionalProperties": {"type": "string", "maxLength": 500},
        },
    },
}


class _CamelCase(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel)


class PortView(BaseModel):
    """A port and whether it is in use."""

    number: Annotated[int, Field(alias="$")]
    enabled: Annotated[Word, Field(alias="@enabled")]


class DataCenterView(BaseModel):
    """Where an instance runs, in Netflix' terms."""

    java_class: Annotated[str, Field(alias="@class")]
    name: str


class LeaseView(_CamelCase):
    """A lease: lengths in seconds, moments in epoch milliseconds."""

    renewal_interval_in_secs: int
    duration_in_secs: int
    registration_timestamp: int
    last_renewal_timestamp: int
    eviction_timestamp: int
    service_up_timestamp: int


class InstanceView(_CamelCase):
    """An instance of an application."""

    instance_id: str
    host_name: str
    app: str
    ip_addr: str
    status: Status
    overridden_status: Status
    port: PortView
    secure_port: PortView
    country_id: int
    data_center_info: DataCenterView
    lease_info: LeaseView
    metadata: dict[str, str]
    app_group_name: str = ""
    home_page_url: str = ""
    status_page_url: str = ""
    health_check_url: str = ""
    secure_health_check_url: str = ""
    vip_address: str = ""
    secure_vip_address: str = ""
    is_coordinating_discovery_server: Word
    last_updated_timestamp: str
    last_dirty_timestamp: str
    action_type: Action


class ApplicationView(BaseModel):
    """An application and its instances."""

    name: str
    instance: list[InstanceView]


class ApplicationList(BaseModel):
    """All applications, or those that changed."""

    versions__delta: str
    apps__hashcode: str
    application: list[ApplicationView]


class Applications(BaseModel):
    """The answer with several applications."""

    applications: ApplicationList


class OneApplication(BaseModel):
    """The answer with one application."""

    application: ApplicationView


class OneInstance(BaseModel):
    """The answer with one instance."""

    instance: InstanceView
