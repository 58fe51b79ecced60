"""The registry is away for half a minute: payments go on, and nobody is forgotten when it comes back with nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from settlement.chassis.discovery import Announcement, Registration, RegistryCache, RegistryClient
from settlement.chassis.live_settings import LiveSettings

from ..conftest import Cluster
from ..money import Shop

SERVICES = ("channel", "order", "payment", "gateway")


class RegisteredCluster(Cluster):
    """A cluster whose services know each other from a real config center only."""

    def __init__(self, data: Path) -> None:
        super().__init__(data)
        client = RegistryClient("http://configcenter-0", "tester", "tester-0", self.secrets.service, self.network,
                                self.clock)  # fmt: skip
        self.registry = RegistryCache(client, self.clock, self.log)
        self.registrations: list[Registration] = []

    def _publish(self) -> None:
        """Nobody is told behind the registry's back."""

    async def announce(self, service: str) -> None:
        client = RegistryClient("http://configcenter-0", service, f"{service}-0", self.secrets.service, self.network,
                                self.clock)  # fmt: skip
        announced = Announcement(f"http://{service}-0", "0.1.0", metadata={"process": service})
        registration = Registration(client, announced, LiveSettings(), self.log)
        await registration.announce()
        self.registrations.append(registration)

    async def seconds(self, count: int) -> None:
        """Time passes; everybody renews, and asks for the list, once a second as far as there is a registry."""
        for _ in range(count):
            self.clock.advance_ms(1_000)
            for registration in self.registrations:
                await registration.renew()
            await self.registry.refresh()

    def known(self) -> list[str]:
        return sorted(instance.replica for service in SERVICES for instance in self.registry.replicas(service))


@pytest.fixture
async def shop(tmp_path: Path) -> Any:
    cluster = RegisteredCluster(tmp_path)
    await cluster.start("configcenter")
    shop = await Shop(cluster).open(*SERVICES)
    for service in SERVICES:
        await cluster.announce(service)
    await cluster.seconds(4)
    yield shop
    await cluster.close()


ALL = sorted(f"{service}-0" for service in SERVICES)


async def _pay(shop: Shop) -> None:
    order = await shop.order()
    paid = await shop.pay(order)
    assert (paid.status_code, paid.json()["status"]) == (201, "succeeded"), paid.text


@pytest.mark.parametrize("database_lost", [False, True])
async def test_thirty_seconds_without_a_registry(shop: Shop, tmp_path: Path, database_lost: bool) -> None:
    cluster: Any = shop.cluster
    assert cluster.known() == ALL
    await _pay(shop)
    await cluster.kill("configcenter-0")
    for _ in range(3):
        await cluster.seconds(10)
        assert cluster.known() == ALL
        await _pay(shop)
    if database_lost:
        for file in tmp_path.glob("configcenter.sqlite*"):
            file.unlink()
    await cluster.start("configcenter")
    await cluster.registry.refresh()
    assert cluster.known() == ALL, "before anybody was heard again"
    await _pay(shop)
    await cluster.seconds(5)
    assert cluster.known() == ALL
    view = (await cluster.http("configcenter").get("/registry")).json()
    assert (view["warming"], sorted(view["services"])) == (False, sorted(SERVICES))
    await _pay(shop)
    await shop.settle()
    await shop.audit()
