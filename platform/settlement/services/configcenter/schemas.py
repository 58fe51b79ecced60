"""Requests of the config center."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from settlement.policies.balancer import WEIGHT, WEIGHT_MAX
from settlement.services.configcenter.registration import is_address
from settlement.settings import PROFILES

Name = Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[a-z0-9][a-z0-9_.-]*$")]
Profile = Annotated[str, Field(pattern=f"^({'|'.join(PROFILES)})$")]
MetadataValue = Annotated[str, Field(max_length=200)]
Author = Annotated[str, Field(min_length=1, max_length=64)]
Comment = Annotated[str, Field(max_length=500)]
Version = Annotated[int, Field(ge=0, lt=2**31)]


def _callable_address(address: str) -> str:
    if not is_address(address):
        raise ValueError("expected scheme, host and perhaps a port, like http://10.1.2.3:8080")
    return address


class RegistrationIn(BaseModel):
    """A replica that announces itself; `address` is an URL without path, the lease is in milliseconds."""

    model_config = ConfigDict(extra="forbid")

    address: Annotated[
        str, Field(max_length=200, pattern=r"^https?://[A-Za-z0-9_.:\[\]-]+$"), AfterValidator(_callable_address)
    ]
    version: Annotated[str, Field(max_length=32)]
    weight: Annotated[int, Field(ge=0, le=WEIGHT_MAX)] = WEIGHT
    lease_ms: Annotated[int, Field(ge=50, le=600_000)]
    metadata: Annotated[dict[str, MetadataValue], Field(max_length=20)] = {}


class ConfigIn(BaseModel):
    """A new version of a profile, whole."""

    model_config = ConfigDict(extra="forbid")

    values: Annotated[dict[str, Any], Field(max_length=200)]
    author: Author = "operator"
    comment: Comment = ""


class RollbackIn(BaseModel):
    """A version whose values shall be in force again."""

    model_config = ConfigDict(extra="forbid")

    version: Version
    author: Author = "operator"
    comment: Comment = ""
