"""Services in this process: the real applications on real SQLite files, joined by a network that tests can break.

    async def test_something(cluster):
        await cluster.start("order")
        await cluster.start("gateway", replica="gateway-0", settings={"gateway.prepare_timeout_ms": 50})
        reply = await cluster.http("gateway").post("/payments", json={...}, headers=cluster.as_user(7))
        cluster.network.lose_reply("payment", "/participant/decision", times=1)
        reply = await cluster.call("payment", "POST", "/participant/prepare", json={...})     # a signed call
        await cluster.eventually(lambda: cluster.replica("gateway-0").chassis.database.read(...))

Only the sockets are not real: routing, balancing, signatures, retries and faults are the chassis' own.
"""

from __future__ import annotations

import asyncio
import inspect
import os
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from settlement.chassis.discovery import Instance, RegistryCache
from settlement.chassis.faults import CrashPoints, FaultTable
from settlement.chassis.http_client import ServiceClient, ServiceReply
from settlement.chassis.live_settings import LiveSettings
from settlement.chassis.metrics import Metrics
from settlement.chassis.replica import Replica, ReplicaPlan
from settlement.chassis.secrets import Secrets
from settlement.chassis.telemetry import configure_logging, get_logger
from settlement.chassis.transport import Answer, NotSent, Unknown
from tests.mariadb_server import MariaServer, running
from tests.redis_server import RedisServer
from tests.settlement.built_once import build_once
from tests.settlement.one_connection import refuse_second_connections
from tests.settlement.patient_loop import PatientLoop

SECRETS = Secrets(
    service="service-secret-for-tests-only-0001",
    jwt="jwt-secret-for-tests-only-000000001",
    operator="operator-token-for-tests",
    notify="notify-secret-for-tests",
    fault="fault-token-for-tests-1",
)
# What production leaves for seconds happens at once here; argon2 at its cheapest.
QUICK_SETTINGS = {
    "usercenter.argon2_memory_kib": 64,
    "channel.latency_ms": 0,
    "outbox.poll_interval_ms": 10,
    # A Redis that is alive is given the time it needs; one that is dead refuses at once.
    "redis.timeout_ms": 5_000,
    "http.timeout_ms": 1_000,
    # `eventually` asks far more often than a user may; how often that is, depends on the machine.
    "limit.user_rate_per_s": 0,
    "limit.address_rate_per_s": 0,
}


class Crashed(BaseException):
    """The replica died at a crash point (a process would have been killed)."""


class MovableClock:
    """The clock of the event loop, plus what a test moved it ahead."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._epoch_ms = time.time() * 1_000 - self._loop.time() * 1_000
        self._ahead_ms = 0

    def now_ms(self) -> int:
        return int(self._epoch_ms + self.monotonic_ms())

    def monotonic_ms(self) -> float:
        return self._loop.time() * 1_000 + self._ahead_ms

    def advance_ms(self, by_ms: int) -> None:
        self._ahead_ms += by_ms


@dataclass
class Loss:
    """A rule of the network: the next `times` calls to a service and path prefix go wrong."""

    service: str
    path: str
    times: int
    executed: bool


class FakeNetwork:
    """Carries calls between in-process applications; loses what it is told to lose; remembers what it carried."""

    def __init__(self) -> None:
        self._apps: dict[str, Any] = {}
        self._losses: list[Loss] = []
        self._tasks: set[asyncio.Task[Any]] = set()
        self.carried: list[tuple[str, str, str]] = []

    def attach(self, address: str, app: Any) -> None:
        self._apps[address] = app

    def detach(self, address: str) -> None:
        self._apps.pop(address, None)

    def lose_reply(self, service: str, path: str = "/", times: int = 1) -> None:
        """The next calls are executed and their answers are lost: the caller learns `Unknown`."""
        self._losses.append(Loss(service, path, times, executed=True))

    def refuse(self, service: str, path: str = "/", times: int = 1) -> None:
        """The next calls are not sent: the caller learns `NotSent`."""
        self._losses.append(Loss(service, path, times, executed=False))

    def heal(self) -> None:
        """From here on nothing is lost any more."""
        self._losses.clear()

    async def send(
        self, address: str, method: str, path: str, body: bytes, headers: Mapping[str, str], timeout_s: float
    ) -> Answer:
        loss = self._loss(address, path)
        app = self._apps.get(address)
        if app is None or (loss is not None and not loss.executed):
            raise NotSent(f"{address}: connection refused")
        self.carried.append((address, method, path))
        # A server goes on when its client has given up, so the call runs in a task of its own.
        task = asyncio.create_task(self._execute(app, address, method, path, body, headers))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        done, _ = await asyncio.wait({task}, timeout=timeout_s)
        if not done or loss is not None:
            raise Unknown(f"{method} {address}{path}: no answer")
        return task.result()

    async def _execute(
        self, app: Any, address: str, method: str, path: str, body: bytes, headers: Mapping[str, str]
    ) -> Answer:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=address) as client:
            try:
                response = await client.request(method, path, content=body, headers=dict(headers))
            except Crashed as error:
                raise Unknown(f"{address} died") from error
        return Answer(response.status_code, dict(response.headers), response.content)

    def _loss(self, address: str, path: str) -> Loss | None:
        for loss in self._losses:
            if loss.times > 0 and address.startswith(f"http://{loss.service}-") and path.startswith(loss.path):
                loss.times -= 1
                return loss
        return None

    async def close(self) -> None:
        """Outlives every replica; `shut_down` ends it."""

    async def shut_down(self) -> None:
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class Cluster:
    """Several services in this process."""

    plan_secrets = SECRETS

    def __init__(self, data: Path, server: MariaServer | None = None) -> None:
        self._data = data
        self._server = server
        self.clock = MovableClock()
        self.network = FakeNetwork()
        self.secrets = SECRETS
        self.log = get_logger("test", "test-0")
        self.registry = RegistryCache(None, self.clock, self.log)
        self._replicas: dict[str, Replica] = {}
        self._clients: list[httpx.AsyncClient] = []
        settings = LiveSettings(QUICK_SETTINGS)
        self._caller = ServiceClient(
            "tester", SECRETS.service, self.registry, self.network, settings,
            FaultTable(CrashPoints()), Metrics("tester", "tester-0"), self.clock,
        )  # fmt: skip

    async def start(
        self, service: str, replica: str | None = None, settings: Mapping[str, object] | None = None, **plan: Any
    ) -> Replica:
        """Start a replica (again): the same name finds the database of its service."""
        name = replica or f"{service}-0"
        started = Replica(
            ReplicaPlan(
                service=service,
                replica=name,
                data=self._data,
                settings=LiveSettings({**QUICK_SETTINGS, **(settings or {})}, version=1),
                secrets=self.plan_secrets,
                registry=self.registry,
                transport=self.network,
                clock=self.clock,
                crash_points=CrashPoints(lambda: self._die(name)),
                end_process=lambda: self._leave(name),
                **{"database_url": self._server.url(service) if self._server else None, **plan},
            )
        )
        self._replicas[name] = started
        await started.start()
        self.network.attach(_address(name), started.app)
        self._publish()
        return started

    async def stop(self, replica: str) -> None:
        """Stop a replica in order."""
        self._leave(replica)
        await self._replicas.pop(replica).stop()

    async def kill(self, replica: str) -> None:
        """End a replica as a crash would: calls to it are refused, its workers stop where they are."""
        self._leave(replica)
        dead = self._replicas.pop(replica)
        await dead.chassis.workers.stop()
        await dead.chassis.database.close()

    def replica(self, name: str) -> Replica:
        return self._replicas[name]

    def http(self, name: str) -> httpx.AsyncClient:
        """A client of a replica (or of replica 0 of a service), as a user's browser would be."""
        app = self._replicas[name if name in self._replicas else f"{name}-0"].app
        client = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://replica")
        self._clients.append(client)
        return client

    async def call(self, service: str, method: str, path: str, **options: Any) -> ServiceReply:
        """A signed call, as another service would make it. Raises NotSent or Unknown."""
        return await self._caller.call(service, method, path, **options)

    def as_user(self, user_id: int) -> dict[str, str]:
        token = next(iter(self._replicas.values())).chassis.tokens.issue(user_id, self.clock.now_ms() + 3_600_000)
        return {"Authorization": f"Bearer {token}"}

    def as_operator(self) -> dict[str, str]:
        return {"Paylab-Operator-Token": SECRETS.operator}

    def as_fault_operator(self) -> dict[str, str]:
        return {"Paylab-Fault-Token": SECRETS.fault or ""}

    async def eventually(self, condition: Callable[[], Any], within_s: float = 20.0) -> Any:
        """Wait until `condition()` (plain or async) is true; returns its value. Fails after `within_s`.

        Measured on the loop's clock, as the services' own timeouts are: what others take of the machine does not count.
        """
        loop = asyncio.get_running_loop()
        deadline_s = loop.time() + within_s
        while True:
            value = condition()
            if inspect.isawaitable(value):
                value = await value
            if value:
                return value
            assert loop.time() < deadline_s, f"still not so after {within_s} s: {inspect.getsource(condition)}"
            await asyncio.sleep(0.002)

    async def close(self) -> None:
        for client in self._clients:
            await client.aclose()
        await self._caller.close()
        for name in list(self._replicas):
            await self.stop(name)
        await self.network.shut_down()

    def _die(self, name: str) -> None:
        self._leave(name)
        raise Crashed(name)

    def _leave(self, name: str) -> None:
        self.network.detach(_address(name))

    def _publish(self) -> None:
        services: dict[str, list[Instance]] = {}
        for name, replica in self._replicas.items():
            services.setdefault(replica.chassis.service, []).append(Instance(name, _address(name)))
        self.registry.put(services)


def _address(replica: str) -> str:
    return f"http://{replica}"


@pytest.fixture(scope="session", autouse=True)
def _built_once() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        build_once(patch)
        yield


@pytest.fixture(autouse=True)
def _one_connection_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    refuse_second_connections(monkeypatch)


def pytest_asyncio_loop_factories() -> dict[str, type[PatientLoop]]:
    """No timeout of a service runs out because others use the machine too."""
    return {"patient": PatientLoop}


@pytest.fixture(scope="session", autouse=True)
def _quiet_logs() -> None:
    configure_logging("WARNING")


@pytest.fixture
def backend(request: pytest.FixtureRequest) -> str:
    """Which database the services use: `sqlite`, or `mariadb` too where a test is marked with both_backends.

    PAYLAB_TEST_BACKEND=mariadb puts all the tests that are not marked on the server as well, to see what they say.
    """
    return str(getattr(request, "param", os.environ.get("PAYLAB_TEST_BACKEND", "sqlite")))


@pytest.fixture(scope="session")
def mariadb_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MariaServer]:
    """A MariaDB server of our own, set up as deploy/mariadb has it."""
    with running(tmp_path_factory.mktemp("mariadb")) as server:
        yield server


@pytest.fixture
def mariadb(mariadb_server: MariaServer) -> MariaServer:
    """The same server, with empty schemas."""
    mariadb_server.empty()
    return mariadb_server


@pytest.fixture
async def cluster(tmp_path: Path, backend: str, request: pytest.FixtureRequest) -> AsyncIterator[Cluster]:
    """Services in this process; see the top of this file."""
    made = Cluster(tmp_path, request.getfixturevalue("mariadb") if backend == "mariadb" else None)
    yield made
    await made.close()


@pytest.fixture(scope="session")
def _redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path_factory.mktemp("redis"))
    server.start()
    yield server
    server.client.close()
    server.kill()


@pytest.fixture
def redis_server(_redis_server: RedisServer) -> RedisServer:
    """A running, empty Redis; the test may kill it."""
    if not _redis_server.running:
        _redis_server.start()
    _redis_server.thaw()
    _redis_server.client.flushall()
    return _redis_server
