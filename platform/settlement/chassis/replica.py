"""One replica of one service: assembled, started, stopped. The composition root of everything in the chassis.

`serve.py` gives it the real network and clock, the tests give it their own.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType

from opentelemetry.sdk.trace import SpanProcessor
from starlette.types import ASGIApp

from settlement.chassis import dead_letters, inbox, outbox
from settlement.chassis.admission import Admission
from settlement.chassis.app import Chassis, ServiceApp, asgi_app
from settlement.chassis.cache import cache_of
from settlement.chassis.clock import Clock, SystemClock
from settlement.chassis.database import open_database
from settlement.chassis.database_watch import watch_pool
from settlement.chassis.dead_letters import DeadLetters
from settlement.chassis.degradation import Degradation
from settlement.chassis.discovery import RegistryCache
from settlement.chassis.event_metrics import watch_outbox, watched
from settlement.chassis.events import Carrier
from settlement.chassis.faults import CrashPoints, FaultTable, kill_process
from settlement.chassis.http_client import ServiceClient
from settlement.chassis.inbox import Inbox
from settlement.chassis.keys import KeyRing
from settlement.chassis.limiter import limiter_of
from settlement.chassis.live_settings import LiveSettings
from settlement.chassis.metrics import Metrics, watch_event_loop
from settlement.chassis.outbox import Outbox
from settlement.chassis.redis import PROBE_INTERVAL_MS, SharedRedis
from settlement.chassis.relay_http import HttpPush
from settlement.chassis.retention import SWEEP_INTERVAL_MS, Sweeper
from settlement.chassis.secrets import Secrets
from settlement.chassis.security import Tokens
from settlement.chassis.signature import SignatureVerifier, target_of
from settlement.chassis.streams import StreamConsumer, StreamPublisher
from settlement.chassis.telemetry import get_logger
from settlement.chassis.tracing import Tracing
from settlement.chassis.transport import Transport
from settlement.chassis.workers import Workers
from settlement.topology import REGISTRY_SERVICE


@dataclass(frozen=True)
class ReplicaPlan:
    """What one replica is made from; `initial_settings` is for the config center only.

    `database_url` None: a SQLite file in `data`. `redis_url` None: cache, limiter and event delivery are embedded.
    """

    service: str
    replica: str
    data: Path
    settings: LiveSettings
    secrets: Secrets
    registry: RegistryCache
    transport: Transport
    clock: Clock = field(default_factory=SystemClock)
    crash_points: CrashPoints = field(default_factory=CrashPoints)
    end_process: Callable[[], None] = kill_process
    profile: str = "dev"
    initial_settings: Mapping[str, object] = field(default_factory=dict)
    span_processors: Sequence[SpanProcessor] = ()
    database_url: str | None = field(default=None, repr=False)
    redis_url: str | None = field(default=None, repr=False)


class Replica:
    """A replica that can be started and stopped; `app` is its ASGI application."""

    def __init__(self, plan: ReplicaPlan) -> None:
        self.chassis = _chassis(plan)
        package = f"settlement.services.{plan.service}"
        self._model = importlib.import_module(f"{package}.model")
        self._service_app: ServiceApp = importlib.import_module(f"{package}.api").create(self.chassis)
        self._inbox = self._made_inbox()
        retention = (*getattr(self._model, "RETENTION", ()), *inbox.RETENTION, *dead_letters.RETENTION)
        chassis = self.chassis
        self.sweeper = Sweeper(
            chassis.database, retention, chassis.settings, chassis.clock, chassis.metrics, chassis.log
        )
        self.app: ASGIApp = asgi_app(self.chassis, self._service_app, self._inbox)

    def _made_inbox(self) -> Inbox:
        chassis = self.chassis
        letters = DeadLetters(chassis.database, chassis.settings, chassis.clock)
        letters.expose(chassis.metrics)
        consumers = watched(self._service_app.consumers, chassis)
        return Inbox(chassis.database, consumers, letters, chassis.clock, chassis.log)

    async def _create_schema(self, model: ModuleType) -> None:
        metadatas = [model.metadata, outbox.metadata, inbox.metadata, dead_letters.metadata]
        await self.chassis.database.create_schema(metadatas, model.VIEWS)

    async def start(self) -> None:
        """Create what is missing in the database, run the service's own start and the chassis' workers."""
        chassis = self.chassis
        await self._create_schema(self._model)
        watch_outbox(chassis)
        watch_pool(chassis.database, chassis.metrics)
        chassis.spawn(watch_event_loop(chassis.metrics), "event_loop_lag")
        if chassis.redis is not None:
            await chassis.redis.watch()  # what it finds is believed; a service starts without Redis, too
            chassis.every(PROBE_INTERVAL_MS, chassis.redis.watch, "redis_watch")
        if self._service_app.start is not None:
            await self._service_app.start()
        if chassis.redis is not None:
            self._consume_streams(chassis.redis)
        chassis.every(lambda: chassis.settings.integer("outbox.poll_interval_ms"), chassis.outbox.relay, "outbox")
        chassis.every(SWEEP_INTERVAL_MS, self.sweeper.sweep, "retention")

    def _consume_streams(self, redis: SharedRedis) -> None:
        chassis = self.chassis
        consumer = StreamConsumer(
            chassis.service, chassis.replica, redis, self._inbox.take, chassis.settings, chassis.log
        )
        consumer.expose(chassis.metrics)
        chassis.spawn(consumer.run(), "event_streams")

    async def stop(self) -> None:
        """Stop the workers, close the connections, fold the database's log into its file."""
        self.chassis.stopping.set()
        await self.chassis.workers.stop()
        await self.chassis.client.close()
        if self.chassis.redis is not None:
            await self.chassis.redis.close()
        await self.chassis.database.close()


def _chassis(plan: ReplicaPlan) -> Chassis:
    log = get_logger(plan.service, plan.replica)
    metrics = Metrics(plan.service, plan.replica)
    faults = FaultTable(plan.crash_points)
    client = ServiceClient(
        plan.service,
        plan.secrets.service,
        plan.registry,
        plan.transport,
        plan.settings,
        faults,
        metrics,
        plan.clock,
    )

    def end_without_disk(error: OSError) -> None:
        log.critical("disk_failed", error=str(error))
        # At once, not in order: an orderly end would answer what is open, and fold a log with holes into the file.
        plan.end_process()

    file = plan.data / f"{plan.service}.sqlite"
    database = open_database(plan.database_url, file, plan.settings, log, end_without_disk)
    redis = SharedRedis(plan.redis_url, plan.settings, metrics.registry, log) if plan.redis_url else None
    carrier: Carrier = HttpPush(client, log)
    if redis is not None:
        carrier = StreamPublisher(redis, plan.settings, plan.clock, metrics.registry, log)
    tokens = Tokens(KeyRing.parse(plan.secrets.jwt))
    limiter = limiter_of(plan.service, redis, plan.clock, metrics.registry)
    admission = Admission(plan.service, plan.settings, limiter, tokens, metrics, plan.clock)
    return Chassis(
        service=plan.service,
        replica=plan.replica,
        settings=plan.settings,
        database=database,
        client=client,
        outbox=Outbox(plan.replica, database, carrier, plan.settings, plan.clock, log),
        crash_points=plan.crash_points,
        clock=plan.clock,
        secrets=plan.secrets,
        log=log,
        metrics=metrics,
        tracing=Tracing(plan.service, plan.replica, plan.settings, plan.span_processors),
        faults=faults,
        tokens=tokens,
        signatures=SignatureVerifier(plan.secrets.service, _names(plan)),
        workers=Workers(log),
        cache=cache_of(plan.service, redis, plan.clock, metrics.registry),
        limiter=limiter,
        admission=admission,
        degradation=Degradation(plan.settings, client.breakers, admission, metrics),
        redis=redis,
        data=plan.data,
        profile=plan.profile,
        initial_settings=dict(plan.initial_settings),
    )


def _names(plan: ReplicaPlan) -> set[str]:
    """The targets whose signed calls this replica takes."""
    own = {target_of(plan.service, plan.replica)}
    return own | {plan.service} if plan.service == REGISTRY_SERVICE else own
