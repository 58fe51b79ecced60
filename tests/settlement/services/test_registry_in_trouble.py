"""When the registry is deaf, robbed or restarted, nobody is lost; when a replica dies, it is gone quickly."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from settlement.chassis.live_settings import LiveSettings
from settlement.chassis.metrics import Metrics
from settlement.chassis.problems import Problem
from settlement.chassis.sqlite import SqliteDatabase
from settlement.chassis.telemetry import get_logger
from settlement.services.configcenter.eureka_codec import Status, read_instance
from settlement.services.configcenter.model import VIEWS, metadata
from settlement.services.configcenter.registration import Registration, registration_of
from settlement.services.configcenter.registry import Registry

from .eureka_bodies import SPRING_JSON

LEASE_MS = 3_000
SEVEN = [f"{service}-0" for service in ("cart", "channel", "gateway", "order", "payment", "risk", "usercenter")]


class Clock:
    """A clock that the test moves."""

    def __init__(self) -> None:
        self.at_ms = 1_700_000_000_000

    def now_ms(self) -> int:
        return self.at_ms

    def monotonic_ms(self) -> float:
        return float(self.at_ms)


class Platform:
    """A registry and replicas that renew every second; each its own process unless told otherwise."""

    def __init__(self, database: SqliteDatabase) -> None:
        self.clock = Clock()
        self.database = database
        self.settings = LiveSettings()
        self.alive: list[str] = []

    async def start_registry(self) -> None:
        metrics = Metrics("configcenter", "configcenter-0")
        log = get_logger("configcenter", "configcenter-0")
        chassis: Any = SimpleNamespace(
            database=self.database, settings=self.settings, clock=self.clock, metrics=metrics, log=log
        )
        self.metrics = metrics
        self.registry = Registry(chassis)
        await self.registry.load()

    async def open(self, names: list[str], processes: Mapping[str, str] | None = None) -> None:
        await self.start_registry()
        for name in names:
            await self.register(name, (processes or {}).get(name, name))

    async def register(self, name: str, process: str) -> None:
        service = name.partition("-")[0]
        told = {"process": process}
        await self.registry.register(Registration(service, name, f"http://{name}", "1", LEASE_MS, metadata=told))
        if name not in self.alive:
            self.alive.append(name)

    async def seconds(self, count: int) -> None:
        """Time passes in tenths; who is alive renews once a second, or registers again when told to."""
        for tenth in range(count * 10):
            self.clock.at_ms += 100
            for name in self.alive if tenth % 10 == 9 else []:
                try:
                    self.registry.renew((name.partition("-")[0], name))
                except Problem:
                    await self.register(name, name)
            await self.registry.expire()

    def die(self, *names: str) -> None:
        self.alive = [name for name in self.alive if name not in names]

    @property
    def registered(self) -> list[str]:
        return sorted(held.registration.replica for held in self.registry.leases)

    def metric(self, name: str) -> float | None:
        return self.metrics.registry.get_sample_value(name)


@pytest.fixture
async def platform(tmp_path: Path) -> AsyncIterator[Platform]:
    database = SqliteDatabase(tmp_path / "configcenter.sqlite", "OFF")
    await database.create_schema([metadata], VIEWS)
    yield Platform(database)
    await database.close()


@pytest.mark.parametrize("count", [1, 2, 3, 5, 7])
async def test_one_crash_in_a_small_platform_is_noticed_within_a_lease(platform: Platform, count: int) -> None:
    await platform.open(SEVEN[:count])
    await platform.seconds(5)
    platform.die(SEVEN[0])
    await platform.seconds(4)
    assert platform.registered == sorted(SEVEN[1:count])
    assert not platform.registry.preserving
    assert platform.metric("paylab_registry_evictions_total") == 1


async def test_two_of_seven_that_crash_together_are_gone_too(platform: Platform) -> None:
    await platform.open(SEVEN)
    platform.die(*SEVEN[:2])
    await platform.seconds(4)
    assert platform.registered == SEVEN[2:]


async def test_a_process_with_many_services_that_crashes_is_one_crash(platform: Platform) -> None:
    await platform.open(SEVEN, dict.fromkeys(SEVEN[:4], "backoffice"))
    platform.die(*SEVEN[:4])
    await platform.seconds(4)
    assert platform.registered == SEVEN[4:]


async def test_when_everybody_falls_silent_nobody_is_dropped_and_it_ends_when_they_are_heard(
    platform: Platform,
) -> None:
    await platform.open(SEVEN)
    await platform.seconds(3)
    platform.alive, silenced = [], platform.alive
    await platform.seconds(30)
    assert platform.registered == SEVEN
    assert platform.registry.status()["self_preservation"] is True
    assert platform.registry.status()["leases_kept"]
    assert platform.metric("paylab_registry_self_preservation") == 1
    platform.alive = silenced
    await platform.seconds(2)
    assert platform.registry.status()["self_preservation"] is False
    assert platform.metric("paylab_registry_self_preservation") == 0
    platform.die("order-0")
    await platform.seconds(4)
    assert "order-0" not in platform.registered, "back to normal"


async def test_most_come_back_and_the_rest_is_dropped_then(platform: Platform) -> None:
    await platform.open(SEVEN)
    platform.alive, silenced = [], platform.alive
    await platform.seconds(10)
    platform.alive = [name for name in silenced if name != "risk-0"]
    await platform.seconds(2)
    assert platform.registered == [name for name in SEVEN if name != "risk-0"]


async def test_a_registry_that_was_paused_drops_nobody(platform: Platform) -> None:
    await platform.open(SEVEN)
    platform.clock.at_ms += 20_000
    await platform.registry.expire()
    await platform.seconds(3)
    assert platform.registered == SEVEN


async def test_nobody_is_preserved_for_ever(platform: Platform) -> None:
    await platform.open(SEVEN)
    platform.die(*SEVEN[:4])
    await platform.seconds(40)
    assert platform.registered == SEVEN
    await platform.seconds(25)
    assert platform.registered == SEVEN[4:]
    assert not platform.registry.preserving


async def test_the_settings_decide_and_can_change(platform: Platform) -> None:
    platform.settings.replace({"registry.preservation_silent_min": 1}, 1)
    await platform.open(SEVEN[:3])
    platform.die(SEVEN[0])
    await platform.seconds(10)
    assert SEVEN[0] in platform.registered, "as Eureka has it: one of three is a third"
    platform.settings.replace({}, 2)
    await platform.seconds(1)
    assert SEVEN[0] not in platform.registered


# ---- restarts -------------------------------------------------------------------------------------------------------


async def test_a_restarted_registry_knows_everybody_with_everything(platform: Platform) -> None:
    await platform.open(SEVEN)
    spring = registration_of(read_instance(SPRING_JSON, "application/json"))
    await platform.registry.register(spring)
    await platform.registry.override(("order", "order-0"), Status.OUT_OF_SERVICE)
    await platform.registry.set_metadata(("cart", "cart-0"), {"weight": "7"})
    before = platform.registry.snapshot()["services"]
    await platform.start_registry()
    assert platform.registry.snapshot()["services"] == before
    assert platform.registry.snapshot()["warming"] is False
    held = platform.registry.leases.get(spring.key)
    assert held is not None
    assert held.registration == spring
    await platform.seconds(5)
    assert set(SEVEN) <= set(platform.registered)


async def test_who_does_not_come_back_after_a_restart_is_dropped_however_many(platform: Platform) -> None:
    await platform.open(SEVEN)
    platform.die(*SEVEN[:5])
    platform.clock.at_ms += 3_600_000
    await platform.start_registry()
    await platform.seconds(4)
    assert platform.registered == SEVEN[5:]


async def test_a_registry_that_lost_its_database_warms_up(platform: Platform) -> None:
    await platform.start_registry()
    platform.alive = list(SEVEN)
    assert platform.registry.snapshot()["warming"] is True
    await platform.seconds(2)
    assert platform.registered == SEVEN, "told to register again at their next heartbeat"
    assert platform.registry.snapshot()["warming"] is True
    await platform.seconds(1)
    assert platform.registry.snapshot()["warming"] is False


async def test_what_could_not_be_written_is_written_later(platform: Platform, monkeypatch: pytest.MonkeyPatch) -> None:
    await platform.open(["order-0"])

    def broken(**_: object) -> Any:
        raise OSError("disk full")

    with monkeypatch.context() as broken_for_now:
        broken_for_now.setattr(platform.database, "transaction", broken)
        with pytest.raises(OSError, match="disk full"):
            await platform.register("cart-0", "cart-0")
    await platform.seconds(1)
    await platform.start_registry()
    assert platform.registered == ["cart-0", "order-0"]
