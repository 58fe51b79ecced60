"""What the config center takes and shows. Times are epoch milliseconds."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from settlement.policies.balancer import WEIGHT, WEIGHT_MAX
from settlement.services.configcenter.eureka_codec import Status
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


class Registered(BaseModel):
    """How long the lease is that a replica was given."""

    lease_ms: int


class Renewed(BaseModel):
    """A lease that was extended."""

    renewed: bool


class ReplicaView(BaseModel):
    """A replica as everybody sees it."""

    replica: str
    address: str
    version: str
    weight: int
    status: Status


class RegistryView(BaseModel):
    """Who is where, by service. While `warming`, nobody should be forgotten who is not in it."""

    version: int
    warming: bool
    services: dict[str, list[ReplicaView]]


class RegistryStatus(BaseModel):
    """How the registry itself is."""

    version: int
    warming: bool
    self_preservation: bool
    leases: int
    processes: int
    processes_silent: int
    leases_kept: list[str]


class ProfileList(BaseModel):
    """The version in force of every profile."""

    profiles: dict[str, int]


class ConfigView(BaseModel):
    """The settings in force; those that are not named have their defaults."""

    version: int
    values: dict[str, Any]


class VersionView(ConfigView):
    """A version, and who wrote it when and why."""

    author: str
    comment: str
    restored_from: int | None
    created_at_ms: int


class VersionPage(BaseModel):
    """A page of versions, newest first; `next_before` is the cursor of the next page, null on the last."""

    versions: list[VersionView]
    next_before: int | None


class ChangedSetting(BaseModel):
    """What a setting was and is; null where the default holds."""

    before: Any
    after: Any


class Comparison(BaseModel):
    """What differs between two versions, by setting."""

    old: Annotated[int, Field(alias="from")]
    new: Annotated[int, Field(alias="to")]
    changes: dict[str, ChangedSetting]
