"""One operating-system process with one or several replicas in it, on one event loop."""

from __future__ import annotations

import asyncio
import gc
import os
import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import uvicorn
import uvloop
from opentelemetry.sdk.trace import SpanProcessor
from sqlalchemy.exc import DatabaseError

from settlement.chassis.clock import SystemClock
from settlement.chassis.database import DatabaseUnavailable, DatabaseUnusable
from settlement.chassis.discovery import (
    Announcement,
    Registration,
    RegistryCache,
    RegistryClient,
    first_config,
    follow_config,
)
from settlement.chassis.lifeline import die_with_parent, on_stop
from settlement.chassis.live_settings import LiveSettings
from settlement.chassis.replica import Replica, ReplicaPlan
from settlement.chassis.secrets import Secrets
from settlement.chassis.telemetry import configure_logging, get_logger
from settlement.chassis.tracing import TraceTargets
from settlement.chassis.transport import AiohttpTransport
from settlement.chassis.watchdog import Watchdog, end_hung_process
from settlement.policies.balancer import WEIGHT
from settlement.setting_formats import levels_of
from settlement.topology import REGISTRY_SERVICE, VERSION

LOOPBACK: Final = "127.0.0.1"
BACKLOG: Final = 2_048
# Longer than the clients keep a connection, so that the server never closes one that is about to be used.
KEEPALIVE_S: Final = 75
DRAIN_S: Final = 5
# Young objects between two collections; Python's default of 700 collects several times a request.
GC_ALLOCATIONS: Final = 20_000


class StartFailed(Exception):
    """A replica cannot start; the message is for the person who started it."""


@dataclass(frozen=True)
class ReplicaArguments:
    """One replica as the command line asks for it; port 0 takes any free one."""

    service: str
    replica: str
    port: int


@dataclass(frozen=True)
class Listening:
    """The address a process listens on, and the name or address that others reach it by."""

    host: str = LOOPBACK
    advertised: str = LOOPBACK


@dataclass(frozen=True)
class Backends:
    """What a process uses instead of its embedded database and cache; None: the embedded one. URLs hold passwords."""

    database_url: str | None = field(default=None, repr=False)
    redis_url: str | None = field(default=None, repr=False)


class _Server(uvicorn.Server):
    """A server that leaves the signals to the process."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Do nothing."""
        yield


class RunningReplica:
    """A replica with its socket, its registration and its server."""

    def __init__(self, given: ReplicaArguments, process: Process) -> None:
        self.given = given
        self._process = process
        self._socket = _bound_socket(given, process.listening.host)
        self.address = f"http://{process.listening.advertised}:{self._socket.getsockname()[1]}"
        self._log = get_logger(given.service, given.replica)
        self._replica: Replica | None = None
        self._server: _Server | None = None
        self._serving: asyncio.Task[None] | None = None
        self._registration: Registration | None = None

    async def start(self) -> None:
        """Fetch the settings, open the database, serve, register."""
        transport = AiohttpTransport()
        clock = SystemClock()
        process = self._process
        client = RegistryClient(
            process.registry, self.given.service, self.given.replica, process.secrets.service, transport, clock
        )
        is_registry = self.given.service == REGISTRY_SERVICE
        settings = (
            LiveSettings(process.initial_settings)
            if is_registry
            else await first_config(client, process.profile, self._log)
        )
        _follow_levels(settings)
        cache = RegistryCache(client, clock, self._log)
        self._replica = self._assembled(
            ReplicaPlan(
                service=self.given.service,
                replica=self.given.replica,
                data=process.data,
                settings=settings,
                secrets=process.secrets,
                registry=cache,
                transport=transport,
                clock=clock,
                profile=process.profile,
                initial_settings=process.initial_settings,
                database_url=process.backends.database_url,
                redis_url=process.backends.redis_url,
                span_processors=process.span_processors,
            )
        )
        if not is_registry:
            await cache.refresh()
        await self._started(self._replica)
        await self._serve()
        announcement = Announcement(self.address, process.version, process.weight, {"process": _process_name()})
        self._registration = Registration(client, announcement, settings, self._log)
        await self._registration.announce()
        self._keep_up(client, cache, settings)
        self._log.info("ready", address=self.address)

    def _assembled(self, plan: ReplicaPlan) -> Replica:
        try:
            return Replica(plan)
        except (DatabaseError, DatabaseUnusable) as error:
            raise self._no_database(error) from error

    async def _started(self, replica: Replica) -> None:
        try:
            await replica.start()
        except (DatabaseError, DatabaseUnusable, DatabaseUnavailable) as error:
            raise self._no_database(error) from error

    def _no_database(self, error: DatabaseError | DatabaseUnusable | DatabaseUnavailable) -> StartFailed:
        remote = self._process.backends.database_url is not None
        name = "of this service" if remote else f"{self._process.data / self.given.service}.sqlite"
        return StartFailed(f"cannot use the database {name}: {getattr(error, 'orig', error)}")

    def _keep_up(self, client: RegistryClient, cache: RegistryCache, settings: LiveSettings) -> None:
        assert self._replica is not None  # noqa: S101 - called after the start
        assert self._registration is not None  # noqa: S101 - called after the start
        workers = self._replica.chassis.workers
        workers.every(lambda: settings.integer("registry.renew_interval_ms"), self._registration.renew, "lease")
        workers.every(lambda: settings.integer("registry.refresh_interval_ms"), cache.refresh, "registry_cache")
        workers.spawn(follow_config(client, self._process.profile, settings, self._log), "config_watch")
        settings.on_change(lambda: _follow_levels(settings))

    async def _serve(self) -> None:
        assert self._replica is not None  # noqa: S101 - called after the assembly
        config = uvicorn.Config(
            self._replica.app,
            loop="uvloop",
            http="httptools",
            ws="none",
            lifespan="off",
            interface="asgi3",
            log_config=None,
            access_log=False,
            server_header=False,
            date_header=False,
            proxy_headers=False,
            backlog=BACKLOG,
            timeout_keep_alive=KEEPALIVE_S,
            timeout_graceful_shutdown=DRAIN_S,
        )
        self._server = _Server(config)
        self._serving = asyncio.create_task(self._server.serve(sockets=[self._socket]), name="server")
        while not self._server.started:
            if self._serving.done():
                self._serving.result()
                raise StartFailed(f"the server of {self.given.replica} ended before it had started")
            await asyncio.sleep(0.001)

    async def stop(self) -> None:
        """Withdraw, finish the requests that have begun, stop the workers, close the database."""
        if self._replica is None:
            self._socket.close()
            return
        self._replica.chassis.stopping.set()
        if self._registration is not None:
            await self._registration.withdraw()
        if self._server is not None and self._serving is not None:
            self._server.should_exit = True
            await self._serving
        await self._replica.stop()
        self._log.info("stopped")


class Process:
    """The replicas of this process."""

    def __init__(
        self,
        replicas: Sequence[ReplicaArguments],
        registry: str | None,
        data: Path,
        profile: str,
        secrets: Secrets,
        initial_settings: Mapping[str, object],
        *,
        listening: Listening = Listening(),
        backends: Backends = Backends(),
        version: str = VERSION,
        weight: int = WEIGHT,
        traces: TraceTargets | None = None,
    ) -> None:
        self._given = replicas
        self.version = version
        self.weight = weight
        self.registry = registry or ""
        self.data = data
        self.profile = profile
        self.secrets = secrets
        self.initial_settings = dict(initial_settings)
        self.listening = listening
        self.backends = backends
        self._traces = traces or TraceTargets()
        self.span_processors: tuple[SpanProcessor, ...] = ()
        level = self.initial_settings.get("log.level", "INFO")
        configure_logging(str(level))

    def run(self, with_parent: bool) -> None:
        """Serve until told to stop. Raises StartFailed."""
        if with_parent:
            die_with_parent()
        try:
            self.span_processors = self._traces.processors()
        except OSError as error:
            raise StartFailed(f"cannot write spans to {self._traces.file}: {error.strerror or error}") from error
        try:
            uvloop.run(self._run())
        finally:
            for processor in self.span_processors:
                processor.shutdown()

    async def _run(self) -> None:
        stopped = asyncio.Event()
        log = get_logger(self._given[0].service, self._given[0].replica)

        def stop(reason: str) -> None:
            if not stopped.is_set():
                log.info("stopping", reason=reason)
            stopped.set()

        on_stop(asyncio.get_running_loop(), stop)
        replicas = [RunningReplica(given, self) for given in self._given]
        if not self.registry:
            self.registry = replicas[0].address
        starting = asyncio.create_task(self._start_all(replicas), name="start")
        stopping = asyncio.create_task(stopped.wait(), name="stop")
        watching = asyncio.create_task(Watchdog(end_hung_process).run(), name="watchdog")
        await asyncio.wait({starting, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if starting.done() and starting.exception() is None:
            await stopping
        stopping.cancel()
        starting.cancel()
        watching.cancel()
        results = await asyncio.gather(starting, return_exceptions=True)
        # The registry last: the others still have to withdraw from it.
        for replica in reversed(replicas):
            await replica.stop()
        if isinstance(results[0], Exception):
            raise results[0]

    async def _start_all(self, replicas: Sequence[RunningReplica]) -> None:
        for replica in replicas:
            await replica.start()
        # What is loaded by now lives as long as the process; walking it again at every collection is wasted.
        gc.collect()
        gc.freeze()
        gc.set_threshold(GC_ALLOCATIONS)


def _follow_levels(settings: LiveSettings) -> None:
    configure_logging(settings.text("log.level"), levels_of(settings.text("log.levels")))


def _process_name() -> str:
    return f"{socket.gethostname()}:{os.getpid()}"


def _bound_socket(given: ReplicaArguments, host: str) -> socket.socket:
    bound = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((host, given.port))
    except OSError as error:
        bound.close()
        reason = error.strerror or str(error)
        raise StartFailed(f"{given.replica} cannot have port {given.port} on {host}: {reason.lower()}") from error
    bound.setblocking(False)
    return bound
