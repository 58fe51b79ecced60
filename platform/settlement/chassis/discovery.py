"""Who is where: registration with a lease at the config center, and a cached copy of its registry.

The cache keeps its last content when the registry is down, and for a while when the registry knows nobody of a service
any more (see `policies.lapse`): known peers stay reachable. Settings come from the same place and are followed by long
poll.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import Any, Final
from urllib.parse import quote

from structlog.typing import FilteringBoundLogger

from settlement.chassis.clock import Clock
from settlement.chassis.live_settings import LiveSettings
from settlement.chassis.signature import Call, signed_headers
from settlement.chassis.transport import NotSent, Transport, Unknown
from settlement.policies.balancer import WEIGHT
from settlement.policies.lapse import LastKnown
from settlement.topology import REGISTRY_SERVICE

CALL_TIMEOUT_S: Final = 2.0
WATCH_WAIT_MS: Final = 10_000
RETRY_PAUSE_S: Final = 0.05
RETRY_PAUSE_S_MAX: Final = 1.0
REFRESH_PAUSE_MS_MIN: Final = 50
UP: Final = "UP"


@dataclass(frozen=True, slots=True)
class Instance:
    """A registered replica; `address` is an URL without a trailing slash. Only status UP gets calls."""

    replica: str
    address: str
    version: str = ""
    weight: int = WEIGHT
    status: str = UP


@dataclass(frozen=True)
class Announcement:
    """What a replica tells the registry about itself: where, which version, which share of the calls (see `weight`).

    `metadata["process"]` names the process, so that the registry can tell one crash from many.
    """

    address: str
    version: str
    weight: int = WEIGHT
    metadata: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RegistryView:
    """What the registry says; while it is warming up, who is missing may just not have been heard yet."""

    services: dict[str, tuple[Instance, ...]]
    warming: bool = False


class RegistryUnavailable(Exception):
    """The registry did not answer, or not as agreed."""


class RegistryClient:
    """The config center as one replica sees it, at a fixed address."""

    def __init__(self, address: str, service: str, replica: str, secret: str, transport: Transport, clock: Clock):
        self._address = address.rstrip("/")
        self._service = service
        self._replica = replica
        self._secret = secret
        self._transport = transport
        self._clock = clock

    async def register(self, announcement: Announcement, lease_ms: int) -> None:
        """Announce this replica. Raises RegistryUnavailable."""
        body = {**asdict(announcement), "lease_ms": lease_ms}
        status, _ = await self._ask("PUT", self._path(), body)
        _expect(status, 200, 201)

    async def renew(self) -> bool:
        """Renew the lease; False if the registry does not know this replica (any more). Raises RegistryUnavailable."""
        status, _ = await self._ask("PUT", self._path() + "/lease", {})
        if status == 404:
            return False
        _expect(status, 200)
        return True

    async def deregister(self) -> None:
        """Withdraw this replica. Raises RegistryUnavailable."""
        status, _ = await self._ask("DELETE", self._path(), None)
        _expect(status, 200, 204, 404)

    async def registry(self) -> RegistryView:
        """Every registered replica by service. Raises RegistryUnavailable."""
        status, document = await self._ask("GET", "/registry", None)
        _expect(status, 200)
        with _as_agreed():
            services = {
                service: tuple(_instance(entry) for entry in entries)
                for service, entries in document["services"].items()
            }
            return RegistryView(services, bool(document.get("warming", False)))

    async def config(self, profile: str, after: int | None = None) -> tuple[int, dict[str, Any]]:
        """Version and values of a profile; with `after`, waits for a newer one. Raises RegistryUnavailable."""
        path = f"/config/{quote(profile, safe='')}"
        timeout_s = CALL_TIMEOUT_S
        if after is not None:
            path += f"?after={after}&wait_ms={WATCH_WAIT_MS}"
            timeout_s += WATCH_WAIT_MS / 1_000
        status, document = await self._ask("GET", path, None, timeout_s)
        _expect(status, 200)
        with _as_agreed():
            return int(document["version"]), dict(document["values"])

    def _path(self) -> str:
        return f"/registry/{self._service}/{self._replica}"

    async def _ask(self, method: str, path: str, body: object, timeout_s: float = CALL_TIMEOUT_S) -> tuple[int, Any]:
        content = b"" if body is None else json.dumps(body).encode()
        now_ms = self._clock.now_ms()
        call = Call(self._service, REGISTRY_SERVICE, method, path, content)
        headers = signed_headers(self._secret, call, now_ms)
        headers["content-type"] = "application/json"
        try:
            answer = await self._transport.send(self._address, method, path, content, headers, timeout_s)
            return answer.status, json.loads(answer.body) if answer.body else None
        except (NotSent, Unknown, ValueError) as error:
            raise RegistryUnavailable(f"the registry at {self._address} does not answer: {error}") from error


def _instance(entry: Mapping[str, Any]) -> Instance:
    return Instance(
        entry["replica"],
        entry["address"].rstrip("/"),
        str(entry.get("version", "")),
        int(entry.get("weight", WEIGHT)),
        str(entry.get("status", UP)),
    )


def _expect(status: int, *wanted: int) -> None:
    if status not in wanted:
        raise RegistryUnavailable(f"the registry answered {status}")


@contextmanager
def _as_agreed() -> Iterator[None]:
    """Turn a document of the wrong shape into RegistryUnavailable: something else listens there."""
    try:
        yield
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise RegistryUnavailable(f"the registry answered something else than agreed: {error!r}") from error


class RegistryCache:
    """The replicas of every service as last heard; survives a registry that is down."""

    def __init__(self, client: RegistryClient | None, clock: Clock, log: FilteringBoundLogger) -> None:
        self._client = client
        self._clock = clock
        self._log = log
        self._services: dict[str, tuple[Instance, ...]] = {}
        self._serving: dict[str, tuple[Instance, ...]] = {}
        self._last_known: LastKnown[Instance] = LastKnown()
        self._reachable = True
        self._refreshed_at_ms = -1e9
        self._refreshing: asyncio.Task[None] | None = None
        self._listeners: list[Callable[[Set[str]], None]] = []

    def replicas(self, service: str) -> Sequence[Instance]:
        """The known replicas of a service that are up; empty if there is none."""
        return self._serving.get(service, ())

    def put(self, services: Mapping[str, Sequence[Instance]], warming: bool = False) -> None:
        """Take in what the registry says (what `refresh` does with its answer).

        A registry that is warming up has lost its list: then nobody is forgotten for not being on it.
        """
        heard = _with_unheard(self._services, services) if warming else services
        known = self._last_known.after(heard, self._clock.monotonic_ms())
        if known == self._services:
            return
        self._services = known
        # After the patience with empty lists, which is for accidents: a status is somebody's intention.
        self._serving = {
            service: tuple(instance for instance in instances if instance.status == UP)
            for service, instances in known.items()
        }
        addresses = {instance.address for instances in known.values() for instance in instances}
        for listener in self._listeners:
            listener(addresses)

    def on_change(self, listener: Callable[[Set[str]], None]) -> None:
        """Call `listener` with all known addresses whenever the content changes."""
        self._listeners.append(listener)

    async def refresh(self) -> None:
        """Fetch the registry; on failure keep what is known."""
        if self._client is None:
            return
        self._refreshed_at_ms = self._clock.monotonic_ms()
        try:
            view = await self._client.registry()
            self.put(view.services, view.warming)
        except RegistryUnavailable as error:
            if self._reachable:
                self._log.warning("registry_unreachable", error=str(error))
            self._reachable = False
            return
        if not self._reachable:
            self._log.info("registry_reachable_again")
        self._reachable = True

    def refresh_soon(self) -> asyncio.Task[None] | None:
        """Fetch the registry in the background, because a replica did not answer; not more often than needed.

        Nobody with a deadline of their own should have to wait for a registry that may hang itself.
        """
        if self._refreshing is not None and not self._refreshing.done():
            return self._refreshing
        if self._client is None or self._clock.monotonic_ms() - self._refreshed_at_ms < REFRESH_PAUSE_MS_MIN:
            return None
        self._refreshing = asyncio.create_task(self.refresh(), name="registry_refresh")
        return self._refreshing


def _with_unheard(
    known: Mapping[str, Sequence[Instance]], heard: Mapping[str, Sequence[Instance]]
) -> dict[str, tuple[Instance, ...]]:
    merged = {}
    for service in {**known, **heard}:
        instances = tuple(heard.get(service, ()))
        names = {instance.replica for instance in instances}
        unheard = tuple(instance for instance in known.get(service, ()) if instance.replica not in names)
        merged[service] = instances + unheard
    return merged


class Registration:
    """Keeps one replica registered: announces it, renews the lease, withdraws it."""

    def __init__(
        self, client: RegistryClient, announcement: Announcement, settings: LiveSettings, log: FilteringBoundLogger
    ) -> None:
        self._client = client
        self._announcement = announcement
        self._settings = settings
        self._log = log
        self._registered = False

    async def announce(self) -> None:
        """Register, trying again until it works."""
        pause_s = RETRY_PAUSE_S
        while not self._registered:
            await self.renew()
            if not self._registered:
                await asyncio.sleep(pause_s)
                pause_s = min(RETRY_PAUSE_S_MAX, pause_s * 2)

    async def renew(self) -> None:
        """Renew the lease; register again if the registry has forgotten us."""
        try:
            if self._registered and await self._client.renew():
                return
            lease_ms = self._settings.integer("registry.lease_ms")
            await self._client.register(self._announcement, lease_ms)
            self._registered = True
        except RegistryUnavailable as error:
            self._log.warning("registration_failed", error=str(error))

    async def withdraw(self) -> None:
        """Deregister, if the registry is there to hear it."""
        if not self._registered:
            return
        try:
            await self._client.deregister()
        except RegistryUnavailable as error:
            self._log.warning("deregistration_failed", error=str(error))


async def first_config(client: RegistryClient, profile: str, log: FilteringBoundLogger) -> LiveSettings:
    """The settings to start with; waits for the registry, for it may be starting at the same time."""
    pause_s, waited = RETRY_PAUSE_S, 0
    while True:
        try:
            version, values = await client.config(profile)
            return LiveSettings(values, version)
        except RegistryUnavailable as error:
            waited += 1
            if waited % 20 == 10:
                log.warning("waiting_for_registry", error=str(error))
        await asyncio.sleep(pause_s)
        pause_s = min(RETRY_PAUSE_S_MAX / 4, pause_s * 1.5)


async def follow_config(
    client: RegistryClient, profile: str, settings: LiveSettings, log: FilteringBoundLogger
) -> None:
    """Put every new version of the profile in force, for ever."""
    seen = settings.version
    while True:
        try:
            version, values = await client.config(profile, seen)
            if version != seen:
                seen = version
                settings.replace(values, version)
                log.info("settings_changed", version=version)
        except RegistryUnavailable:
            await asyncio.sleep(RETRY_PAUSE_S_MAX)
        except ValueError as error:
            # A registry newer than this service may know settings that this service does not. The next may be better.
            log.error("settings_refused", version=seen, error=str(error))
